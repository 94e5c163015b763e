//! Fills values into the placeholders of a text. The placeholders are a part of Python's `%` format
//! language.

use memchr::memchr;

use super::args::{HostArg, HostArgs};
use crate::error::TemplateProblem;

/// The placeholder that a `%` begins.
enum Place<'a> {
    Percent,
    /// A value: the one with this name or, without a name, the next one.
    Value {
        name: Option<&'a [u8]>,
        is_integer: bool,
    },
}

/// Replaces the placeholders in the text with one host's values. Works on bytes, which is safe
/// because in UTF-8 the byte of `%` never occurs inside another character.
pub(super) fn format(template: &[u8], args: &HostArgs) -> Result<Vec<u8>, TemplateProblem> {
    let mut text = Vec::with_capacity(template.len());
    let mut unused = args.positional().iter();
    let mut rest = template;
    while let Some(percent) = memchr(b'%', rest) {
        let (literal, tail) = rest.split_at(percent);
        let offset = template.len() - tail.len();
        text.extend_from_slice(literal);
        let (place, behind) = parse(tail).ok_or(TemplateProblem::BadFormat { offset })?;
        rest = behind;
        let Place::Value { name, is_integer } = place else {
            text.push(b'%');
            continue;
        };
        let value = match name {
            Some(name) => named(args, name)?,
            None => unused.next().ok_or(TemplateProblem::MissingPositional)?,
        };
        if is_integer && !value.is_integer {
            return Err(TemplateProblem::NotAnInteger(offset));
        }
        text.extend_from_slice(value.text.as_bytes());
    }
    text.extend_from_slice(rest);
    if unused.next().is_some() {
        return Err(TemplateProblem::TooManyPositional);
    }
    Ok(text)
}

/// The placeholder that the text begins with, and the text that follows it.
fn parse(text: &[u8]) -> Option<(Place<'_>, &[u8])> {
    let (name, rest) = match text.strip_prefix(b"%")? {
        [b'%', rest @ ..] => return Some((Place::Percent, rest)),
        [b'(', rest @ ..] => {
            let (name, rest) = rest.split_at(memchr(b')', rest)?);
            (Some(name), rest.strip_prefix(b")")?)
        }
        rest => (None, rest),
    };
    let (conversion, rest) = rest.split_first()?;
    let is_integer = match conversion {
        b's' => false,
        b'd' => true,
        _ => return None,
    };
    Some((Place::Value { name, is_integer }, rest))
}

fn named<'a>(args: &'a HostArgs, name: &[u8]) -> Result<&'a HostArg, TemplateProblem> {
    args.get(name).ok_or_else(|| TemplateProblem::MissingKey(String::from_utf8_lossy(name).into_owned()))
}
