//! `%h`, `%u` and `%n` in commands, as pdsh replaces them.

use super::Texts;
use crate::targets::Target;

/// The text of each host. `user` logs in where a target has no user.
pub fn texts(text: &[u8], targets: &[Target], user: &str) -> Texts {
    if !text.contains(&b'%') {
        return Texts::Same(text.to_vec());
    }
    let of_target = |(rank, target): (usize, &Target)| {
        filled(text, &target.host, target.user.as_deref().unwrap_or(user), rank)
    };
    Texts::Each(targets.iter().enumerate().map(of_target).collect())
}

fn filled(text: &[u8], host: &str, user: &str, rank: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        match bytes.as_slice().first() {
            Some(b'h') => out.extend(host.as_bytes()),
            Some(b'u') => out.extend(user.as_bytes()),
            Some(b'n') => out.extend(rank.to_string().as_bytes()),
            Some(b'%') => out.push(b'%'),
            _ => {
                out.push(b'%');
                continue;
            }
        }
        bytes.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_replaced_and_other_percent_signs_stay() {
        let text = filled(b"run --rank=%n --host=%h -u%u 100%% +%F %", "web1", "deploy", 7);
        assert_eq!(String::from_utf8_lossy(&text), "run --rank=7 --host=web1 -udeploy 100% +%F %");
    }
}
