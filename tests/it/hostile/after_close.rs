//! Messages that a server sends on a channel that it has closed (CVE-2026-59850).

use sshoal::error::ChannelProblem;
use sshoal::{HostErrorKind, Outcome};

use super::{Hostile, INPUTS, address, all, greet, guard, run, stdout};

#[test]
fn nothing_after_the_close_alters_the_outcome() {
    let _dog = guard("after_close");
    let kinds = ["after-close", "after-close-no-status", "after-both-closed"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    // The second command runs while data for the first one's channel is still arriving.
    for input in [INPUTS, INPUTS].concat() {
        let outputs = run(&mut client, greet(input));
        assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());
        assert!(matches!(outputs[1].outcome(), Some(Outcome::NoStatus)), "{:?}", outputs[1].outcome());
        assert!(matches!(outputs[2].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[2].outcome());
        for output in &outputs {
            assert_eq!(stdout(output), ["hello"], "{}", output.host());
            assert!(output.stderr().next().is_none());
        }
    }
}

#[test]
fn a_channel_that_was_refused_is_deaf() {
    let _dog = guard("after_refusal");
    let server = Hostile::start(&["after-refusal"]);
    let mut client = server.client(all(&["after-refusal"])).build().expect("a client");
    for input in [INPUTS, INPUTS].concat() {
        let outputs = run(&mut client, greet(input));
        let error = outputs[0].error().expect("refused");
        let HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) = error.kind() else { panic!("{error}") };
        assert!(outputs[0].stdout().find_map(Result::ok).is_none());
    }
    assert_eq!(server.count(&address(0), super::KEXINIT), 1, "the connection lives on");
}
