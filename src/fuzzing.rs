//! The bodies of the fuzz targets in `fuzz/`, each with its own oracle.
//!
//! They are here, behind `cfg(any(test, fuzzing))`, because they use private items, and so that
//! every `cargo test` replays the committed corpus.

mod agent;
mod agent_filter;
mod certificate;
mod decode;
mod get;
mod key_file;
mod known_hosts;
mod lines;
mod sftp;
mod ssh_config;

pub use crate::dns::fuzzing::{dns_hosts, dns_read, dns_resolv_conf};
pub use agent::agent;
pub use agent_filter::agent_filter;
pub use certificate::certificate;
pub use decode::decode;
pub use get::get;
pub use key_file::key_file;
pub use known_hosts::known_hosts;
pub use lines::{canary, lines};
pub use sftp::sftp;
pub use ssh_config::ssh_config;

use crate::host::HostSpec;
use crate::text;

/// A specification that parses contains nothing dangerous and stays equal when displayed and parsed
/// again.
pub fn host_spec(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let spec: HostSpec = match text.parse() {
        Ok(spec) => spec,
        Err(error) => return assert_clean(&format!("{error}")),
    };
    let shown = spec.to_string();
    assert_clean(&shown);
    let is_space = |character: char| character != ' ' && character.is_whitespace();
    assert!(!shown.contains(is_space) && !spec.host().contains(' '), "whitespace in {shown:?}");
    assert!(!shown.contains(" -"), "{shown:?} contains what reads like an option");
    assert!(!shown.starts_with('-') && !spec.host().starts_with('-'), "{shown:?} reads like an option");
    assert!(!spec.host().contains(['*', '?', '!', ',', '|', '#', '@', '[', ']', '$', '`']), "{shown:?}");
    assert!(!spec.user().is_some_and(|user| user.is_empty() || user.contains([':', ';', '&', '|', '`'])));
    assert!((1..=HostSpec::PART_LEN_MAX).contains(&spec.host().len()));
    assert_ne!(spec.port(), Some(0));
    assert!(shown.len() <= text.len(), "{shown:?} is not the shortest form of {text:?}");
    assert_eq!(shown.parse().as_ref(), Ok(&spec), "{shown:?} parses differently");
    assert_eq!(HostSpec::from_parts(spec.user(), spec.host(), spec.port()).as_ref(), Ok(&spec));
}

/// Sanitised text is clean, bounded and stable. The first byte is the bound.
pub fn sanitise(data: &[u8]) {
    let Some((&bound, raw)) = data.split_first() else { return };
    let max_bytes = usize::from(bound);
    let whole = text::sanitise(raw);
    assert_clean(&whole);
    assert_eq!(text::sanitise(&*whole), whole, "sanitising is not idempotent");
    let bounded = text::sanitise_bounded(raw, max_bytes);
    assert!(bounded.len() <= max_bytes, "{} > {max_bytes}", bounded.len());
    assert_eq!(text::sanitise_bounded(&*bounded, max_bytes), bounded, "bounding is not idempotent");
    if whole.len() <= max_bytes {
        assert_eq!(bounded, whole);
        return;
    }
    let kept = bounded.strip_suffix('…').unwrap_or(&bounded);
    assert!(whole.starts_with(kept), "{bounded:?} is not the start of {whole:?}");
    // The longest unit, an escaped tag character, is nine bytes; the mark takes three.
    assert!(max_bytes < 3 || kept.len() + 12 > max_bytes, "cut too early: {bounded:?}");
}

fn assert_clean(text: &str) {
    assert!(!text.chars().any(text::must_escape), "not clean: {text:?}");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Runs every committed input of a target; a target without inputs is a mistake.
    fn replay(target: &str, body: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs = 0;
        for entry in entries {
            let path = entry.map(|entry| entry.path()).unwrap_or_else(|error| panic!("{error}"));
            let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            println!("{}", path.display());
            body(&input);
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }

    #[test]
    fn corpus_of_agent() {
        replay("agent", super::agent);
    }

    #[test]
    fn corpus_of_agent_filter() {
        replay("agent_filter", super::agent_filter);
    }

    #[test]
    fn corpus_of_certificate() {
        replay("certificate", super::certificate);
    }

    #[test]
    fn corpus_of_decode() {
        replay("decode", super::decode);
    }

    #[test]
    fn corpus_of_dns_hosts() {
        replay("dns_hosts", super::dns_hosts);
    }

    #[test]
    fn corpus_of_dns_read() {
        replay("dns_read", super::dns_read);
    }

    #[test]
    fn corpus_of_dns_resolv_conf() {
        replay("dns_resolv_conf", super::dns_resolv_conf);
    }

    #[test]
    fn corpus_of_get() {
        replay("get", super::get);
    }

    #[test]
    fn corpus_of_host_spec() {
        replay("host_spec", super::host_spec);
    }

    #[test]
    fn corpus_of_key_file() {
        replay("key_file", super::key_file);
    }

    #[test]
    fn corpus_of_known_hosts() {
        replay("known_hosts", super::known_hosts);
    }

    #[test]
    fn corpus_of_lines() {
        replay("lines", super::lines);
    }

    #[test]
    fn corpus_of_sftp() {
        replay("sftp", super::sftp);
    }

    #[test]
    fn corpus_of_ssh_config() {
        replay("ssh_config", super::ssh_config);
    }

    #[test]
    fn corpus_of_sanitise() {
        replay("sanitise", super::sanitise);
    }

    #[test]
    #[should_panic(expected = "the canary was caught")]
    fn the_canary_is_caught() {
        super::canary(b"\0end\r");
    }
}
