//! Determines which libssh the library is linked with, and warns if it is the bundled one.

use std::env;

/// The libssh bundled with libssh-rs-sys 0.2.8. It reports its version as 0.8.90.
const BUNDLED: &str = "0.11.4";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bundled_libssh)");
    println!("cargo::rustc-check-cfg=cfg(openssl_provider)");
    println!("cargo::rustc-env=BUNDLED_LIBSSH={BUNDLED}");
    // openssl-sys tells the version of OpenSSL, in hexadecimal, and none for other libraries.
    let openssl = env::var("DEP_OPENSSL_VERSION_NUMBER").ok();
    let openssl = openssl.and_then(|version| u64::from_str_radix(&version, 16).ok());
    if openssl.is_some_and(|version| version >= 0x3000_0000) && env::var_os("CARGO_FEATURE_AWS_LC").is_some()
    {
        println!("cargo::rustc-cfg=openssl_provider");
    }
    // libssh-rs-sys sets its build folder if, and only if, it has compiled its bundled libssh.
    if env::var_os("DEP_LIBSSH_ROOT").is_none() {
        return;
    }
    println!("cargo::rustc-cfg=bundled_libssh");
    let why = if env::var_os("CARGO_FEATURE_VENDORED").is_some() {
        "because the feature `vendored` is enabled"
    } else {
        "because pkg-config finds no libssh"
    };
    println!(
        "cargo::warning=linking the bundled libssh {BUNDLED}, {why}: it lacks the security fixes of 0.11.5; \
         prefer your distribution's libssh (Debian: libssh-dev)"
    );
}
