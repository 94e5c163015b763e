//! Which libssh is in use.

use std::process::Command;

use sshoal::ParallelClient;

/// Whether the system has a libssh to link, as the build script of libssh-rs-sys asks.
fn system_has_libssh() -> bool {
    let probe = Command::new("pkg-config").args(["--atleast-version=0.9.7", "libssh"]).status();
    probe.is_ok_and(|status| status.success())
}

#[test]
fn the_program_can_ask_which_libssh_it_uses() {
    let library = ParallelClient::library();
    assert_eq!(library.bundled, cfg!(feature = "vendored") || !system_has_libssh(), "{library:?}");
    assert!(library.version.contains("openssl"), "{library:?}");
    // Debian's has it; the bundled one cannot.
    assert_eq!(library.gssapi, !library.bundled, "{library:?}");
}
