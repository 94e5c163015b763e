//! The target that reads output in every encoding.

use encoding_rs::{EUC_JP, Encoding as Standard, GB18030, GBK, ISO_2022_JP};

use crate::output::{Decoding, Encoding, LineBuffer, Malformed};

const LABELS: [&str; 12] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "shift_jis",
    "gb18030",
    "gbk",
    "big5",
    "euc-jp",
    "euc-kr",
    "iso-2022-jp",
    "latin1",
    "x-user-defined",
];

/// The first byte is the encoding, the second the size of the chunks; the rest is the stream.
///
/// Its lines must not depend on the chunks; the strict and the lossy reader must agree where both
/// succeed; and the lines together must equal those of the whole text. As a command, the stream is
/// encoded or refused.
pub fn decode(data: &[u8]) {
    let [label, size, stream @ ..] = data else { return };
    let Ok(encoding) = Encoding::for_label(LABELS[usize::from(*label) % LABELS.len()]) else { return };
    let lossy = Decoding { encoding, strict: false };
    let whole = read(lossy, [stream]);
    let chunks = || stream.chunks(usize::from(*size) + 1);
    assert_eq!(read(lossy, chunks()), whole, "the lines depend on the chunks");
    let strict = read(Decoding { encoding, strict: true }, chunks());
    assert_eq!(strict.len(), whole.len());
    for (strict, lossy) in strict.into_iter().zip(&whole) {
        match (strict, lossy) {
            (Ok(strict), Ok(lossy)) => assert_eq!(strict, *lossy),
            (Err(Malformed { line, offset }), Ok(lossy)) => {
                assert!(offset < line.len() && lossy.contains(char::REPLACEMENT_CHARACTER), "{line:x?}");
            }
            (_, Err(_)) => unreachable!("the lossy reader has no errors"),
        }
    }
    compare_with_whole_text(encoding, stream, whole);
    if let Err(problem) = encoding.encode(stream) {
        assert!(str::from_utf8(stream).is_err() || problem.to_string().contains(encoding.name()));
    }
}

fn compare_with_whole_text(encoding: Encoding, stream: &[u8], lines: Vec<Result<String, Malformed>>) {
    let Some(standard) = Standard::for_label(encoding.name().as_bytes()) else { return };
    // Where a character is truncated, the end of a text consumes more of it than the end of a line
    // does, and the next line starts in ASCII state.
    if [EUC_JP, GB18030, GBK, ISO_2022_JP].contains(&standard) {
        return;
    }
    let (whole, _) = standard.decode_with_bom_removal(stream);
    let mut expected: Vec<&str> = whole.split('\n').collect();
    let rest = expected.pop().unwrap_or_default();
    for line in &mut expected {
        *line = line.strip_suffix('\r').unwrap_or(line);
    }
    // A byte order mark alone is a line, although an empty one.
    if !rest.is_empty() || whole.is_empty() && !stream.is_empty() {
        expected.push(rest);
    }
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    assert_eq!(lines, expected, "the lines are not those of the text");
}

fn read<'a>(
    decoding: Decoding,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Result<String, Malformed>> {
    let mut buffer = LineBuffer::new();
    buffer.set_line_ends(decoding.encoding.line_ends());
    let mut lines = Vec::new();
    let mut text = String::new();
    let mut drain = |buffer: &mut LineBuffer, lines: &mut Vec<_>| {
        let mut at_start = buffer.position() == 0;
        while let Some(line) = buffer.next_line() {
            lines.push(decoding.decode(line, at_start, &mut text).map(str::to_owned));
            at_start = false;
        }
    };
    for chunk in chunks {
        buffer.push(chunk);
        drain(&mut buffer, &mut lines);
    }
    buffer.finish();
    drain(&mut buffer, &mut lines);
    lines
}
