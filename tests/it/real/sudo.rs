//! Debian's own `sudo`, with and without a password.

use std::io::Write as _;

use sshoal::error::ChannelProblem;
use sshoal::{Command, HostErrorKind, HostOutput, Outcome, ParallelClient};

use super::{build, client_for, guard, join, rest};
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;
use crate::support::sudoers::Sudoers;
use crate::support::user::TestUser;

/// A user with these sudo rights on a host.
struct Rights {
    client: ParallelClient,
    user: TestUser,
    _sudoers: Sudoers,
    _sshd: Sshd,
}

impl Rights {
    fn new(lines: &str) -> Option<Self> {
        Self::on(1, lines)
    }

    /// The same rights on several hosts.
    fn on(hosts: u8, lines: &str) -> Option<Self> {
        let user = TestUser::create()?;
        let _sudoers = Sudoers::add(&user, lines)?;
        let sshd = Sshd::start();
        let key = sshd.key(ClientKey::Ed25519);
        let hosts = (1..=hosts).map(|last| format!("127.0.2.{last}"));
        let client = build(client_for(&sshd, hosts).user(user.name()).key_file(key));
        Some(Self { client, user, _sudoers, _sshd: sshd })
    }

    fn command(&self, text: &str) -> Command {
        Command::new(text).sudo_password(self.user.password())
    }

    /// Runs the command with input that is nobody's password.
    fn run(&mut self, command: &Command) -> HostOutput {
        let output = self.client.run_command(command).expect("it starts").remove(0);
        // A sudo that refuses may have ended already.
        let _ = output.stdin().write_all(b"for the command\n");
        join(&self.client, std::slice::from_ref(&output));
        output
    }
}

/// Both streams, as text.
fn printed(output: &HostOutput) -> (Vec<String>, Vec<String>) {
    let text =
        |lines: Vec<Vec<u8>>| lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let (stdout, stderr) = rest(output);
    (text(stdout), text(stderr))
}

const WHO: &str = "id -un; echo \"it's  $HOME\"; cat";

fn who() -> (Vec<String>, Vec<String>) {
    (["root", "it's  /root", "for the command"].map(str::to_owned).to_vec(), Vec::new())
}

const ASKING: &str = "Defaults:{user} lecture=never\n{user} ALL=(ALL) ALL";

/// Without a terminal, sudo remembers a password for one process and its children; with this
/// option, for the user.
const REMEMBERING: &str = "Defaults:{user} lecture=never, timestamp_type=global\n{user} ALL=(ALL) ALL";

#[test]
fn a_password_is_given_where_it_is_asked_for() {
    let _dog = guard("a_password_is_given");
    for (rules, remembers) in [(ASKING, false), (REMEMBERING, true)] {
        let Some(mut rights) = Rights::new(rules) else { return };
        for command in
            [rights.command(WHO), rights.command(WHO).sudo(true).shell("bash -c"), rights.command(WHO)]
        {
            let output = rights.run(&command);
            assert_eq!(printed(&output), who(), "{command:?}");
            assert_eq!(output.exit_code(), Some(0));
        }
        // Shows whether the later ones were asked for a password.
        let output = rights.run(&Command::new("cat").sudo_non_interactive(true));
        assert_eq!(output.exit_code(), Some(if remembers { 0 } else { 1 }));
        let name = rights.user.name().to_owned();
        let output = rights.run(&rights.command("id -un; exit 7").run_as(name.as_str()));
        assert_eq!((printed(&output).0, output.exit_code()), (vec![name], Some(7)));
    }
}

/// `sudo` drops the variables of the login (`env_reset`).
#[test]
fn variables_in_the_text_survive_sudo() {
    let _dog = guard("shell_env_and_sudo");
    let Some(mut rights) = Rights::new(ASKING) else { return };
    let command = rights.command("echo \"$(id -un) $SSHOAL_A\"").shell_env("SSHOAL_A", "it's  kept");
    for command in [command.clone(), command.shell("sh -c")] {
        assert_eq!(printed(&rights.run(&command)).0, ["root it's  kept"]);
    }
}

#[test]
fn without_need_nothing_is_given() {
    let _dog = guard("without_need");
    let Some(mut rights) = Rights::new("{user} ALL=(ALL) NOPASSWD: ALL") else { return };
    let output = rights.run(&rights.command(WHO));
    assert_eq!(printed(&output), who());
    let output = rights.run(&Command::new(WHO).sudo_non_interactive(true));
    assert_eq!((printed(&output), output.exit_code()), (who(), Some(0)));
}

#[test]
fn a_wrong_password_is_said_once_and_told() {
    let _dog = guard("a_wrong_password");
    let Some(mut rights) = Rights::new(ASKING) else { return };
    let output = rights.run(&Command::new("id -un; cat").sudo_password("not it"));
    match output.outcome() {
        Some(Outcome::Failed(error)) => {
            assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused)));
            assert!(
                error.to_string().ends_with("running the command failed: sudo did not accept the password")
            );
        }
        other => panic!("{other:?}"),
    }
    let (stdout, stderr) = printed(&output);
    assert_eq!((stdout.len(), stderr[0].as_str()), (0, "Sorry, try again."));
    // sudo's message about the end of its input may arrive before the end of the channel.
    assert!(stderr[1..].iter().all(|line| line.is_empty() || line.starts_with("sudo: ")), "{stderr:?}");
    // The connection still works.
    let output = rights.run(&rights.command("id -un"));
    assert_eq!(printed(&output).0, ["root"]);
}

#[test]
fn a_user_without_rights_is_told_so_by_sudo() {
    let _dog = guard("a_user_without_rights");
    let Some(mut rights) = Rights::new("Defaults:{user} lecture=never, !mail_no_user, !mail_badpass") else {
        return;
    };
    let output = rights.run(&rights.command("id -un; cat"));
    let (stdout, stderr) = printed(&output);
    assert!(stdout.is_empty() && stderr[0].contains("is not in the sudoers file"), "{stderr:?}");
    assert_eq!(output.exit_code(), Some(1));
    let output = rights.run(&Command::new("id -un; cat").sudo_non_interactive(true));
    let (stdout, stderr) = printed(&output);
    assert!(stdout.is_empty() && stderr[0].contains("a password is required"), "{stderr:?}");
    assert_eq!(output.exit_code(), Some(1));
}

/// One account on six hosts: two of them refuse a wrong password, and no other gets it.
#[test]
fn a_wrong_password_reaches_two_hosts_and_a_right_one_all() {
    let _dog = guard("a_wrong_password_reaches_two");
    let Some(mut rights) = Rights::on(6, ASKING) else { return };
    let right = rights.user.password().to_owned();
    let mut run = |command: Command| {
        let outputs = rights.client.run_command(command).expect("it starts");
        join(&rights.client, &outputs);
        let kind = |output: &HostOutput| match output.error() {
            None => "success",
            Some(error) => match error.kind() {
                HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused) => "refused",
                HostErrorKind::Channel(ChannelProblem::SudoPasswordWithheld { .. }) => "withheld",
                kind => panic!("{kind}"),
            },
        };
        let mut kinds: Vec<_> = outputs.iter().map(kind).collect();
        kinds.sort_unstable();
        let texts = outputs.iter().map(|output| printed(output).1.join(" ")).collect::<String>();
        (kinds, texts.matches("try again").count())
    };
    let wrong = ["refused", "refused", "withheld", "withheld", "withheld", "withheld"];
    assert_eq!(run(Command::new("id -un").sudo_password("not it")), (wrong.to_vec(), 2));
    assert_eq!(run(Command::new("id -un").sudo_password(right)), (vec!["success"; 6], 0));
}

#[test]
fn on_a_terminal_the_password_is_not_shown() {
    let _dog = guard("on_a_terminal");
    for rules in [ASKING, "Defaults:{user} lecture=never, use_pty\n{user} ALL=(ALL) ALL"] {
        let Some(mut rights) = Rights::new(rules) else { return };
        let command =
            rights.command("id -un; read -r line; echo \"<$line>\"; tty >/dev/null && exit 7").use_pty(true);
        let output = rights.run(&command);
        let (mut stdout, stderr) = printed(&output);
        // The terminal echoes the input as soon as it arrives.
        stdout.sort();
        assert_eq!(stdout, ["<for the command>", "for the command", "root"], "{rules}");
        assert_eq!((stderr, output.exit_code()), (vec![], Some(7)));
        let output = rights.run(&Command::new("id -un").sudo_password("not it").use_pty(true));
        assert!(output.error().is_some_and(|error| error.to_string().contains("did not accept")));
        assert_eq!(printed(&output).0, ["Sorry, try again."]);
    }
}
