//! What is between brackets: `1-3,007-009,10-20/2`.

use std::collections::BTreeSet;

use crate::targets::error::Error;

/// Numbers at equal distances, perhaps with leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    first: u64,
    last: u64,
    step: u64,
    /// The width with leading zeros; 0 without.
    width: usize,
}

/// The most digits of a number in a range.
const DIGITS_MAX: usize = 18;

impl Range {
    pub const fn len(&self) -> u64 {
        (self.last - self.first) / self.step + 1
    }

    pub fn numbers(&self) -> impl Iterator<Item = String> + '_ {
        let width = self.width;
        let step = usize::try_from(self.step).unwrap_or(usize::MAX);
        (self.first..=self.last).step_by(step).map(move |number| format!("{number:0width$}"))
    }
}

/// The positions that ranges stand for, below `len`: ascending, each once.
pub fn positions(ranges: &str, len: usize) -> Result<Vec<usize>, Error> {
    let mut positions = BTreeSet::new();
    for range in parse_ranges(ranges, 0, ranges.len())? {
        let step = usize::try_from(range.step).unwrap_or(usize::MAX);
        let numbers =
            (range.first..=range.last).step_by(step).map_while(|number| usize::try_from(number).ok());
        positions.extend(numbers.take_while(|position| *position < len));
    }
    Ok(positions.into_iter().collect())
}

/// Parses the inside of a pair of brackets: `text[start..end]`, without them.
pub fn parse_ranges(text: &str, start: usize, end: usize) -> Result<Vec<Range>, Error> {
    let mut at = start;
    let parse = |item: &str| {
        let range = parse_range(item).map_err(|what| Error::at(text, at, what));
        at += item.len() + 1;
        range
    };
    text[start..end].split(',').map(parse).collect()
}

fn parse_range(item: &str) -> Result<Range, &'static str> {
    let (bounds, step) = match item.split_once('/') {
        Some((bounds, step)) => (bounds, number(step)?.0),
        None => (item, 1),
    };
    if bounds.trim().is_empty() {
        return Err("empty range");
    }
    if bounds.trim_start().starts_with('-') {
        return Err("a range cannot begin with \"-\"");
    }
    let (first, last) = match bounds.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if step != 1 => return Err("a step needs a range, as in 1-9/2"),
        None => (number(bounds)?, number(bounds)?),
    };
    let is_padded = |(value, width): (u64, usize)| width > 1 && value < 10u64.pow(width as u32 - 1);
    let padded = is_padded(first) || is_padded(last);
    if padded && first.1 != last.1 {
        return Err("the ends of a range with leading zeros have different widths");
    }
    if first.0 > last.0 {
        return Err("the range ends before it begins");
    }
    if step == 0 {
        return Err("the step is 0");
    }
    Ok(Range { first: first.0, last: last.0, step, width: if padded { first.1 } else { 0 } })
}

/// A number and its width.
fn number(text: &str) -> Result<(u64, usize), &'static str> {
    let digits = text.trim_matches([' ', '\t']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a number");
    }
    if digits.len() > DIGITS_MAX {
        return Err("a number with more than 18 digits");
    }
    digits.parse().map(|value| (value, digits.len())).map_err(|_| "not a number")
}
