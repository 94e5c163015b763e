#!/usr/bin/env python3
"""Checks every dependency's licence and source against deny.toml, and the library's against `rust-version`.

What cargo-deny checks as well, for machines that do not have it; the minimum Rust it does not check.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with these licences. `/` is an old way to write OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def disjunction():
        met = conjunction()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = conjunction() or met
        return met

    def conjunction():
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence():
        name = tokens.pop(0)
        if name == "(":
            met = disjunction()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            name = f"{name} WITH {tokens.pop(1)}"
            tokens.pop(0)
        return name in allowed

    return disjunction() and not tokens


def check_itself():
    """The reader of expressions, on what it has to refuse as well."""
    for expression, met in [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT/GPL-2.0", True),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("GPL-2.0-only OR ISC AND Zlib", False),
        ("MIT WITH LLVM-exception", False),
    ]:
        assert satisfied(expression, {"MIT", "ISC"}) == met, expression


def version(text):
    return tuple(int(part) for part in (text + ".0.0").split(".")[:3])


def library_tree(metadata, root):
    """What is compiled for a program that uses the library: no development dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = set(), [root]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return found


def problems(metadata, rules):
    allowed = set(rules["licenses"]["allow"])
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    members = set(metadata["workspace_members"])
    own = next(package for package in metadata["packages"] if package["name"] == "sshoal")
    shipped = library_tree(metadata, own["id"])
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["id"] not in members and package["source"] not in registries:
            yield f"{name}: comes from {package['source'] or 'a path outside of the workspace'}"
        licence = package["license"]
        if licence is None or not satisfied(licence, allowed):
            yield f"{name}: the licence {licence} is not allowed by deny.toml"
        needed = package["rust_version"]
        if package["id"] in shipped and needed and version(needed) > version(own["rust_version"]):
            yield f"{name}: needs Rust {needed}, more than the {own['rust_version']} that Cargo.toml states"


def main():
    check_itself()
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    command = ["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"]
    command += [f"--filter-platform={target}" for target in rules["graph"]["targets"]]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    metadata = json.loads(output)
    found = sorted(problems(metadata, rules))
    print("\n".join(found) or f"{len(metadata['packages'])} packages: licences, sources and Rust versions are as stated")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
