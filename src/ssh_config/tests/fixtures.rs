//! Files written after public ones, compared with `ssh -G`.

use std::fs;
use std::path::Path;

use super::differential::{compare, defaults, ours, ssh};
use super::dump::{KEYWORDS, MORE_KEYWORDS};
use super::write;
use crate::ssh_config::*;

/// Writes the files of a fixture, and returns its aliases.
fn unpack(text: &str, home: &Path) -> Vec<String> {
    let mut lines = text.lines();
    let aliases = lines.next().unwrap().strip_prefix("#### aliases: ").unwrap();
    let rest: Vec<&str> = lines.collect();
    let mut name = ".ssh/config";
    let mut content = String::new();
    for line in rest {
        match line.strip_prefix("#### file: ") {
            Some(next) => {
                write(&home.join(name), std::mem::take(&mut content));
                name = next;
            }
            None => content += &format!("{line}\n"),
        }
    }
    write(&home.join(name), content);
    aliases.split(' ').map(str::to_owned).collect()
}

#[test]
fn public_configurations_mean_what_they_mean_to_ssh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ssh_config/tests/fixtures");
    let mut count = 0;
    let mut faults = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let config = home.join(".ssh/config");
        let mut differs_from_defaults = false;
        for alias in unpack(&text, home) {
            let theirs = ssh(home, &config, &[&alias]);
            let defaults = defaults(home, &alias, &theirs).unwrap();
            let output = theirs.as_ref().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            differs_from_defaults |= KEYWORDS
                .iter()
                .chain(&MORE_KEYWORDS)
                .any(|keyword| output.get(*keyword) != defaults.get(*keyword));
            let ours = ours(home, &config, &SshDestination::new(&*alias), &defaults);
            if let Err(fault) = compare(&theirs, &ours) {
                faults += &format!("{} {alias}: {fault}\n", path.display());
            }
        }
        assert!(differs_from_defaults, "{} says nothing", path.display());
        count += 1;
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(count >= 12, "{count} fixtures");
}
