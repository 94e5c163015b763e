//! Key exchanges that a server requests too often, makes expensive, or signs wrongly.

use sshoal::{HostErrorKind, Outcome, Stage};

use super::watch::{BEFORE_LOGIN, Watched, warm_up};
use super::{HEALTHY, Hostile, KEXINIT, address, all, alone, guard, run, stdout};

/// The client's first message of an exchange (RFC 4253 section 8, RFC 4419 section 3).
const KEXDH_INIT: u8 = 30;
const GEX_REQUEST: u8 = 34;

/// `new_keys_every_64_kilobytes_lose_nothing` shows that any number of exchanges with data in
/// between is served.
#[test]
fn new_keys_for_no_data_end_the_connection() {
    let _dog = guard("rekeys_for_nothing");
    let kinds = ["rekeys-for-nothing", "rekeys-before-login", "rekeys-ten-times"];
    let server = Hostile::start(&kinds);
    let watched = Watched::run(&server, &all(&kinds), "greet");
    assert_eq!(watched.breach(0), "the host asked for new keys 11 times in a row, for no data");
    assert!(server.count(&address(0), KEXINIT) >= 12);
    // During a login, libssh accepts no key exchange at all.
    assert!(watched.breach(1).contains("rejected packet"), "{}", watched.breach(1));
    assert!(watched.exited(2) && watched.exited(3), "{:?}", watched.ends);
}

#[test]
fn no_key_exchange_is_a_long_step() {
    let _dog = guard("names");
    if !alone(module_path!(), "no_key_exchange_is_a_long_step") {
        return;
    }
    let kinds = ["rekeys-ten-times", "kexinit-15000", "kexinit-119000", "kexinit-119000-later"];
    let server = Hostile::start(&kinds);
    warm_up(&server);
    for (at, kind) in kinds.iter().enumerate() {
        let watched = Watched::run_undisturbed(&server, &[address(at), HEALTHY.to_owned()], "greet");
        assert!(watched.exited(1), "{kind}");
        assert!(watched.grown < BEFORE_LOGIN, "{kind}: {} bytes more", watched.grown);
        match *kind {
            "rekeys-ten-times" | "kexinit-15000" => assert!(watched.exited(0), "{:?}", watched.ends),
            _ => assert_eq!(watched.breach(0), "a packet of more than 64 KiB", "{kind}"),
        }
    }
}

/// One step of 16 ms, and one of 115 ms or more: the server chooses the group.
#[test]
fn key_exchanges_that_hold_the_thread_are_not_offered() {
    let _dog = guard("exchanges");
    let kinds = ["diffie-hellman-group16-sha512", "diffie-hellman-group-exchange-sha256"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    for (at, output) in run(&mut client, "greet").iter().enumerate() {
        // Either side may notice it first; if the server does, it hangs up.
        let error = output.error().expect("nothing in common");
        assert_eq!(error.stage(), Stage::Handshaking, "{error}");
        let begun = [KEXDH_INIT, GEX_REQUEST].map(|kind| server.count(&address(at), kind));
        assert_eq!(begun, [0, 0], "{}", kinds[at]);
    }
}

/// A missing signature means that the peer does not own the key, or that the key exchange was
/// altered.
#[test]
fn a_signature_that_is_none_is_a_matter_of_integrity() {
    let _dog = guard("signatures");
    let kinds = [
        "signature-empty",
        "signature-no-blob",
        "signature-unknown-type",
        "signature-other-type",
        "signature-truncated",
        "signature-garbage",
        "signature-flipped",
    ];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    for (output, kind) in run(&mut client, "greet").iter().zip(kinds) {
        let Some(Outcome::Failed(error)) = output.outcome() else { panic!("{kind}: {:?}", output.outcome()) };
        let HostErrorKind::Integrity(text) = error.kind() else { panic!("{kind}: {error:?}") };
        assert!(text.contains("signature") || text.contains("Public key"), "{kind}: {text}");
        assert!(stdout(output).is_empty());
    }
}
