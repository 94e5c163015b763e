//! Tells the library which libssh it is linked with, and warns where that is the bundled one.

use std::env;

/// The libssh that libssh-rs-sys 0.2.8 bundles. It calls itself 0.8.90.
const BUNDLED: &str = "0.11.4";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bundled_libssh)");
    println!("cargo::rustc-env=BUNDLED_LIBSSH={BUNDLED}");
    // libssh-rs-sys sets its build folder if, and only if, it has compiled the libssh that it bundles.
    if env::var_os("DEP_LIBSSH_ROOT").is_none() {
        return;
    }
    println!("cargo::rustc-cfg=bundled_libssh");
    let why = if env::var_os("CARGO_FEATURE_VENDORED").is_some() {
        "as the feature `vendored` asks"
    } else {
        "because pkg-config finds no libssh"
    };
    println!(
        "cargo::warning=linking the bundled libssh {BUNDLED}, {why}: it lacks the security fixes of 0.11.5; \
         prefer your distribution's libssh (Debian: libssh-dev)"
    );
}
