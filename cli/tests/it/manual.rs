//! Every example of README.md, run as it is written.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::support::program::PROGRAM;
use super::support::{Done, Site};

/// A line that begins with `$ `, and the lines below it.
struct Example {
    line: String,
    shown: Vec<String>,
}

/// The examples in the blocks of this language.
fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => is_inside = language == "console",
            None if !is_inside => {}
            None => match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(line), _) => examples.push(Example { line: line.to_owned(), shown: Vec::new() }),
                (None, Some(example)) => example.shown.push(line.to_owned()),
                (None, None) => panic!("{line}: no command above it"),
            },
        }
    }
    examples
}

/// Whether a line was printed as it is shown; `...` stands for anything.
fn fits(shown: &str, printed: &str) -> bool {
    let mut rest = printed;
    for (position, part) in shown.split("...").enumerate() {
        let found = match position {
            0 => rest.starts_with(part).then_some(0),
            _ => rest.find(part),
        };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with("...")
}

/// Checks that each line that is shown was printed, and, without a line of `...`, nothing else.
/// Hosts answer in any order.
fn check(example: &Example, done: &Done) {
    // Built with the bundled libssh, the program says so.
    let is_warning = |line: &&str| line.starts_with("sshoal: the bundled libssh ");
    let lines = done.out.lines().chain(done.err.lines());
    let mut printed: Vec<&str> = lines.filter(|line| !is_warning(line)).collect();
    let mut missing = String::new();
    for shown in example.shown.iter().filter(|line| *line != "...") {
        match printed.iter().position(|line| fits(shown, line)) {
            Some(at) => _ = printed.remove(at),
            None => _ = writeln!(missing, "not printed: {shown}"),
        }
    }
    let is_whole = !example.shown.iter().any(|line| line == "...");
    if is_whole && !example.shown.is_empty() {
        printed.iter().for_each(|line| _ = writeln!(missing, "not shown: {line}"));
    }
    assert!(missing.is_empty(), "$ {}\n{missing}{done:?}", example.line);
}

/// A folder with the program as it finds the site's ssh_config: the user's own is not touched.
fn wrapper(site: &Site) -> String {
    let folder = site.sshd.dir().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    let config = site.config();
    let script = format!(
        "#!/bin/bash\ncase $1 in\nscript|keyscan|put|get|sync) word=$1; shift; exec '{PROGRAM}' $word -F '{config}' \"$@\";;\n\
         hosts|fold|last|completions|manual) exec '{PROGRAM}' \"$@\";;\n*) exec '{PROGRAM}' -F '{config}' \"$@\";;\nesac\n"
    );
    let path = folder.join("sshoal");
    std::fs::write(&path, script).expect("write the wrapper");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
    folder.display().to_string()
}

#[test]
fn examples_do_what_is_written() {
    let home = tempfile::tempdir().expect("a folder");
    let site = Site::named_as(&["web*", "db*"], home.path());
    let path = format!("{}:{}", wrapper(&site), std::env::var("PATH").expect("PATH"));
    let work = tempfile::tempdir().expect("a folder");
    let examples = examples(include_str!("../../README.md"));
    assert!(examples.len() > 20, "{}", examples.len());
    let mut status = 0;
    for example in &examples {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("(exit {status}); {}", example.line)]).current_dir(work.path());
        bash.env("PATH", &path).env("XDG_STATE_HOME", work.path()).env_remove("SSH_AUTH_SOCK");
        bash.stdin(std::process::Stdio::null());
        let bash = bash.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let done = Done::of(bash.spawn().expect("bash"));
        check(example, &done);
        status = done.code.unwrap_or(1);
    }
    let page = std::fs::read_to_string(work.path().join("sshoal.1")).expect("the manual page");
    assert!(page.contains(".TH sshoal") && page.contains("max"), "{page}");
}

#[test]
fn examples_are_compared_line_by_line() {
    assert!(fits("a...c", "abbc") && fits("a...", "abc") && fits("...", "") && fits("abc", "abc"));
    assert!(!fits("a...c", "abcd") && !fits("ab", "abc") && !fits("b...", "abc"));
}
