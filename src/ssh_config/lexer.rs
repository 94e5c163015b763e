//! How a line is cut into a keyword and arguments.
//!
//! OpenSSH has two lexers, which differ in their quotes. The keyword, and the criteria of a `Match`
//! line, are cut by `strdelim` (misc.c); the arguments of all other keywords by `argv_split`.

use std::borrow::Cow;

/// What `strdelim` calls white space.
const BLANKS: &[u8] = b" \t\r\n";

/// Why a line cannot be cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LexError {
    /// A quote is not closed.
    Quote,
    /// A keyword stands alone.
    NoArgument,
}

/// A line that is neither blank nor a comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// In lower case.
    pub keyword: Vec<u8>,
    /// What follows the keyword and its separator; never empty.
    pub rest: &'a [u8],
}

/// Cuts the keyword off a line. `None` is a blank line or a comment.
pub(super) fn line(text: &[u8]) -> Result<Option<Line<'_>>, LexError> {
    let mut text = text;
    // The first byte stays, as in OpenSSH.
    while let [head @ .., b' ' | b'\t' | b'\r' | b'\n' | b'\x0c'] = text
        && !head.is_empty()
    {
        text = head;
    }
    let mut rest = Some(text);
    let mut keyword = delimited(&mut rest);
    // White space before the keyword is an empty word.
    if keyword.as_ref().is_some_and(|word| word.is_empty()) {
        keyword = delimited(&mut rest);
    }
    let Some(keyword) = keyword.filter(|word| !matches!(word.first(), None | Some(b'\n' | b'#'))) else {
        return Ok(None);
    };
    match rest.map(skip_blanks) {
        None | Some([]) => Err(LexError::NoArgument),
        Some(rest) => Ok(Some(Line { keyword: keyword.to_ascii_lowercase(), rest })),
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let count = text.iter().take_while(|byte| BLANKS.contains(byte)).count();
    &text[count..]
}

/// OpenSSH's `strdelim`: takes the next word, which ends at white space or one `=`.
///
/// A double quote anywhere in a word makes the text up to the next one part of the word, and ends
/// the word there. `None` is the end of the text, or a quote that is not closed; both leave
/// nothing.
pub(super) fn delimited<'a>(rest: &mut Option<&'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let text = rest.take()?;
    let is_delimiter = |byte: &u8| BLANKS.contains(byte) || matches!(byte, b'"' | b'=');
    let Some(at) = text.iter().position(is_delimiter) else {
        return Some(Cow::Borrowed(text));
    };
    let (word, after) = (&text[..at], &text[at + 1..]);
    if text[at] == b'"' {
        let end = after.iter().position(|byte| *byte == b'"')?;
        *rest = Some(skip_blanks(&after[end + 1..]));
        let quoted = &after[..end];
        return Some(if word.is_empty() { quoted.into() } else { [word, quoted].concat().into() });
    }
    let after = skip_blanks(after);
    *rest = Some(match after {
        // Only one `=` separates.
        [b'=', after @ ..] if text[at] != b'=' => skip_blanks(after),
        _ => after,
    });
    Some(word.into())
}

/// OpenSSH's `argv_split`: words between blanks and tabs, with both kinds of quotes, up to a word
/// that begins with `#`.
///
/// A backslash escapes a quote or a backslash, and outside of quotes a blank. Before any other
/// character it stands for itself.
pub(super) fn split(text: &[u8]) -> Result<Vec<Vec<u8>>, LexError> {
    let mut words = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    loop {
        while bytes.next_if(|byte| matches!(byte, b' ' | b'\t')).is_some() {}
        if matches!(bytes.peek(), None | Some(b'#')) {
            return Ok(words);
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(byte) = bytes.next() {
            match (byte, quote) {
                (b'\\', _) => {
                    let escaped = bytes.next_if(|next| {
                        matches!(next, b'\'' | b'"' | b'\\') || (quote.is_none() && *next == b' ')
                    });
                    word.push(escaped.unwrap_or(byte));
                }
                (b' ' | b'\t', None) => break,
                (b'"' | b'\'', None) => quote = Some(byte),
                (byte, Some(open)) if byte == open => quote = None,
                (byte, _) => word.push(byte),
            }
        }
        if quote.is_some() {
            return Err(LexError::Quote);
        }
        words.push(word);
    }
}
