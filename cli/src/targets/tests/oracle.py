"""Answers sets with what ClusterShell makes of them, for clustershell.rs.

Standard input: a line of JSON with group sources, then a set on each line, as JSON. Standard output: a line of JSON
with the version, then for each set how it is folded and its names, or the error.
"""

import json
import sys

import ClusterShell
from ClusterShell.NodeSet import NodeSet
from ClusterShell.NodeUtils import GroupResolver, GroupSource


def main():
    sources = [GroupSource(name, groups, groups.get("all")) for name, groups in json.loads(sys.stdin.readline())]
    resolver = GroupResolver(sources[0])
    for source in sources[1:]:
        resolver.add_source(source)
    print(json.dumps(ClusterShell.__version__))
    for line in sys.stdin:
        try:
            nodes = NodeSet(json.loads(line), resolver=resolver)
            answer = {"folded": str(nodes), "names": list(nodes)}
        except Exception as error:  # Whatever it is, the set has no answer.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer))


main()
