//! A command on some hosts: what is printed, and how hosts are reached.

use super::support::Site;

#[test]
fn every_host_answers_with_its_name_in_front() {
    let site = Site::start();
    let done = site.sshoal(["-w", "web1,web2,web3", "echo", "out;", "echo", "err", ">&2"]).run();
    assert_eq!(done.sorted(), ["web1: out", "web2: out", "web3: out"], "{done:?}");
    for host in ["web1", "web2", "web3"] {
        assert!(done.err.contains(&format!("{host}: err\n")), "{done:?}");
    }
    assert!(done.err.contains("3 hosts: 3 ok, 0 failed"), "{done:?}");
    assert_eq!(done.code, Some(0));
}

#[test]
fn options_after_the_first_word_belong_to_the_command() {
    let site = Site::start();
    let done = site.sshoal(["-w", "web1", "printf", "%s-", "-w", "-S"]).run();
    assert!(done.out.contains("web1: -w--S-"), "{done:?}");
    // A subcommand is one as the first word only.
    let done = site.sshoal(["-w", "web1", "demo"]).run();
    assert!(done.err.contains("demo: command not found") || done.err.contains("demo: not found"), "{done:?}");
}

#[test]
fn the_letters_of_ssh_lead_to_hosts_without_a_file() {
    let site = Site::start();
    let known = site.sshd.known_hosts(["127.0.2.9"]).display().to_string();
    let (port, key) =
        (site.sshd.port().to_string(), site.sshd.dir().join("id_ed25519").display().to_string());
    let options = [format!("UserKnownHostsFile={known}"), "GlobalKnownHostsFile=none".into()];
    let login = ["-F", "none", "-l", site.sshd.user(), "-i", &key, "-o", &options[0], "-o", &options[1]];
    let done = site.bare().args(login).args(["-p", &port, "-4", "-w", "127.0.2.9", "echo hello"]).run();
    assert_eq!((done.out.as_str(), done.code), ("127.0.2.9: hello\n", Some(0)), "{done:?}");
    // A user and a port in the set come first.
    let host = format!("{}@127.0.2.9:{port}", site.sshd.user());
    let login = ["-F", "none", "-l", "nobody", "-p", "1", "-i", &key, "-o", &options[0], "-o", &options[1]];
    let done = site.bare().args(login).args(["-w", &host, "echo hello"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = site.bare().args(login).args(["-w", "127.0.2.9", "echo hello"]).run();
    assert_eq!(done.code, Some(4), "{done:?}");
}

#[test]
fn a_way_through_another_host_is_taken() {
    let site = Site::start();
    let done = site.sshoal(["-J", "web2", "-w", "web1", "echo $SSH_CONNECTION"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    site.sshd.await_log("Accepted publickey", 2);
}

#[test]
fn a_terminal_and_variables_are_for_commands_that_want_them() {
    let site = Site::with(super::support::sshd::Sshd::builder().option("AcceptEnv COLOUR"), 1);
    let done = site.sshoal(["--env", "COLOUR=blue", "--pty", "-w", "web1", "echo $COLOUR; tty"]).run();
    assert!(done.out.contains("web1: blue\nweb1: /dev/pts/"), "{done:?}");
    assert_eq!(site.sshoal(["-w", "web1", "tty"]).run().code, Some(1));
}

#[test]
fn a_configuration_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::start();
    let wide = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(site.config(), wide).expect("chmod");
    let done = site.sshoal(["-w", "web1", "true"]).run();
    assert_eq!(done.code, Some(2));
    assert!(done.err.starts_with("sshoal: ") && done.err.contains("chmod"), "{done:?}");
}
