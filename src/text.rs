//! Escapes text from a peer so that it is safe to show on a terminal or to write into a log.
//!
//! A server chooses its banner, its disconnect message, the text of an exit signal, and much of
//! what libssh reports as an error. If such text were printed unchanged, it could set the clipboard
//! (OSC 52), disguise a link (OSC 8), rename the window, clear the screen, overwrite a line with
//! `\r`, or forge a log line with `\n`. It could also reorder or hide text with Unicode's
//! bidirectional and invisible characters ("Trojan Source", CVE-2021-42574). OpenSSH passes such
//! text through `vis(3)` for the same reason (`utf8.c`, `fmprintf`). This module does not change
//! the output of commands, which the byte API returns raw.
//!
//! The following are escaped:
//! - control characters: tab, line feed and carriage return become `\t`, `\n` and `\r`, other ASCII
//!   controls have the form `\x1b`, and C1 controls have the form `\u{9b}`;
//! - bytes that are not valid UTF-8, including 8-bit C1 controls such as a raw CSI, in the form
//!   `\x9b`;
//! - every character of category Cf, Zl or Zp and every default-ignorable one (bidirectional
//!   controls, zero-width characters, variation selectors, tags, fillers), in the form `\u{202e}`.
//!
//! A backslash is not escaped, so sanitising is idempotent, and text may pass through several
//! layers that each sanitise it. The price is ambiguity: a peer can also send the four characters
//! `\x1b` literally. The result is therefore meant for reading, and cannot be decoded.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// The end of a text that [`sanitise_bounded`] has cut.
const ELLIPSIS: &str = "…";

/// Escapes everything in a text that could control a terminal, forge a log line, or mislead a
/// reader. Borrows the text if there is nothing to escape.
///
/// Takes `str`, `String`, `[u8]` or `Vec<u8>`. The result is up to four times as long as the input,
/// so text of unknown length should be cut first. Sanitising twice gives the same result as
/// sanitising once.
pub fn sanitise<T: AsRef<[u8]> + ?Sized>(text: &T) -> Cow<'_, str> {
    sanitise_bounded(text, usize::MAX)
}

/// Like [`sanitise`], but the result has at most `max_bytes` bytes, including the `…` at the end of
/// a text that was cut.
///
/// No character and no escape sequence is split. Work and memory depend only on `max_bytes`, not on
/// the length of the input. If `max_bytes` is below three, the `…` does not fit, and a text that is
/// too long becomes empty.
pub fn sanitise_bounded<T: AsRef<[u8]> + ?Sized>(text: &T, max_bytes: usize) -> Cow<'_, str> {
    bounded(text.as_ref(), max_bytes, |_| false)
}

/// Escapes a text, except for the characters that it may keep.
fn bounded(bytes: &[u8], max_bytes: usize, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Escaping never shortens a text, so bytes beyond this slice cannot be part of the result. The
    // slice may end within a character. In that case, the text is too long anyway, and the code
    // below cuts it at the last place where the `…` fits, which is before that character.
    let bytes = &bytes[..bytes.len().min(max_bytes.saturating_add(1))];
    if bytes.len() <= max_bytes
        && let Ok(clean) = str::from_utf8(bytes)
        && !clean.chars().any(|character| must_escape(character) && !keeps(character))
    {
        return Cow::Borrowed(clean);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    let mut cut = 0;
    let pieces = bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(Ok);
        valid.chain(chunk.invalid().iter().map(Err))
    });
    for piece in pieces {
        match piece {
            Ok(character) if keeps(character) => out.push(character),
            Ok(character) => escape_char(&mut out, character),
            Err(byte) => write_escape(&mut out, format_args!("\\x{byte:02x}")),
        }
        if out.len() > max_bytes {
            out.truncate(cut);
            if ELLIPSIS.len() <= max_bytes {
                out.push_str(ELLIPSIS);
            }
            break;
        }
        if out.len() + ELLIPSIS.len() <= max_bytes {
            cut = out.len();
        }
    }
    Cow::Owned(out)
}

/// A number of things in words, such as `1 byte` or `2 bytes`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Appends the text as one word for a POSIX shell. Inside single quotes, only the single quote is
/// special (POSIX.1-2024, XCU 2.2.2).
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in text {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// Like [`sanitise_bounded`], but line ends stay: `\n` and `\r\n` both become `\n`. White space at
/// the end of the text is dropped. The text is copied, so it must be short.
pub(crate) fn sanitise_lines(text: &[u8], max_bytes: usize) -> String {
    let lines = text.trim_ascii_end().split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    bounded(&lines.join(&b'\n'), max_bytes, |character| character == '\n').into_owned()
}

fn escape_char(out: &mut String, character: char) {
    match character {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        _ if !must_escape(character) => out.push(character),
        _ if character.is_ascii() => write_escape(out, format_args!("\\x{:02x}", u32::from(character))),
        _ => write_escape(out, format_args!("\\u{{{:x}}}", u32::from(character))),
    }
}

fn write_escape(out: &mut String, escape: fmt::Arguments<'_>) {
    let written = out.write_fmt(escape);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// Whether a character is invisible, changes how other characters look, or controls a terminal.
///
/// This covers the general categories Cc, Cf, Zl and Zp and the property
/// `Default_Ignorable_Code_Point` of Unicode 16.
pub(crate) const fn must_escape(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The longest prefix of at most `max` bytes that ends at a character boundary.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=text.len().min(max)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// Quotes a path so that it can be pasted into a shell.
pub fn shell_word(path: &Path) -> String {
    format!("'{}'", sanitise(&path.display().to_string().replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests;
