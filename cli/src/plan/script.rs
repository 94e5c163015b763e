//! `sshoal script`: a local file as the standard input of a shell, or as a file on the host.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A script, and the command that reads it.
#[derive(Debug)]
pub struct Script {
    pub command: Vec<u8>,
    pub content: Vec<u8>,
}

/// Receives a program of so many bytes as a file, runs it if it is whole, and removes it. A signal
/// that ends the shell does so after that.
const RUN_FILE: &str = r#"n=$1; shift
f=$(mktemp "${TMPDIR:-/tmp}/sshoal.XXXXXX") || exit 126
trap 'rm -f "$f"' EXIT
for s in HUP INT TERM; do trap "rm -f \"\$f\"; trap - EXIT $s; kill -$s \$\$" $s; done
cat > "$f" && [ "$(wc -c < "$f")" -eq "$n" ] && chmod 700 "$f" || exit 126
"$f" "$@" < /dev/null
exit $?"#;

impl Script {
    /// Reads a script. Its first line says which shell runs it, unless `interpreter` does.
    ///
    /// # Errors
    /// The file cannot be read, or what its first line names cannot read a script from standard
    /// input.
    pub fn read(path: &Path, interpreter: Option<&str>, args: &[OsString]) -> Result<Self, String> {
        let content = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = match interpreter {
            Some(interpreter) => interpreter.to_owned(),
            None => of_first_line(&content).map_err(|problem| format!("{}: {problem}", path.display()))?,
        }
        .into_bytes();
        append(&mut command, args);
        Ok(Self { command, content })
    }

    /// Reads a script or a program, which runs as a file on the host.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn as_file(path: &Path, args: &[OsString]) -> Result<Self, String> {
        let content = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = [b"sh -c ", &quoted(RUN_FILE.as_bytes())[..], b" sh "].concat();
        command.extend(content.len().to_string().as_bytes());
        append(&mut command, args);
        Ok(Self { command, content })
    }
}

fn append(command: &mut Vec<u8>, args: &[OsString]) {
    for arg in args {
        command.push(b' ');
        command.extend(quoted(arg.as_bytes()));
    }
}

/// The command that the first line of a script asks for.
fn of_first_line(content: &[u8]) -> Result<String, String> {
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = first.strip_prefix(b"#!") else { return Ok("sh -s --".to_owned()) };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let mut program = words.next().unwrap_or_default();
    if program.ends_with("/env") {
        program = words.next().unwrap_or_default();
    }
    let options: Vec<&str> = words.collect();
    let name = program.rsplit('/').next().unwrap_or_default();
    let reads = match name {
        "sh" | "bash" | "dash" | "ksh" | "zsh" => "-s --",
        _ if ["python", "perl", "ruby"].iter().any(|known| name.starts_with(known)) => "-",
        _ => {
            let name = sshoal::output::sanitise(name);
            return Err(format!(
                "{name:?} is not known to read a script from standard input; say how with --interpreter"
            ));
        }
    };
    let words = [program].into_iter().chain(options).chain([reads]);
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// A word as a POSIX shell reads it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_shell() {
        for (line, command) in [
            ("echo hello", "sh -s --"),
            ("#!/bin/bash -e\n", "/bin/bash -e -s --"),
            ("#!/usr/bin/env python3\n", "python3 -"),
            ("#! /bin/sh\n", "/bin/sh -s --"),
        ] {
            assert_eq!(of_first_line(line.as_bytes()).as_deref(), Ok(command), "{line}");
        }
        assert!(of_first_line(b"#!/usr/bin/awk -f\n").unwrap_err().contains("--interpreter"));
    }

    #[test]
    fn arguments_arrive_as_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = Script::read(file.path(), None, &["a b".into(), "it's".into()]).unwrap();
        assert_eq!(String::from_utf8_lossy(&script.command), r"sh -s -- 'a b' 'it'\''s'");
    }
}
