//! The programs of `examples/`, which test runners build along with the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The path of an example; builds it if the test runner built one test target only. That takes
/// minutes on a busy machine, so call this before a watchdog starts.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let profile_dir = test.parent().and_then(Path::parent).expect("a target directory above it");
    let program = profile_dir.join("examples").join(name);
    if !program.exists() {
        build(name, profile_dir);
    }
    program
}

fn build(name: &str, profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--example", name, "--profile", profile, "--target-dir"]);
    cargo.arg(profile_dir.parent().expect("a target directory"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    // The same features as this test's, otherwise the library would be rebuilt.
    if cfg!(feature = "vendored") {
        cargo.args(["--features", "vendored"]);
    }
    let built = cargo.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}
