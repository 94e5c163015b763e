//! A term with ranges, which stands for many names: `r[1-2]n[01-40]`.

use std::net::Ipv6Addr;

use super::range::{Range, parse_ranges};
use crate::targets::error::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Ranges(Vec<Range>),
}

/// Text and ranges, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses `text[start..end]`, in which brackets are balanced. A pair of brackets around an IPv6
    /// address is text.
    pub fn parse(text: &str, start: usize, end: usize) -> Result<Self, Error> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = start;
        while let Some(open) = text[at..end].find('[').map(|open| at + open) {
            literal.push_str(&text[at..open]);
            let close = text[open..end].find(']').map_or(end, |close| open + close);
            if is_ipv6(&text[open + 1..close]) {
                literal.push_str(&text[open..=close]);
            } else {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
                pieces.push(Piece::Ranges(parse_ranges(text, open + 1, close)?));
            }
            at = close + 1;
        }
        literal.push_str(&text[at..end]);
        pieces.push(Piece::Text(literal));
        Ok(Self { pieces })
    }

    /// The number of names, with repetitions; `None` if it is too large for 64 bits.
    pub fn len(&self) -> Option<u64> {
        self.pieces.iter().try_fold(1u64, |product, piece| match piece {
            Piece::Text(_) => Some(product),
            Piece::Ranges(ranges) => {
                let sum = ranges.iter().try_fold(0u64, |sum, range| sum.checked_add(range.len()));
                product.checked_mul(sum?)
            }
        })
    }

    /// All names, the last range changing first.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![String::new()];
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
                Piece::Ranges(ranges) => {
                    let numbers: Vec<String> = ranges.iter().flat_map(Range::numbers).collect();
                    let with_numbers = |name: String| {
                        numbers.iter().map(move |number| format!("{name}{number}")).collect::<Vec<_>>()
                    };
                    names = names.into_iter().flat_map(with_numbers).collect();
                }
            }
        }
        names
    }
}

/// Whether this is an IPv6 address, perhaps with a zone.
pub fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}
