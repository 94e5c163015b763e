//! How a command's text is completed for each host: arguments inserted, wrapper added.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use sshoal::config::{HostArg, HostArgs};
use sshoal::error::TemplateProblem;
use sshoal::{Command, Error, Outcome};
use tempfile::TempDir;

use super::{build, client_for, guard, join, rest, run_one, stdout};
use crate::support::sshd::Sshd;
use crate::support::system::public_dir;

const HOSTS: [&str; 3] = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];

/// Prints the address that the client has connected to.
const ADDRESS: &str = "set -- $SSH_CONNECTION; echo $3;";

#[test]
fn each_host_runs_its_own_text() {
    let _dog = guard("each_host_runs_its_own_text");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let in_order = HOSTS.iter().enumerate().map(|(position, host)| (*host, position));
    let by_name = HOSTS.iter().enumerate().map(|(position, host)| {
        HostArgs::named([("host", HostArg::from(*host)), ("number", HostArg::from(position))])
    });
    let text = "'%s is %d, 100%% grün'";
    let named_text = "'%(host)s is %(number)d, 100%% grün'";
    for command in [
        Command::new(format!("{ADDRESS} echo {text}")).host_args(in_order.clone()),
        Command::new(format!("{ADDRESS} echo {named_text}")).host_args(by_name),
        Command::new(format!("{ADDRESS} echo {text}")).host_args(in_order).shell("sh -c"),
    ] {
        let outputs = client.run_command(&command).expect("all start");
        join(&client, &outputs);
        for (position, (output, host)) in outputs.iter().zip(HOSTS).enumerate() {
            let expected = [host.to_owned(), format!("{host} is {position}, 100% grün")];
            assert_eq!(stdout(output), expected, "{command:?}");
        }
    }
    // The same connections also run commands without arguments.
    let outputs = client.run_command("echo %s %%").expect("all start");
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| stdout(output) == ["%s %%"]));
    assert_eq!(sshd.count("Connection from"), HOSTS.len());
}

#[test]
fn one_wrong_entry_keeps_every_host_from_starting() {
    let _dog = guard("one_wrong_entry");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let dir = public_dir();
    let touch = |directive: &str| Command::new(format!("touch {}/{directive}", dir.path().display()));
    let made = || fs::read_dir(dir.path()).expect("the directory").count();
    let wrong = [
        touch("%s").host_args(["a"]),
        touch("%s").host_args(["a", "b"]),
        touch("%s").host_args(["a", "b", "c", "d"]),
        touch("%d").host_args([HostArg::from(1), 2.into(), "3".into()]),
        touch("%s").host_args([vec!["a"], vec!["b"], vec![]]),
        touch("%s").host_args([vec!["a"], vec!["b"], vec!["c", "d"]]),
        touch("%(n)s").host_args([HostArgs::named([("n", 1)]), HostArgs::named([("n", 2)]), 3.into()]),
        touch("%s").host_args(["a", "b", "c\0"]),
        touch("%s %").host_args(["a", "b", "c"]),
        touch("a").run_as("no;body"),
    ];
    for command in wrong {
        for result in [client.run_command(&command), client.start_command(&command)] {
            match result {
                Err(Error::HostArgs { hosts: 3, args, .. }) => assert_ne!(args, 3),
                Err(Error::Template { position: 0, problem: TemplateProblem::BadFormat { .. }, .. }) => {}
                Err(Error::Template { position, .. }) => assert_eq!(position, 2),
                Err(Error::Config { .. }) => {}
                other => panic!("{command:?}: {other:?}"),
            }
        }
        assert!(client.last_output().is_empty());
        let stats = client.metrics();
        assert_eq!((stats.connections, stats.admission_queue, stats.timers), (0, 0, 0), "{command:?}");
    }
    // A host with a queued command would run it together with this one.
    let outputs = client.run_command("true").expect("all start");
    join(&client, &outputs);
    assert_eq!(made(), 0);
    let outputs = client.run_command(touch("%s").host_args(["a", "b", "c"])).expect("all start");
    join(&client, &outputs);
    assert_eq!(made(), 3);
}

#[test]
fn a_shell_sees_quotes_and_blanks_as_they_were_given() {
    let _dog = guard("quotes_and_blanks");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let mut run = |command: Command| {
        let outputs = client.run_command(command).expect("it starts");
        join(&client, &outputs);
        assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", rest(&outputs[0]));
        stdout(&outputs[0])
    };
    let bash = |text: &str| Command::new(text).shell("bash -c");
    assert_eq!(run(bash("echo 'a  b'")), ["a  b"]);
    assert_eq!(
        run(bash("printf '<%s>\\n' \"it's\" '\"' 'a\nb' \\\\ '$HOME' '*' '!!'")),
        ["<it's>", "<\">", "<a", "b>", "<\\>", "<$HOME>", "<*>", "<!!>"]
    );
    // Syntax of bash, not of the login shell.
    assert_eq!(run(bash("[[ $BASH_VERSION ]] && words=(a 'b  c') && echo \"${words[1]}\"")), ["b  c"]);
    // Arguments are inserted first, inside the caller's own quotes.
    assert_eq!(run(bash("echo \"%s\"").host_args(["it's  here"])), ["it's  here"]);
}

/// A `sudo` that prints its arguments on standard error, reads a password as with `-S`, then runs
/// the command as the same user.
const SUDO: &str = r#"#!/bin/sh
for argument do printf '<%s>\n' "$argument" >&2; done
IFS= read -r password
printf 'password %s\n' "$password" >&2
if [ "$1" = -u ]; then shift 2; fi
shift
exec "$@"
"#;

fn with_sudo() -> (TempDir, Sshd) {
    let dir = public_dir();
    let program = dir.path().join("sudo");
    fs::write(&program, SUDO).expect("write the program");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("make it one");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", dir.path().display());
    (dir, Sshd::builder().env("PATH", &path).start())
}

#[test]
fn sudo_gets_the_words_that_it_understands() {
    let _dog = guard("sudo");
    let (_dir, sshd) = with_sudo();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let login_shell = &run_one(&mut client, "echo $SHELL")[0];
    assert!(login_shell.starts_with('/'), "{login_shell}");
    let text = "echo 'a  b'; cat";
    let command = || Command::new(text);
    for (command, words) in [
        (command().sudo(true), vec!["-S", login_shell, "-c", text]),
        (command().run_as("web"), vec!["-u", "web", "-S", login_shell, "-c", text]),
        (command().run_as("#1000").sudo(true), vec!["-u", "#1000", "-S", login_shell, "-c", text]),
        (command().run_as("AD\\web").shell("bash -c"), vec!["-u", "AD\\web", "-S", "bash", "-c", text]),
        (command().sudo(true).shell("sh -e -c"), vec!["-S", "sh", "-e", "-c", text]),
    ] {
        let outputs = client.run_command(&command).expect("it starts");
        // The caller's first line answers sudo; the rest is for the command.
        outputs[0].stdin().write_all(b"open sesame\nfor cat\n").expect("queued");
        join(&client, &outputs);
        let mut told: Vec<String> = words.iter().map(|word| format!("<{word}>")).collect();
        told.push("password open sesame".to_owned());
        let told = told.into_iter().map(String::into_bytes).collect();
        assert_eq!(rest(&outputs[0]), (vec![b"a  b".to_vec(), b"for cat".to_vec()], told), "{command:?}");
        assert_eq!(outputs[0].exit_code(), Some(0));
    }
}
