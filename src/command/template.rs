//! Fills values into the placeholders of a text. The placeholders are a part of Python's `%` format
//! language.

use memchr::memchr;

use super::args::{HostArg, HostArgs};
use crate::error::TemplateProblem;

/// The placeholder that a `%` begins.
enum Place<'a> {
    Percent,
    Next(Conversion),
    Named(&'a [u8], Conversion),
}

#[derive(Clone, Copy)]
enum Conversion {
    Text,
    Integer,
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
        let (value, conversion) = match place {
            Place::Percent => {
                text.push(b'%');
                continue;
            }
            Place::Next(conversion) => (unused.next().ok_or(TemplateProblem::MissingPositional)?, conversion),
            Place::Named(name, conversion) => (named(args, name)?, conversion),
        };
        if matches!(conversion, Conversion::Integer) && !value.is_integer() {
            return Err(TemplateProblem::NotAnInteger(offset));
        }
        value.append_to(&mut text);
    }
    text.extend_from_slice(rest);
    if unused.next().is_some() {
        return Err(TemplateProblem::TooManyPositional);
    }
    Ok(text)
}

/// The placeholder that the text begins with, and the text that follows it.
fn parse(text: &[u8]) -> Option<(Place<'_>, &[u8])> {
    match text.strip_prefix(b"%")? {
        [b'%', rest @ ..] => Some((Place::Percent, rest)),
        [b'(', rest @ ..] => {
            let (name, rest) = rest.split_at(memchr(b')', rest)?);
            let (conversion, rest) = Conversion::parse(rest.strip_prefix(b")")?)?;
            Some((Place::Named(name, conversion), rest))
        }
        rest => {
            let (conversion, rest) = Conversion::parse(rest)?;
            Some((Place::Next(conversion), rest))
        }
    }
}

impl Conversion {
    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        match text {
            [b's', rest @ ..] => Some((Self::Text, rest)),
            [b'd', rest @ ..] => Some((Self::Integer, rest)),
            _ => None,
        }
    }
}

fn named<'a>(args: &'a HostArgs, name: &[u8]) -> Result<&'a HostArg, TemplateProblem> {
    args.get(name).ok_or_else(|| TemplateProblem::MissingKey(String::from_utf8_lossy(name).into_owned()))
}
