//! What copies have done, in words.

use std::fmt::Write;

use sshoal::transfer::Transferred;

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the hosts.
    Put,
    /// From the hosts.
    Get,
    /// To the hosts, but they are only looked at.
    DryPut,
}

/// What was done on a host, or on all of them, in a line: `3 files, 12.0 kB; 2 the same`.
pub fn text(done: &Transferred, way: Way) -> String {
    let count =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let would = if way == Way::DryPut { "would copy " } else { "" };
    let mut text = format!("{would}{}, {}", count(done.files, "file", "files"), bytes(done.bytes as f64));
    let deleted = if way == Way::DryPut { "to delete" } else { "deleted" };
    let others = [
        (done.directories, "new directory", "new directories"),
        (done.links, "link", "links"),
        (done.skipped, "the same", "the same"),
        (done.deleted, deleted, deleted),
        (done.verified, "verified", "verified"),
        (done.replaced_in_two_steps, "replaced in two steps", "replaced in two steps"),
    ];
    for (number, one, many) in others.into_iter().filter(|(number, ..)| *number > 0) {
        // A string takes all that is written to it.
        _ = write!(text, "; {}", count(number, one, many));
    }
    text
}

/// The sum of what hosts have done.
pub fn add(sum: &mut Transferred, done: &Transferred) {
    sum.files += done.files;
    sum.directories += done.directories;
    sum.links += done.links;
    sum.skipped += done.skipped;
    sum.deleted += done.deleted;
    sum.bytes += done.bytes;
    sum.total += done.total;
    sum.verified += done.verified;
    sum.replaced_in_two_steps += done.replaced_in_two_steps;
}

/// A number of bytes for people: `17 B`, `12.0 kB`, `1.5 GB`.
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000.0 {
        return format!("{bytes:.0} B");
    }
    let (mut scaled, mut unit) = (bytes / 1000.0, 0);
    // 999.95 would be shown as 1000.0.
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_are_short() {
        for (count, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1.0 kB"),
            (999_949.0, "999.9 kB"),
            (999_950.0, "1.0 MB"),
            (1.5e9, "1.5 GB"),
            (u64::MAX as f64, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn only_what_was_done_is_named() {
        let mut done = Transferred::default();
        (done.files, done.bytes) = (1, 12);
        assert_eq!(text(&done, Way::Put), "1 file, 12 B");
        (done.files, done.directories, done.skipped, done.deleted) = (3, 1, 2, 4);
        assert_eq!(text(&done, Way::Get), "3 files, 12 B; 1 new directory; 2 the same; 4 deleted");
        assert_eq!(
            text(&done, Way::DryPut),
            "would copy 3 files, 12 B; 1 new directory; 2 the same; 4 to delete"
        );
        let mut sum = done;
        add(&mut sum, &done);
        assert_eq!(text(&sum, Way::Put), "6 files, 24 B; 2 new directories; 4 the same; 8 deleted");
    }
}
