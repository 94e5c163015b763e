//! The names to try for a host: the search list.

use std::vec;

use hickory_proto::rr::Name;

use super::conf::DnsConfig;
use super::wire;

/// The names to query for a host, in order, until one exists (glibc: `__res_context_search`). Empty
/// if DNS cannot represent the host at all.
pub(super) fn candidates(host: &str, config: &DnsConfig) -> vec::IntoIter<Name> {
    let mut names = Vec::new();
    let Some(bare) = wire::name(host) else { return names.into_iter() };
    let is_absolute = host.ends_with('.');
    let dots = host.bytes().filter(|&byte| byte == b'.').count();
    if is_absolute || dots >= config.ndots {
        names.push(bare.clone());
    }
    if !is_absolute {
        // A domain that makes the name too long is skipped.
        names.extend(config.search.iter().filter_map(|domain| match domain.as_str() {
            "." => Some(bare.clone()),
            domain => wire::name(&format!("{host}.{domain}")),
        }));
        if config.bare_names || dots > 0 || names.is_empty() {
            names.push(bare);
        }
    }
    let mut unique: Vec<Name> = Vec::with_capacity(names.len());
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique.into_iter()
}
