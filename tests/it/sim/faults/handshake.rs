//! From the first byte to the host key.

use sshoal::HostOutput;

use super::super::{client, command, fleet, run, watch};
use super::{assert_endings, ending, kind};

#[test]
fn silence_lasts_as_long_as_the_handshake_may() {
    assert_endings(
        "hostname",
        &[
            ("accept:silence", "Handshaking: handshake timeout"),
            ("accept:stall", "Handshaking: handshake timeout"),
            ("banner:silence", "Handshaking: handshake timeout"),
            ("banner:stall", "Handshaking: handshake timeout"),
            ("kex:silence", "Handshaking: handshake timeout"),
            ("kex:stall", "Handshaking: handshake timeout"),
            // Occasional bytes do not extend the limit, which is a total.
            ("accept:drip", "Handshaking: handshake timeout"),
            ("banner:drip", "Handshaking: handshake timeout"),
            ("kex:drip", "Handshaking: handshake timeout"),
        ],
    );
}

/// A reset can arrive before the successful TCP connect was noticed.
const RESET: &str = "Handshaking: connection lost | Connecting: connect ConnectionReset";

#[test]
fn an_end_of_the_connection_is_told_as_such() {
    assert_endings(
        "hostname",
        &[
            ("accept:fin", "Handshaking: connection lost"),
            ("accept:rst", RESET),
            ("banner:fin", "Handshaking: connection lost"),
            ("banner:rst", RESET),
            ("kex:fin", "Handshaking: connection lost"),
            ("kex:rst", "Handshaking: connection lost"),
            // Right after the banner: libssh answers the banner first, and may find the connection
            // reset.
            (
                "banner:disconnect=no time",
                "Handshaking: disconnected 11 \"no time\" | Handshaking: connection lost",
            ),
            // Right after the host's KEXINIT, likewise: libssh answers that first if the two arrive
            // apart.
            (
                "kex:disconnect=\x1b[31mred\x07",
                "Handshaking: disconnected 11 \"\\u{1b}[31mred\\u{7}\" | Handshaking: connection lost",
            ),
        ],
    );
}

#[test]
fn what_is_not_ssh_is_told_from_broken_ssh() {
    assert_endings(
        "hostname",
        &[
            ("accept:garbage", "Handshaking: not SSH"),
            // RFC 4253 section 4.2 allows lines before the identification string, and libssh does
            // not count them.
            ("accept:lines", "Handshaking: handshake timeout"),
            ("accept:long-line", "Handshaking: not SSH"),
            // Text, then the end: libssh does not distinguish it from a host that hangs up at once.
            ("accept:http", "Handshaking: connection lost"),
            ("banner:garbage", "Handshaking: protocol"),
            ("kex:garbage", "Handshaking: protocol"),
            ("banner:raw=ffffffff00000000", "Handshaking: protocol"),
            ("kex:raw=0000000c0a1f000000000000000000000000", "Handshaking: protocol"),
        ],
    );
}

#[test]
fn slow_hosts_are_waited_for() {
    assert_endings(
        "hostname",
        &[
            ("accept:delay=700", "exit status 0"),
            ("banner:delay=700", "exit status 0"),
            ("kex:delay=700", "exit status 0"),
            ("auth:delay=700", "exit status 0"),
            ("open:delay=700", "exit status 0"),
            ("exec:delay=700", "exit status 0"),
            ("stream:delay=700", "exit status 0"),
            ("end:delay=700", "exit status 0"),
            ("close:delay=700", "exit status 0"),
        ],
    );
}

#[test]
fn another_host_key_than_the_pinned_one_ends_the_handshake() {
    assert_endings("hostname", &[("set:other-host-key=true", "Handshaking: host key")]);
}

#[test]
fn algorithms_that_only_the_host_has_are_not_agreed_on() {
    let _dog = watch();
    for (setting, word) in [
        ("kex=diffie-hellman-group16-sha512", "kex_algorithms(\"+diffie-hellman-group16-sha512\")"),
        ("kex=diffie-hellman-group1-sha1", "kex_algorithms(\"+diffie-hellman-group1-sha1\")"),
    ] {
        let sim = fleet(&[&format!("* set:{setting}")]);
        let mut client = client(&sim, 20).build().unwrap();
        let outputs = client
            .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        let endings: Vec<String> = outputs.iter().map(ending).collect();
        // The host hangs up as soon as it has seen our list. libssh drops unread data when a
        // connection is reset, so on a busy machine the lists of some hosts are never read.
        let expected = ["Handshaking: no common algorithm", "Handshaking: connection lost"];
        assert!(endings.iter().all(|ending| expected.contains(&ending.as_str())), "{setting}: {endings:?}");
        let named = outputs
            .iter()
            .filter_map(HostOutput::error)
            .find(|error| kind(error.kind()) == "no common algorithm" && error.to_string().contains(word));
        assert!(named.is_some(), "{setting}: {:?}", outputs[0].error());
    }
}

#[test]
fn ml_kem_is_agreed_on_where_libssh_has_it() {
    let _dog = watch();
    let sim = fleet(&[]);
    let has = client(&sim, 1).require_post_quantum(true).build().is_ok();
    let outputs = run(&mut client(&sim, 1).build().unwrap(), "hostname");
    let agreed = outputs[0].algorithms().unwrap();
    assert_eq!(agreed.key_exchange() == "mlkem768x25519-sha256", has, "{agreed}");
    assert_eq!(agreed.is_post_quantum(), has, "{agreed}");
}

#[test]
fn algorithms_that_both_have_work_with_large_outputs_too() {
    assert_endings(
        "bytes 300000",
        &[
            ("set:ciphers=aes128-ctr", "exit status 0"),
            ("set:ciphers=aes192-ctr", "exit status 0"),
            ("set:ciphers=aes256-ctr", "exit status 0"),
            ("set:ciphers=chacha20-poly1305@openssh.com", "exit status 0"),
            ("set:kex=curve25519-sha256", "exit status 0"),
            ("set:kex=ecdh-sha2-nistp256", "exit status 0"),
            // Several times, in the middle of the output.
            ("set:rekey-bytes=65536", "exit status 0"),
        ],
    );
}
