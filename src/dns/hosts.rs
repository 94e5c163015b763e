//! The hosts file (`hosts(5)`).

use std::collections::HashMap;
use std::net::IpAddr;

/// The addresses of each name in lower case, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    /// Parses a hosts file. Ignores lines without an address or without a name, as glibc does.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut hosts: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            let Ok(line) = str::from_utf8(line) else { continue };
            let mut words = line.split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
            for name in words {
                let addresses = hosts.entry(name.to_ascii_lowercase().into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of a name, which must be in lower case.
    pub(super) fn find(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}
