//! What a new user is told: slips on the command line, and the manual page.

use std::process::{Command, Stdio};

use super::support::{Done, Program, Site};

fn run(args: &[&str]) -> Done {
    let state = tempfile::tempdir().expect("a folder");
    Program::new(state.path()).args(args.iter().copied()).run()
}

#[test]
fn slips_are_told_with_what_to_write() {
    for (args, text) in [
        (&["uptime", "-w", "web1"][..], "before the command: \"uptime\" begins it"),
        (
            &["scirpt", "-w", "web1", "x"],
            "(subcommands are put, get, sync, script, keyscan, last, hosts, fold, completions and manual)",
        ),
        (&["--fanuot", "3", "-w", "a", "b"], "'--fanout'"),
        (&["--last=faild", "x"], "a similar value exists: 'failed'"),
        (&["-w", "a", "--sort", "output", "b"], "it needs -b, -B, --diff or -L"),
        (&["-w", "a", "--diff", "-L", "b"], "cannot be used with '-L'"),
        (&["-w", "a", "--json", "--diff", "b"], "cannot be used with"),
        (&["script", "-w", "a", "--sort", "output", "b"], "it needs -b, -B, --diff or -L"),
        (&["-w", "a", "-J", "b@", "true"], "sshoal: the option \"ProxyJump=b@\""),
        (&["-w", "a", "-t", "5x", "b"], "use ms, s, m, h or d"),
        (&["completions", "tcsh"], "possible values: bash, zsh, fish"),
        (&["hosts", "-l", "a"], "cannot be used with"),
    ] {
        let done = run(args);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{args:?}: {done:?}");
        assert!(done.err.contains(text), "{args:?}: {done:?}");
    }
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let site = Site::start();
    let done = site.sshoal(["-i", "/none/key", "-w", "web1", "echo hello"]).run();
    assert_eq!((done.out.as_str(), done.code), ("web1: hello\n", Some(0)), "{done:?}");
    assert!(done.err.contains("sshoal: -i /none/key: No such file or directory"), "{done:?}");
}

#[test]
fn the_manual_says_what_every_flag_is_for() {
    let page = run(&["manual"]).out;
    for text in [
        // What `-h` leaves out.
        "Groups to exclude",
        "The first N of these hosts only",
        // The flags of subcommands, and exit codes.
        ".SH \"SSHOAL KEYSCAN\"",
        "Hash the names",
        "Print the number of hosts",
        "What follows the host on each line",
        "some host was not reached, or refused the login",
    ] {
        assert!(page.contains(text), "{text:?} is not in\n{page}");
    }
    // Each flag has a text below it.
    let lines: Vec<&str> = page.lines().collect();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("\\fB\\-")) {
        assert!(!lines[number + 1].starts_with('.'), "{line} has no text");
    }
    // Those of runs are there once.
    assert_eq!(page.matches("How many commands run at once").count(), 1);
    let mut man = Command::new("man");
    man.args(["--warnings=all", "--local-file", "-"]).env("MANPAGER", "cat");
    man.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = man.spawn() else {
        eprintln!("not shown: there is no man");
        return;
    };
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::spawn(move || _ = std::io::Write::write_all(&mut stdin, page.as_bytes()));
    let done = Done::of(child);
    assert!(done.out.contains("SSHOAL KEYSCAN") && !done.err.contains("warning"), "{}", done.err);
}

#[test]
fn help_shows_names_as_they_are_written() {
    let help = run(&["--help"]).out;
    assert!(help.contains("Fill in %{name}, %{host} and, as n, the number"), "{help}");
    for text in ["130  ^C", "completions|manual --help"] {
        assert!(help.contains(text), "{text}");
    }
}
