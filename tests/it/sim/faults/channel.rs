//! Opening a channel and starting the command.

use std::io::Write;
use std::os::unix::net::UnixListener;

use sshoal::JoinOptions;
use sshoal::config::Input;
use sshoal::hostkey::HostKeyPolicy;

use super::super::{client, fleet, run, settled, stdout, watch};
use super::assert_endings;

#[test]
fn faults_before_the_command_is_accepted() {
    assert_endings(
        "hostname",
        &[
            ("open:silence", "Opening: exec timeout"),
            ("open:stall", "Opening: exec timeout"),
            ("open:drip", "Opening: exec timeout"),
            ("open:fin", "Opening: connection lost"),
            ("open:rst", "Opening: connection lost"),
            ("open:garbage", "Opening: integrity"),
            ("open:refuse", "Opening: open refused"),
            ("open:disconnect=\x1b[2Jgo", "Opening: disconnected 11 \"\\u{1b}[2Jgo\""),
            ("exec:silence", "Requesting: exec timeout"),
            ("exec:stall", "Requesting: exec timeout"),
            ("exec:drip", "Requesting: exec timeout"),
            ("exec:fin", "Requesting: connection lost"),
            ("exec:rst", "Requesting: connection lost"),
            ("exec:garbage", "Requesting: integrity"),
            ("exec:refuse", "Requesting: exec refused"),
            ("exec:disconnect=no", "Requesting: disconnected 11 \"no\""),
        ],
    );
}

/// A client that requested no forwarding refuses every channel to itself (RFC 4254 section 7.2);
/// otherwise a server could reach into its network.
#[test]
fn channels_that_the_server_opens_are_refused() {
    let _dog = watch();
    let sim = fleet(&["i:0..3 exec:opens"]);
    let mut client = client(&sim, 5).build().unwrap();
    for output in run(&mut client, "sleep 0.3; hostname") {
        assert_eq!(stdout(&output), format!("{}\n", output.host()));
    }
    let stats = settled(&sim, |stats| stats.server_opens == 12);
    assert_eq!(stats.server_opens_refused, 12);
    super::assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(sim.stats().unwrap().connections, 5);
}

/// A client that does forward an agent refuses it to a host whose key has changed, even if the host
/// does not wait to be asked.
#[test]
fn a_host_with_a_changed_key_cannot_open_a_channel_to_the_agent() {
    let _dog = watch();
    let sim = fleet(&["* exec:opens"]);
    let host = sim.hosts(1).remove(0);
    let directory = tempfile::tempdir().unwrap();
    let (known, socket) = (directory.path().join("known_hosts"), directory.path().join("agent"));
    let agent = UnixListener::bind(&socket).unwrap();
    agent.set_nonblocking(true).unwrap();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz6i5vlxJsU/kJC+T/kwhIF7aP0Ami7UASJU/u5FsD5";
    for (key, refused) in [(other.to_owned(), 4), (sim.host_key_openssh().unwrap(), 3)] {
        let (name, port) = host.rsplit_once(':').unwrap_or((&host, "22"));
        std::fs::write(&known, format!("{name},[{name}]:{port} {key}\n")).unwrap();
        let before = sim.stats().unwrap().server_opens_refused;
        let builder = client(&sim, 1).forward_ssh_agent(true).agent_socket(&socket).known_hosts([&known]);
        let mut client = builder.host_keys(HostKeyPolicy::danger_accept_changed(&known)).build().unwrap();
        let outputs = run(&mut client, "sleep 0.3; hostname");
        let stats = settled(&sim, |stats| stats.server_opens % 4 == 0 && stats.server_opens > before);
        assert_eq!(stats.server_opens_refused - before, refused, "{:?}", outputs[0].outcome());
        assert_eq!(agent.accept().is_ok(), refused == 3);
    }
}

/// One refused channel fails only its command: the connection stays open.
#[test]
fn a_refused_command_leaves_the_connection_in_order() {
    let _dog = watch();
    let sim = fleet(&["* exec:refuse"]);
    let mut client = client(&sim, 3).build().unwrap();
    for _ in 0..5 {
        let outputs = client
            .run_command_with(
                super::command("hostname"),
                sshoal::ReadOptions::default().stop_on_errors(false),
            )
            .unwrap();
        assert!(outputs.iter().all(|output| super::ending(output) == "Requesting: exec refused"));
    }
    let stats = settled(&sim, |stats| stats.channels_now == 0);
    assert_eq!((stats.connections, stats.execs, stats.channels), (3, 15, 15));
}

/// A maximum packet size of 0 forbids input (CVE-2026-59843). Debian's libssh refuses to open such
/// a channel; the bundled one opens it, and a command without input runs.
#[test]
fn a_host_without_packet_size_gets_no_input() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 set:packet=0"]);
    let mut client = client(&sim, 2).build().unwrap();
    for input in [Input::Open, Input::Empty] {
        let command = super::command("hostname").stdin(input);
        let outputs =
            client.run_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false)).unwrap();
        client.join(&outputs, JoinOptions::default()).unwrap();
        let found = super::ending(&outputs[0]);
        assert!(["exit status 0", "Opening: unwritable"].contains(&found.as_str()), "{found}");
    }

    let outputs = client
        .run_command_with(super::command("count"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    for output in &outputs {
        // Fails at once if the channel was not opened.
        let _ = output.stdin().write_all(b"some input");
    }
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(super::ending(&outputs[0]).ends_with(": unwritable"), "{}", super::ending(&outputs[0]));
    assert_eq!(stdout(&outputs[1]), "10\n");
}
