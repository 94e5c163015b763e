//! Groups as differences to the largest one: `--diff`.

use std::cmp::Reverse;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use similar::udiff::UnifiedHunkHeader;
use similar::{Algorithm, ChangeTag, capture_diff_slices_deadline, group_diff_ops};
use sshoal::StdStream;

use super::folded::header;
use super::gather::{Gathered, Group};
use super::store::Position;
use super::{Hosts, Screen};

/// Longer outputs are not compared: a difference that long is for a program to read.
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// After this time, what is left of an output is shown as replaced.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Equal lines around each change, as diff(1) has them.
const CONTEXT_LINES: usize = 3;

const HEADER: Style = AnsiColor::Blue.on_default();
const HUNK: Style = AnsiColor::Cyan.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const ADDED: Style = AnsiColor::Green.on_default();

/// Writes each group as its difference to the largest one. Of several largest ones, that with the
/// best end counts, as with clush.
pub fn write(
    hosts: &Hosts<'_>,
    gathered: &Gathered,
    groups: &[&Group],
    stream: StdStream,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    let worst = |group: &Group| gathered.end_of(group).is_none_or(|end| !end.is_success());
    let Some(largest) = groups.iter().min_by_key(|group| (Reverse(group.hosts.len()), worst(group))) else {
        return Ok(());
    };
    let Some(reference) = text(gathered, largest.at)? else {
        return too_long(hosts, gathered, largest, stream, screen);
    };
    for group in groups.iter().filter(|group| group != &largest) {
        let names = [("---", largest), ("+++", group)];
        for (sign, group) in names {
            screen.styled(stream, HEADER, &format!("{sign} {}\n", header(hosts, gathered, group)))?;
        }
        match text(gathered, group.at)? {
            Some(text) => hunks(&reference, &text, stream, screen)?,
            None => too_long(hosts, gathered, group, stream, screen)?,
        }
    }
    Ok(())
}

fn hunks(reference: &[u8], text: &[u8], stream: StdStream, screen: &mut Screen<'_>) -> io::Result<()> {
    let [old, new]: [Vec<&[u8]>; 2] = [reference, text].map(lines);
    let deadline = Instant::now().checked_add(TIME_MAX);
    let changes = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    for hunk in group_diff_ops(changes, CONTEXT_LINES) {
        screen.styled(stream, HUNK, &format!("{}\n", UnifiedHunkHeader::new(&hunk)))?;
        for change in hunk.iter().flat_map(|part| part.iter_changes(&old, &new)) {
            let (sign, style) = match change.tag() {
                ChangeTag::Equal => (b" ", Style::new()),
                ChangeTag::Delete => (b"-", REMOVED),
                ChangeTag::Insert => (b"+", ADDED),
            };
            screen.host_line(stream, style, &[sign, change.value()].concat())?;
        }
    }
    Ok(())
}

/// The lines without their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect()
}

/// The output at this position, unless it is too long.
fn text(gathered: &Gathered, at: Position) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    gathered.store().content(at).take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= BYTES_MAX))
}

fn too_long(
    hosts: &Hosts<'_>,
    gathered: &Gathered,
    group: &Group,
    stream: StdStream,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    let (group, limit) = (header(hosts, gathered, group), BYTES_MAX >> 20);
    let text = format!("{group}: the output is longer than {limit} MiB, which --diff does not compare\n");
    screen.text(stream, &text)
}
