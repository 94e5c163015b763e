//! The last run, and running again on some of its hosts.

use super::support::Site;

#[test]
fn the_hosts_that_failed_are_run_again() {
    let site = Site::start();
    let done =
        site.sshoal(["-w", "web[1-2],gone1", "case $SSH_CONNECTION in *127.0.2.3*) exit 9;; esac"]).run();
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("sshoal --last=failed"), "{done:?}");

    let last = site.bare().args(["last"]).run();
    assert!(last.out.contains(" ago on 3 hosts: case $SSH_CONNECTION"), "{last:?}");
    assert!(last.out.contains("web1 (1): succeeded\n"), "{last:?}");
    assert!(
        last.out.contains("web2 (1): exit status\n") && last.out.contains("gone1 (1): connect\n"),
        "{last:?}"
    );
    for (end, set) in [("failed", "gone1,web2\n"), ("ok", "web1\n"), ("unreachable", "gone1\n")] {
        assert_eq!(site.bare().args(["last", "--end", end]).run().out, set, "{end}");
    }

    // A set narrows it down. Only then is that run the last one.
    let again = site.sshoal(["--last=failed", "-w", "web[1-4]", "echo again"]).run();
    assert_eq!((again.out.as_str(), again.code), ("web2: again\n", Some(0)), "{again:?}");
    let again = site.sshoal(["--last", "echo once more"]).run();
    assert_eq!((again.out.as_str(), again.code), ("web2: once more\n", Some(0)), "{again:?}");
    let none = site.sshoal(["--last=failed", "true"]).run();
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("--last: no host of the last run ended like that"), "{none:?}");
}

#[test]
fn hosts_that_printed_something_else_are_run_again() {
    let site = Site::start();
    let command = "case $SSH_CONNECTION in *127.0.2.3*) echo other;; *) echo same;; esac";
    let run = |flags: &[&'static str]| {
        site.sshoal(flags.iter().copied().chain(["-w", "web[1-3],gone1", command])).run()
    };
    // Nothing was compared.
    assert_eq!(run(&[]).code, Some(4));
    let unknown = site.sshoal(["--last=diff", "true"]).run();
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("--last=diff: that run did not compare"), "{unknown:?}");
    assert!(unknown.err.contains("with -b, -B, -bL or --diff first"), "{unknown:?}");
    assert_eq!(site.bare().args(["last", "--end", "diff"]).run().code, Some(2));
    for flags in [&["-b"][..], &["-B"], &["-bL"], &["--diff"]] {
        let done = run(flags);
        assert_eq!(done.code, Some(4), "{done:?}");
        let last = site.bare().args(["last"]).run();
        assert!(last.out.contains("web2 (1): printed something else than most\n"), "{flags:?}: {last:?}");
        let again = site.sshoal(["--last=diff", "-q", "echo again"]).run();
        assert_eq!((again.out.as_str(), again.code), ("web2: again\n", Some(0)), "{flags:?}: {again:?}");
    }
    // Outputs are not kept.
    let state = site.sshd.dir().join("state/sshoal/runs");
    let grep = std::process::Command::new("grep").args(["-rl", "same\\n"]).arg(state).output().expect("grep");
    assert_eq!(grep.status.code(), Some(1), "{grep:?}");
    let done = site.sshoal(["-b", "-w", "web[1,3]", command]).run();
    assert_eq!(done.code, Some(0));
    let none = site.sshoal(["--last=diff", "true"]).run();
    assert!(none.err.contains("--last=diff: all hosts of the last run on which"), "{none:?}");
}

#[test]
fn a_run_before_any_other_has_no_last_one() {
    let site = Site::start();
    let done = site.sshoal(["--last", "true"]).run();
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("there is no such run in the history"), "{done:?}");
}
