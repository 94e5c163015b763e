//! Shells and subsystems, which have no text that settings could change.

use super::super::request::{ChannelRequest, Program};
use super::*;

fn request(command: &Command) -> (Program, Vec<u8>, Input) {
    let requests = command.to_requests(2, Default::default()).unwrap();
    assert!(Arc::ptr_eq(&requests[0], &requests[1]));
    let Request { program, text, options, .. } = &*requests[0];
    (*program, text.to_bytes().to_vec(), options.input.clone())
}

#[test]
fn shells_and_subsystems_have_open_input_unless_it_is_set() {
    let netconf = Command::subsystem("netconf");
    assert_eq!(request(&Command::new("id")), (Program::Command, b"id".to_vec(), Input::Empty));
    assert_eq!(request(&Command::login_shell()), (Program::Shell, Vec::new(), Input::Open));
    assert_eq!(request(&netconf), (Program::Subsystem, b"netconf".to_vec(), Input::Open));
    let given = Command::login_shell().stdin("exit\n");
    assert_eq!(request(&given).2, Input::from("exit\n"));
}

#[test]
fn they_have_terminals_variables_and_limits_like_any_command() {
    let command = Command::login_shell().use_pty(true).env("A", "1").encoding("latin1");
    let requests = command.time_limit(Duration::from_secs(3)).to_requests(1, Default::default()).unwrap();
    let options = &requests[0].options;
    assert_eq!((options.setup.len(), options.time_limit), (2, Some(Duration::from_secs(3))));
    assert!(matches!(options.setup[0], ChannelRequest::Pty { .. }) && options.may_write());
}

#[test]
fn a_program_of_the_host_replaces_login_shells_only() {
    let cli = LoginProgram::new(Program::Command, "cli --no-pager").unwrap();
    let replaced = |command: &Command| {
        let request = command.to_requests(1, Default::default()).unwrap().remove(0);
        let (program, text) = request.on_host(cli.as_ref());
        (program, text.to_owned(), request.on_host(None).0)
    };
    let text = c"cli --no-pager".to_owned();
    assert_eq!(replaced(&Command::login_shell()), (Program::Command, text, Program::Shell));
    assert_eq!(replaced(&Command::new("id")).1.as_c_str(), c"id");
    assert_eq!(replaced(&Command::subsystem("sftp")).1.as_c_str(), c"sftp");
}

#[test]
fn what_no_host_can_run_in_place_of_a_shell_is_refused() {
    let problem = |program, text: &str| {
        LoginProgram::new(program, text).map(drop).map_err(|problem| problem.of_command().to_string())
    };
    let long = "x".repeat(limits::COMMAND_BYTES + 1);
    for (program, setting) in [(Program::Command, "remote_command"), (Program::Subsystem, "remote_subsystem")]
    {
        for text in ["", " \n", "a\0b", &long] {
            let problem = problem(program, text).unwrap_err();
            assert!(problem.starts_with(&format!("{setting} \"")), "{problem}");
            assert!(problem.len() < 600, "{problem}");
        }
        assert_eq!(LoginProgram::new(program, "NONE"), Ok(None));
    }
    assert_eq!(problem(Program::Command, &long[1..]), Ok(()));
    assert!(problem(Program::Subsystem, &"x".repeat(limits::NAME_BYTES + 1)).is_err());
}

#[test]
fn what_would_change_their_text_is_refused() {
    for (kind, name) in [
        (Command::login_shell as fn() -> Command, "Command::login_shell"),
        (|| Command::subsystem("sftp"), "Command::subsystem"),
    ] {
        for (command, setting) in [
            (kind().host_args(["a"]), "host_args"),
            (kind().shell("bash -c"), "shell"),
            (kind().shell_env("A", "1"), "shell_env"),
            (kind().sudo(true), "sudo"),
            (kind().run_as("postgres"), "run_as"),
            (kind().sudo_password("secret"), "sudo_password"),
            (kind().sudo_non_interactive(true), "sudo_non_interactive"),
        ] {
            assert_eq!(
                config(&command),
                format!("{setting} cannot be combined with {name}: give one of them")
            );
        }
        assert!(kind().sudo(true).sudo(false).host_args([""; 0]).to_requests(1, Default::default()).is_ok());
    }
}

#[test]
fn names_that_no_subsystem_can_have_are_refused() {
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for name in ["", "a\0b", "\x1b[2J\0", &long] {
        let text = config(&Command::subsystem(name));
        assert!(text.starts_with("Command::subsystem \""), "{text}");
        assert!(text.ends_with("must have 1 to 256 bytes, none of them NUL"), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert_eq!(request(&Command::subsystem(&long[1..])).1.len(), limits::NAME_BYTES);
}
