//! What is run: values for each host, scripts, sudo.

use super::support::Site;
use super::support::sudoers::Sudoers;
use super::support::user::TestUser;

#[test]
fn each_host_gets_its_values() {
    let site = Site::start();
    let csv = site.file("args.csv", "host,role,note\nweb2,db,\"a, b\"\nweb1,web,c\nweb9,-,-\n");
    let done =
        site.sshoal(["--arg-file", &csv, "-w", "web[1-2]", "echo '%{n} %{role}: %{note} 100%%'"]).run();
    assert_eq!(done.sorted(), ["web1: 0 web: c 100%", "web2: 1 db: a, b 100%"], "{done:?}");
    let done = site.sshoal(["--arg-file", &csv, "-w", "web[1-4]", "true"]).run();
    assert!(done.err.contains("no line for web[3-4]") && done.code == Some(2), "{done:?}");
    let done = site.sshoal(["--arg-file", &csv, "-w", "web1", "echo %{rack}"]).run();
    assert!(done.err.contains("%{rack} has no value: there are host, n, name, note, role"), "{done:?}");
    // Without values, the text stays as it is.
    let done = site.sshoal(["-w", "web1", "echo '%{http_code} %%'"]).run();
    assert_eq!(done.out, "web1: %{http_code} %%\n");
    let done = site.sshoal(["--template", "-w", "web1", "echo %{name} is %{n}"]).run();
    assert_eq!(done.out, "web1: web1 is 0\n");
}

#[test]
fn a_script_runs_without_a_copy_on_the_host() {
    let site = Site::start();
    let script = site.file("script", "#!/bin/bash\nfor word in \"$@\"; do echo \"[$word]\"; done\nexit 3\n");
    let args = ["script", "-F", site.config(), "-w", "web[1-2]", &script, "a b", "-x", "it's"];
    let done = site.bare().args(args).run();
    let lines = ["web1: [-x]", "web1: [a b]", "web1: [it's]", "web2: [-x]", "web2: [a b]", "web2: [it's]"];
    assert_eq!((done.sorted(), done.code), (lines.to_vec(), Some(1)), "{done:?}");
    let python = site.file("script.py", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n");
    let done = site.bare().args(["script", "-F", site.config(), "-w", "web1", &python, "x"]).run();
    assert_eq!(done.out, "web1: ['x']\n", "{done:?}");
    let awk = site.file("script.awk", "#!/usr/bin/awk -f\n");
    let done = site.bare().args(["script", "-F", site.config(), "-w", "web1", &awk]).run();
    assert!(done.code == Some(2) && done.err.contains("--interpreter"), "{done:?}");
}

#[test]
fn a_script_can_be_a_file_on_the_host_and_is_removed() {
    let site = Site::with(super::support::sshd::Sshd::builder().option("AcceptEnv TMPDIR"), 2);
    let there = site.sshd.dir().join("temporary");
    std::fs::create_dir(&there).expect("a folder");
    let left = || std::fs::read_dir(&there).expect("a folder").count();
    let run = |script: &str, args: &[&str]| {
        let line = format!("#!/bin/bash\n{script}");
        let file = site.file("script", line);
        let first = ["script", "--via", "file", "-F", site.config(), "-w", "web[1-2]", "-q"];
        let variable = format!("TMPDIR={}", there.display());
        site.bare().args(first).args(["--env", &variable, &file]).args(args.iter().copied()).run()
    };
    let done = run(
        "grep -c 'reads itself' \"$0\"; stat -c %a \"$0\"; echo \"[$1][$2]\"; cat; exit 3",
        &["a b", "-x"],
    );
    let lines = |host| [format!("{host}: 1"), format!("{host}: 700"), format!("{host}: [a b][-x]")];
    let mut expected = [lines("web1"), lines("web2")].concat();
    expected.sort();
    assert_eq!(
        (done.sorted(), done.code),
        (expected.iter().map(String::as_str).collect(), Some(1)),
        "{done:?}"
    );
    assert_eq!(left(), 0);
    let done = run("kill -TERM 0", &[]);
    assert!(done.code == Some(3) && done.err.contains("killed by signal TERM"), "{done:?}");
    assert_eq!(left(), 0);
}

#[test]
fn sudo_gets_the_password_once_and_a_wrong_one_goes_to_few_hosts() {
    let Some(user) = TestUser::create() else { return };
    let Some(_sudoers) = Sudoers::add(&user, "{user} ALL=(ALL) ALL") else { return };
    let site = Site::of_user(&user);
    // Without a password, sudo does not take the input for one.
    let done = site.sshoal(["--sudo", "-w", "web1", "id -un"]).run_with(b"input\n");
    assert_eq!(done.code, Some(1), "{done:?}");
    let right = site.file("right", format!("{}\n", user.password()));
    let done = site
        .sshoal(["--sudo", "--sudo-password-file", &right, "-w", "web[1-3]", "id -un; cat"])
        .run_with(b"in\n");
    let lines = ["web1: in", "web1: root", "web2: in", "web2: root", "web3: in", "web3: root"];
    assert_eq!(done.sorted(), lines, "{done:?}");
    let wrong = site.file("wrong", "not it\n");
    let done = site.sshoal(["--sudo-password-file", &wrong, "-w", "web[1-4]", "id -un"]).run();
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("sudo did not accept the password"), "{done:?}");
    assert!(done.err.contains("(2): ") && done.err.contains("was not sent"), "{done:?}");
}
