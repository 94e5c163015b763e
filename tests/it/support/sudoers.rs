//! Rules for Debian's `sudo`, for as long as a test needs them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ports;
use super::process::Janitor;
use super::user::TestUser;

const PROGRAM: &str = "/usr/bin/sudo";
const DIRECTORY: &str = "/etc/sudoers.d";

/// A file in `/etc/sudoers.d`. Dropping it, or the end of this process, removes it and what `sudo`
/// remembers about the user.
pub struct Sudoers {
    paths: Vec<PathBuf>,
    _janitor: Janitor,
}

impl Sudoers {
    /// Adds lines about this user, whose name replaces `{user}`. `None` if `sudo` is not installed,
    /// except in CI, where nothing may be skipped.
    pub fn add(user: &TestUser, lines: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            assert!(std::env::var_os("CI").is_none(), "CI has to run these tests with sudo");
            eprintln!("skipped: {PROGRAM} is missing (Debian: sudo)");
            return None;
        }
        let name = user.name();
        let path = Path::new(DIRECTORY).join(format!("sshoal-{:016x}", ports::random()));
        let remembered = ["/run/sudo/ts", "/var/lib/sudo/lectured"].map(|dir| Path::new(dir).join(name));
        let paths: Vec<PathBuf> = [path.clone()].into_iter().chain(remembered).collect();
        let arguments: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        let arguments: Vec<&str> = arguments.iter().map(|path| &**path).collect();
        let sudoers = Self { _janitor: Janitor::new(r#"rm -f -- "$@""#, &arguments), paths };
        // `sudo` ignores a name with a dot, so it never reads half a file.
        let draft = path.with_extension("draft");
        let text = lines.replace("{user}", name) + "\n";
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o440).open(&draft).expect("create the draft");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("write the draft");
        let check = Command::new("visudo").args(["-c", "-q", "-f"]).arg(&draft).output().expect("visudo");
        if !check.status.success() {
            fs::remove_file(&draft).expect("remove the draft");
            panic!("{text}: {}", String::from_utf8_lossy(&check.stderr));
        }
        fs::rename(&draft, &path).expect("publish the rules");
        Some(sudoers)
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        for path in &self.paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound && !std::thread::panicking() => {
                    panic!("{}: {error}", path.display());
                }
                _ => {}
            }
        }
    }
}
