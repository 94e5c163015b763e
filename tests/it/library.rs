//! Which libssh is linked, and that the bundled one is never linked without a warning.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use sshoal::ParallelClient;
use sshoal::fleet::CryptoProvider;

use crate::support::system::{is_rerun, rerun};

/// Whether the system has a libssh to link, determined like the build script of libssh-rs-sys does.
fn system_has_libssh() -> bool {
    let probe = Command::new("pkg-config").args(["--atleast-version=0.9.7", "libssh"]).status();
    probe.is_ok_and(|status| status.success())
}

fn is_bundled() -> bool {
    cfg!(feature = "vendored") || !system_has_libssh()
}

#[test]
fn the_program_can_ask_which_libssh_it_uses() {
    let library = ParallelClient::library();
    assert_eq!(library.bundled, is_bundled(), "{library:?}");
    assert!(library.version.contains("openssl"), "{library:?}");
    // Debian's has it; the bundled one cannot.
    assert_eq!(library.gssapi, !library.bundled, "{library:?}");
    // For a system's library, the fixes cannot be determined.
    assert_eq!(library.unfixed.contains(&"CVE-2026-59847"), library.bundled, "{library:?}");
    let is_off = std::env::var_os("SSHOAL_PROVIDER").is_some_and(|value| value == "off");
    let provider = if is_off { CryptoProvider::TurnedOff } else { CryptoProvider::InUse };
    assert_eq!(library.provider, provider, "{library:?}");
    let shown = if library.bundled { "libssh 0.11.4 (bundled, calls itself " } else { "libssh 0." };
    assert!(library.to_string().starts_with(shown), "{library}");
    assert!(library.to_string().ends_with(&format!(", {provider}")), "{library}");
}

/// Another release of libssh-rs-sys may bundle another libssh: then update `BUNDLED` in build.rs
/// and the list in src/fleet/library.rs.
#[test]
fn the_bundled_libssh_is_the_one_that_was_looked_at() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("Cargo.lock");
    let (_, package) = lock.split_once("name = \"libssh-rs-sys\"\nversion = \"").expect("libssh-rs-sys");
    assert!(package.starts_with("0.2.8\""), "{package:.10}");
}

#[test]
fn the_build_warns_of_the_bundled_libssh() {
    let output = Path::new(env!("OUT_DIR")).with_file_name("output");
    let output = fs::read_to_string(output).expect("what the build script printed");
    let warnings: Vec<&str> = output.lines().filter(|line| line.starts_with("cargo::warning=")).collect();
    assert_eq!(warnings.len(), usize::from(is_bundled()), "{output}");
    assert!(warnings.iter().all(|line| line.contains("bundled libssh 0.11.4")), "{output}");
}

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

struct Counter;

impl Log for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if record.level() == Level::Warn && text.contains("bundled libssh") {
            assert!(text.contains("CVE-2026-59850") && text.contains("libssh-dev"), "{text}");
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// In a separate process, where no other test has built a client.
#[test]
fn the_first_client_warns_of_the_bundled_libssh() {
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "the_first_client_warns_of_the_bundled_libssh");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    log::set_logger(&Counter).expect("the only logger");
    log::set_max_level(LevelFilter::Warn);
    for _ in 0..2 {
        let builder = ParallelClient::builder(["127.0.0.1"]).user("somebody").identity_auth(false);
        builder.allow_agent(false).known_hosts(Vec::<String>::new()).build().expect("a client");
    }
    assert_eq!(WARNINGS.load(Ordering::Relaxed), usize::from(is_bundled()));
}
