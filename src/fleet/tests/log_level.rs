//! When libssh logs more than warnings, which costs a quarter of a command's instructions
//! (docs/design.md): only while a channel opens that may be written to, and while a tunnel opens.

use std::env;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use hostsim::Sim;

use crate::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use crate::link::engine::verbose_scopes;
use crate::session::CommandState;
use crate::{Budget, Command, Fleet, Proxy};

const SERVE: &str = "SSHOAL_TEST_SERVES_HOSTS";

/// Starts simulated hosts in another process, which is this test once more.
fn hosts(test: &str) -> Option<Sim> {
    if env::var_os(SERVE).is_some() {
        let _code = hostsim::serve_from_args();
        return None;
    }
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut program = Program::new(env::current_exe().unwrap());
    program.args(["--exact", &name, "--nocapture"]).env(SERVE, "1");
    Some(Sim::builder().spawn(program).unwrap())
}

fn fleet(sim: &Sim, proxy: Option<Proxy>) -> Fleet {
    let key = HostKey::from_openssh(&sim.host_key_openssh().unwrap()).unwrap();
    let pins = HostKeyPins::new().for_any_host(key.fingerprint());
    let builder =
        Fleet::builder([sim.hosts(2).remove(1)]).user("demo").identity_auth(false).allow_agent(false);
    let builder = builder.host_keys(HostKeyPolicy::pinned(pins)).no_known_hosts();
    let builder = builder.key_bytes(sim.user_key_openssh().unwrap()).timeout(Duration::from_secs(60));
    proxy.into_iter().fold(builder, |builder, proxy| builder.proxy(proxy)).build().unwrap()
}

/// Drives the fleet until its only host is connected, or its command has come this far.
fn drive(fleet: &mut Fleet, command: Option<crate::ids::CommandId>, until: CommandState) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let host = fleet.hosts()[0];
        let is_done = match command {
            Some(id) => fleet.command(id).is_none_or(|command| command.state() >= until),
            None => !fleet.host(host).unwrap().is_awaited(),
        };
        if is_done {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", fleet.host(host));
        fleet.wait(Some(Duration::from_secs(1))).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            drop(event);
        }
    }
}

fn connect(fleet: &mut Fleet) {
    let host = fleet.hosts()[0];
    fleet.connect([host]);
    drive(fleet, None, CommandState::Finished);
    assert!(fleet.host(host).unwrap().error().is_none(), "{:?}", fleet.host(host).unwrap().error());
}

#[test]
fn a_login_and_a_command_without_input_take_only_warnings() {
    let Some(sim) = hosts("a_login_and_a_command_without_input_take_only_warnings") else { return };
    let mut fleet = fleet(&sim, None);
    verbose_scopes();
    connect(&mut fleet);
    assert_eq!(verbose_scopes(), 0, "the login");
    for _ in 0..2 {
        let command = fleet.start("lines 100").unwrap().commands[0];
        drive(&mut fleet, Some(command), CommandState::Finished);
        assert_eq!(verbose_scopes(), 0, "the command");
    }
}

#[test]
fn a_command_with_input_takes_the_log_only_while_its_channel_opens() {
    let Some(sim) = hosts("a_command_with_input_takes_the_log_only_while_its_channel_opens") else { return };
    let mut fleet = fleet(&sim, None);
    connect(&mut fleet);
    verbose_scopes();
    let command = fleet.start(Command::new("cat").stdin(crate::config::Input::Open)).unwrap().commands[0];
    drive(&mut fleet, Some(command), CommandState::Running);
    let opening = verbose_scopes();
    assert!((1..20).contains(&opening), "{opening}");
    for _ in 0..20 {
        fleet.write_stdin(command, &[b'x'; 1000]).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
    }
    fleet.close_stdin(command);
    drive(&mut fleet, Some(command), CommandState::Finished);
    assert_eq!(verbose_scopes(), 0);
}

#[test]
fn a_proxy_takes_the_log_only_while_a_tunnel_opens() {
    let Some(sim) = hosts("a_proxy_takes_the_log_only_while_a_tunnel_opens") else { return };
    let proxy = Proxy::new(format!("demo@{}:{}", sim.host(0), sim.port()));
    let proxy = proxy.key_bytes(sim.user_key_openssh().unwrap()).identity_auth(false).allow_agent(false);
    let mut fleet = fleet(&sim, Some(proxy));
    verbose_scopes();
    connect(&mut fleet);
    let opening = verbose_scopes();
    assert!((1..20).contains(&opening), "{opening}");
    let command = fleet.start("lines 1000").unwrap().commands[0];
    drive(&mut fleet, Some(command), CommandState::Finished);
    assert_eq!(verbose_scopes(), 0);
}
