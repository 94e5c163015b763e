//! From a text to operators and terms.
//!
//! ```text
//! set      = [ term { operator term } ]           all operators alike, from left to right
//! operator = "," | "!" | "&" | "^" | blank        union, difference, intersection, in one only
//! term     = names | group | wildcard | [ user "@" ] "(" set ")" [ ":" port ]
//! names    = text and "[" ranges "]"              web[01-20], root@r[1-2]n[1-4]:2222
//! group    = [ user "@" ] "@" [ source ":" ] name with ranges or "*"
//! ```
//!
//! An argument of the program has more terms, which begin the argument or are after a comma:
//! `^FILE`, `-` (standard input), `-TERM`, `/REGEX/` and `-/REGEX/`.

use super::template::Template;
use crate::targets::error::Error;

/// Parentheses inside of parentheses.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Union,
    Difference,
    Intersection,
    /// In one of both only.
    Xor,
}

/// Operators and their right operands, from left to right. The first operator is a union with
/// nothing.
pub type Set = Vec<(Operator, Term)>;

/// A term, and where in the text it begins, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub at: usize,
    /// For names that have no user.
    pub user: Option<String>,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Names(Template),
    /// `source:name`, without the `@`.
    Group(Template),
    /// Names with `*` and `?`.
    Wildcard(Template),
    Nested {
        set: Set,
        port: Option<String>,
    },
    File(String),
    StandardInput,
}

/// What a text may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A set: what is in groups and files.
    Set,
    /// A set whose names are those of groups.
    Groups,
    /// An argument of the program, with files, exclusions and regular expressions.
    Argument,
}

/// What a text says.
#[derive(Debug, Default)]
pub struct Parsed {
    pub set: Set,
    /// Terms after a `-`, to be excluded in the end.
    pub excluded: Vec<Term>,
    pub filters: Vec<Filter>,
}

/// A regular expression that hosts must match, or must not.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    pub at: usize,
    pub regex: String,
    pub keep: bool,
}

/// Parses a whole text.
pub fn parse(text: &str, style: Style) -> Result<Parsed, Error> {
    let mut parser = Parser { text, at: 0, style, depth: 0, parsed: Parsed::default() };
    let set = parser.set()?;
    if parser.peek().is_some() {
        return Err(parser.error("\")\" without \"(\""));
    }
    Ok(Parsed { set, ..parser.parsed })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    style: Style,
    depth: usize,
    parsed: Parsed,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn error(&self, what: &str) -> Error {
        Error::at(self.text, self.at, what)
    }

    /// Whether there was a blank.
    fn skip_blanks(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let blanks = rest.len() - rest.trim_start_matches(char::is_whitespace).len();
        self.at += blanks;
        blanks > 0
    }

    /// Up to the end, or up to a `)`.
    fn set(&mut self) -> Result<Set, Error> {
        let mut set = Set::new();
        self.skip_blanks();
        if matches!(self.peek(), None | Some(')')) {
            return Ok(set);
        }
        let mut operator = Operator::Union;
        loop {
            let term = self.term_or_filter(operator)?;
            let apart = term.is_none();
            set.extend(term.map(|term| (operator, term)));
            let blanks = self.skip_blanks();
            operator = match self.peek() {
                None | Some(')') => return Ok(set),
                Some(c) => match operator_of(c) {
                    Some(found) if apart && found != Operator::Union => {
                        return Err(self.error("only a comma or a blank can be after what is excluded"));
                    }
                    Some(found) => {
                        self.at += 1;
                        self.skip_blanks();
                        if matches!(self.peek(), None | Some(')')) {
                            return Err(self.error(&format!("nothing after \"{c}\"")));
                        }
                        found
                    }
                    None if blanks => Operator::Union,
                    None => return Err(self.error("an operator is missing")),
                },
            };
        }
    }

    /// `None` is a term that is kept apart.
    fn term_or_filter(&mut self, operator: Operator) -> Result<Option<Term>, Error> {
        let special = self.style == Style::Argument && self.depth == 0;
        let at = self.at;
        let minus = special && self.peek() == Some('-');
        if minus {
            self.at += 1;
            if self.peek().is_none_or(|c| c == ',' || c.is_whitespace()) {
                return Ok(Some(Term { at, user: None, kind: Kind::StandardInput }));
            }
        }
        let slash = special && self.peek() == Some('/');
        if (minus || slash) && operator != Operator::Union {
            self.at = at;
            return Err(self.error("only a comma or a blank can be before this"));
        }
        if slash {
            let regex = self.regex();
            self.parsed.filters.push(Filter { at, regex, keep: !minus });
            return Ok(None);
        }
        let term = self.term()?;
        if minus {
            self.parsed.excluded.push(term);
            return Ok(None);
        }
        Ok(Some(term))
    }

    /// Up to a `/` that ends the term, else up to a comma or blank.
    fn regex(&mut self) -> String {
        self.at += 1;
        let rest = &self.text[self.at..];
        let ends = |(at, _): &(usize, &str)| {
            rest[at + 1..].chars().next().is_none_or(|c| c == ',' || c.is_whitespace())
        };
        let closed = rest.match_indices('/').find(ends).map(|(at, _)| (at, at + 1));
        let open = || rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (len, used) = closed.unwrap_or_else(|| (open(), open()));
        let regex = rest[..len].to_owned();
        self.at += used;
        regex
    }

    fn term(&mut self) -> Result<Term, Error> {
        let at = self.at;
        match self.peek() {
            Some('(') => return self.nested(at, None),
            Some('^') if self.style == Style::Argument => {
                self.at += 1;
                let rest = &self.text[self.at..];
                let len = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
                if len == 0 {
                    return Err(self.error("a file is missing after \"^\""));
                }
                self.at += len;
                return Ok(Term { at, user: None, kind: Kind::File(rest[..len].to_owned()) });
            }
            Some(c) if operator_of(c).is_some() => {
                return Err(self.error(&format!("nothing before \"{c}\"")));
            }
            _ => self.skip_word()?,
        }
        let word = &self.text[at..self.at];
        if let Some(user) = word.strip_suffix('@').filter(|user| !user.is_empty())
            && self.peek() == Some('(')
        {
            return self.nested(at, Some(user.to_owned()));
        }
        self.named(at, word)
    }

    /// Names, a group or a wildcard.
    fn named(&self, at: usize, word: &str) -> Result<Term, Error> {
        let template = |skipped: usize| Template::parse(self.text, at + skipped, self.at);
        let owned = |user: &str| Some(user.to_owned());
        let (user, kind) = if self.style == Style::Groups {
            (None, Kind::Group(template(usize::from(word.starts_with('@')))?))
        } else if word.starts_with('@') {
            (None, Kind::Group(template(1)?))
        } else if let Some((user, _)) = word.split_once("@@") {
            (owned(user), Kind::Group(template(user.len() + 2)?))
        } else if word.contains(['*', '?']) {
            let user = word.rsplit_once('@').map(|(user, _)| user);
            (user.and_then(owned), Kind::Wildcard(template(user.map_or(0, |user| user.len() + 1))?))
        } else {
            (None, Kind::Names(template(0)?))
        };
        Ok(Term { at, user, kind })
    }

    fn nested(&mut self, at: usize, user: Option<String>) -> Result<Term, Error> {
        let open = self.at;
        if self.depth == DEPTH_MAX {
            return Err(self.error(&format!("more than {DEPTH_MAX} parentheses inside of each other")));
        }
        self.depth += 1;
        self.at += 1;
        let set = self.set()?;
        self.depth -= 1;
        if self.peek() != Some(')') {
            return Err(Error::at(self.text, open, "\"(\" without \")\""));
        }
        self.at += 1;
        let mut port = None;
        if let Some(rest) = self.text[self.at..].strip_prefix(':') {
            let len = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if rest[..len].parse::<u16>().is_ok_and(|port| port > 0) {
                port = Some(rest[..len].to_owned());
            } else {
                return Err(self.error("the port is not a number between 1 and 65535"));
            }
            self.at += 1 + len;
        }
        Ok(Term { at, user, kind: Kind::Nested { set, port } })
    }

    /// Skips what is not an operator, a blank or a parenthesis outside of brackets.
    fn skip_word(&mut self) -> Result<(), Error> {
        let mut open: Option<usize> = None;
        for (offset, c) in self.text[self.at..].char_indices() {
            let at = self.at + offset;
            match (open, c) {
                (None, '[') => open = Some(at),
                (Some(start), '[') => {
                    return Err(Error::at(self.text, start, "\"[\" without \"]\""));
                }
                (Some(_), ']') => open = None,
                (None, ']') => return Err(Error::at(self.text, at, "\"]\" without \"[\"")),
                (None, c) if c.is_whitespace() || operator_of(c).is_some() || "()".contains(c) => {
                    self.at = at;
                    return Ok(());
                }
                _ => {}
            }
        }
        if let Some(start) = open {
            return Err(Error::at(self.text, start, "\"[\" without \"]\""));
        }
        self.at = self.text.len();
        Ok(())
    }
}

fn operator_of(c: char) -> Option<Operator> {
    match c {
        ',' => Some(Operator::Union),
        '!' => Some(Operator::Difference),
        '&' => Some(Operator::Intersection),
        '^' => Some(Operator::Xor),
        _ => None,
    }
}
