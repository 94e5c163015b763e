//! `Host` and `Match`: to whom a block applies.

use std::net::IpAddr;

use super::lexer::delimited;
use super::networks::NetworkList;
use crate::hostkey::glob_matches;
use crate::text::sanitise;

/// The longest pattern of a list. In OpenSSH, a longer one makes its list match nothing
/// (`match_pattern_list`).
const PATTERN_MAX: usize = 1022;

/// To whom a block applies.
#[derive(Debug)]
pub(super) enum Condition {
    Host(Vec<Pattern>),
    Match(Vec<Criterion>),
}

#[derive(Debug)]
pub(super) struct Pattern {
    negated: bool,
    is_literal: bool,
    text: Box<[u8]>,
}

#[derive(Debug)]
pub(super) struct Criterion {
    pub negated: bool,
    pub test: Test,
}

/// What a criterion looks at.
#[derive(Debug)]
pub(super) enum Test {
    All,
    Canonical,
    Final,
    Host(PatternList),
    OriginalHost(PatternList),
    User(PatternList),
    LocalUser(PatternList),
    Tagged(PatternList),
    LocalNetwork(NetworkList),
    /// A command with tokens.
    Exec(String),
}

impl Pattern {
    fn new(negated: bool, text: &[u8]) -> Self {
        let is_literal = !text.iter().any(|byte| matches!(byte, b'*' | b'?'));
        Self { negated, is_literal, text: text.into() }
    }

    /// The only name that this matches.
    fn name(&self) -> Option<&[u8]> {
        (self.is_literal && !self.negated).then_some(&self.text)
    }

    fn matches(&self, name: &[u8]) -> bool {
        if self.is_literal { *self.text == *name } else { glob_matches(&self.text, name) }
    }
}

/// A pattern list, separated by commas.
#[derive(Debug)]
pub(super) struct PatternList {
    patterns: Vec<Pattern>,
    /// Matches the empty text only, in `Match tagged ""`.
    is_empty: bool,
}

impl PatternList {
    pub fn new(list: &[u8]) -> Self {
        let patterns = list.split(|byte| *byte == b',').map(|text| match text.strip_prefix(b"!") {
            Some(text) => Pattern::new(true, text),
            None => Pattern::new(false, text),
        });
        let mut patterns: Vec<Pattern> = patterns.collect();
        // What follows the last comma is no pattern if it is empty.
        if patterns.last().is_some_and(|last| last.text.is_empty() && !last.negated) {
            patterns.pop();
        }
        Self { patterns, is_empty: list.is_empty() }
    }

    /// In lower case, for names of hosts and keywords.
    pub fn lowercase(list: &[u8]) -> Self {
        Self::new(&list.to_ascii_lowercase())
    }

    /// Whether a pattern matches and no negated pattern does.
    pub fn matches(&self, name: &[u8]) -> bool {
        let is_usable = self.patterns.iter().all(|pattern| pattern.text.len() <= PATTERN_MAX);
        is_usable && host_matches(&self.patterns, name)
    }

    pub fn matches_tag(&self, tag: &str) -> bool {
        if tag.is_empty() { self.is_empty } else { self.matches(tag.as_bytes()) }
    }
}

/// The arguments of `Host`.
pub(super) fn host(words: &[Vec<u8>]) -> Result<Condition, String> {
    let pattern = |word: &Vec<u8>| match word.strip_prefix(b"!") {
        _ if word.is_empty() => Err("has an empty pattern".to_owned()),
        Some(text) => Ok(Pattern::new(true, text)),
        None => Ok(Pattern::new(false, word)),
    };
    Ok(Condition::Host(words.iter().map(pattern).collect::<Result<_, _>>()?))
}

/// Whether a `Host` line applies to a name: a pattern matches, and no negated one does. Unlike in a
/// `Match`, the case of letters counts.
pub(super) fn host_matches(patterns: &[Pattern], name: &[u8]) -> bool {
    let mut matched = false;
    for pattern in patterns {
        if pattern.matches(name) {
            if pattern.negated {
                return false;
            }
            matched = true;
        }
    }
    matched
}

/// The arguments of `Match` (`match_cfg_line`).
pub(super) fn criteria(text: &[u8]) -> Result<Condition, String> {
    let mut rest = Some(text);
    let mut criteria = Vec::new();
    while let Some(word) = delimited(&mut rest).filter(|word| !word.is_empty()) {
        if word.starts_with(b"#") {
            rest = None;
            break;
        }
        let negated = word.starts_with(b"!");
        let name = String::from_utf8_lossy(&word[usize::from(negated)..]).to_ascii_lowercase();
        if name == "all" {
            let next = delimited(&mut rest);
            let has_more = next.is_some_and(|next| !next.is_empty() && !next.starts_with(b"#"));
            if criteria.len() > 1 || has_more {
                return Err("has all beside other criteria".to_owned());
            }
            criteria.push(Criterion { negated, test: Test::All });
            rest = None;
            break;
        }
        let test = match name.as_str() {
            "canonical" => Test::Canonical,
            "final" => Test::Final,
            _ => {
                let argument = delimited(&mut rest);
                let argument =
                    argument.filter(|text| !text.starts_with(b"#") && (!text.is_empty() || name == "tagged"));
                test(&name, &argument.ok_or_else(|| format!("has {} without a value", sanitise(&name)))?)?
            }
        };
        criteria.push(Criterion { negated, test });
    }
    if criteria.is_empty() {
        return Err("needs a criterion, such as host, user, exec, or all".to_owned());
    }
    if rest.is_some_and(|rest| !rest.is_empty()) {
        return Err("has an empty criterion".to_owned());
    }
    Ok(Condition::Match(criteria))
}

fn test(name: &str, argument: &[u8]) -> Result<Test, String> {
    Ok(match name {
        "host" => Test::Host(PatternList::lowercase(argument)),
        "originalhost" => Test::OriginalHost(PatternList::lowercase(argument)),
        "user" => Test::User(PatternList::new(argument)),
        "localuser" => Test::LocalUser(PatternList::new(argument)),
        "tagged" => Test::Tagged(PatternList::new(argument)),
        "localnetwork" => Test::LocalNetwork(NetworkList::new(argument)?),
        "exec" => {
            Test::Exec(String::from_utf8(argument.to_vec()).map_err(|_| "has a command that is not UTF-8")?)
        }
        _ => {
            return Err(format!(
                "has the unknown criterion {:?}; known are all, host, originalhost, user, localuser, exec, final, \
                 canonical, tagged, and localnetwork",
                sanitise(name)
            ));
        }
    })
}

impl Condition {
    /// The names to which this applies, if they are all written out.
    pub fn names(&self) -> Option<Vec<&[u8]>> {
        let Self::Host(patterns) = self else { return None };
        patterns.iter().map(Pattern::name).collect()
    }

    /// The names on a `Host` line, without patterns that have wildcards or are negated.
    pub fn literal_names(&self) -> impl Iterator<Item = &[u8]> {
        let patterns = if let Self::Host(patterns) = self { patterns.as_slice() } else { &[] };
        patterns.iter().filter_map(Pattern::name)
    }

    /// Whether this asks for a second pass.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Host(_) => false,
            Self::Match(criteria) => criteria.iter().any(|criterion| matches!(criterion.test, Test::Final)),
        }
    }

    pub fn is_canonical(&self) -> bool {
        match self {
            Self::Host(_) => false,
            Self::Match(criteria) => {
                criteria.iter().any(|criterion| matches!(criterion.test, Test::Canonical))
            }
        }
    }
}

/// Whether one of the local addresses is in a list of networks.
pub(super) fn is_local(networks: &NetworkList, addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|address| networks.contains(*address))
}
