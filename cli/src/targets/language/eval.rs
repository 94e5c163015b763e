//! From terms to hosts.

use std::collections::HashMap;
use std::rc::Rc;

use sshoal::HostSpec;

use super::parser::{Kind, Set, Style, Term, parse};
use super::set::HostSet;
use super::template::Template;
use crate::targets::error::{Error, shown};

/// The most names in all that the sets of a command may stand for, with those of its groups and
/// before operators remove any.
pub const NAMES_MAX: u64 = 1_000_000;

/// The most names that are compared with wildcards.
const COMPARED_MAX: u64 = 50_000_000;

/// The most groups inside of groups.
const GROUP_DEPTH_MAX: usize = 32;

/// Where groups, files and standard input are from.
pub trait Lookup {
    /// The name of the source that a group without a source belongs to.
    fn default_source(&self) -> Result<String, Error>;
    /// What a group stands for.
    fn group(&self, source: &str, name: &str) -> Result<String, Error>;
    /// What all hosts of a source are, in sets whose union it is.
    fn all(&self, source: &str) -> Result<Vec<String>, Error>;
    /// The hosts that wildcards match where there is no source of groups; may be none.
    fn known_hosts(&self) -> &[String];
    /// The names of the groups of a source.
    fn groups(&self, source: &str) -> Result<Vec<String>, Error>;
    /// The sets in a file.
    fn file(&self, path: &str) -> Result<String, Error>;
    /// The sets in standard input.
    fn standard_input(&self) -> Result<String, Error>;
}

/// Evaluates sets. The limit of names is for all of them together.
pub struct Evaluator<'a> {
    lookup: &'a dyn Lookup,
    names_left: u64,
    compared_left: u64,
    known: HashMap<Query, Rc<HostSet>>,
    /// What is being looked up, to find groups that contain themselves.
    open: Vec<Query>,
    /// Whether an error has happened: it names the innermost group, and no outer one.
    failed: bool,
    /// Wildcards that match nothing.
    unmatched: Vec<String>,
}

/// What a source is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    source: String,
    /// `None` is all hosts.
    group: Option<String>,
}

/// The text that a term is in, and the source of its groups without a source.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    source: Option<&'a str>,
}

impl<'a> Evaluator<'a> {
    pub fn new(lookup: &'a dyn Lookup) -> Self {
        Self {
            lookup,
            names_left: NAMES_MAX,
            compared_left: COMPARED_MAX,
            known: HashMap::new(),
            open: Vec::new(),
            failed: false,
            unmatched: Vec::new(),
        }
    }

    /// Parses and evaluates a text that has sets only.
    pub fn text(&mut self, text: &str, source: Option<&str>) -> Result<HostSet, Error> {
        let parsed = parse(text, Style::Set)?;
        self.in_place(&parsed.set, Place { text, source })
    }

    /// Evaluates what was parsed from `text`.
    pub fn set(&mut self, set: &Set, text: &str) -> Result<HostSet, Error> {
        self.in_place(set, Place { text, source: None })
    }

    /// Evaluates one term that was parsed from `text`.
    pub fn term(&mut self, term: &Term, text: &str) -> Result<HostSet, Error> {
        self.term_in(term, Place { text, source: None })
    }

    /// All hosts of a source.
    pub fn all(&mut self, source: Option<&str>) -> Result<Rc<HostSet>, Error> {
        let source = self.source(source)?;
        self.query(Query { source, group: None })
    }

    /// A group of a source.
    pub fn group(&mut self, source: Option<&str>, name: &str) -> Result<Rc<HostSet>, Error> {
        let source = self.source(source)?;
        self.query(Query { source, group: Some(name.to_owned()) })
    }

    /// The wildcards that have matched no host.
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }

    fn source(&self, source: Option<&str>) -> Result<String, Error> {
        source.map_or_else(|| self.lookup.default_source(), |source| Ok(source.to_owned()))
    }

    fn in_place(&mut self, set: &Set, place: Place<'_>) -> Result<HostSet, Error> {
        let mut hosts = HostSet::default();
        for (operator, term) in set {
            let operand = self.term_in(term, place)?;
            hosts.apply(*operator, &operand);
        }
        Ok(hosts)
    }

    fn term_in(&mut self, term: &Term, place: Place<'_>) -> Result<HostSet, Error> {
        let mut port = None;
        let hosts = match &term.kind {
            Kind::Names(template) => {
                let mut hosts = HostSet::default();
                for name in self.expand(template, term, place)? {
                    let spec = name.parse::<HostSpec>().map_err(|error| at(term, place, error.problem))?;
                    hosts.insert(&spec.to_string());
                }
                hosts
            }
            Kind::Group(template) => {
                let mut hosts = HostSet::default();
                for name in self.expand(template, term, place)? {
                    hosts.apply(super::Operator::Union, &*self.named(&name, term, place)?);
                }
                hosts
            }
            Kind::Wildcard(template) => self.wildcard(template, term, place)?,
            Kind::Nested { set, port: found } => {
                port = found.as_deref();
                self.in_place(set, place)?
            }
            Kind::File(path) => {
                let text = self.lookup.file(path)?;
                self.text(&text, None).map_err(|error| error.within(shown(path)))?
            }
            Kind::StandardInput => {
                let text = self.lookup.standard_input()?;
                self.text(&text, None).map_err(|error| error.within("standard input"))?
            }
        };
        if term.user.is_none() && port.is_none() {
            return Ok(hosts);
        }
        let port = port.and_then(|port| port.parse().ok());
        with_user_and_port(&hosts, term.user.as_deref(), port).map_err(|what| at(term, place, what))
    }

    fn expand(&mut self, template: &Template, term: &Term, place: Place<'_>) -> Result<Vec<String>, Error> {
        self.spend(template.len()).map_err(|error| at(term, place, error))?;
        Ok(template.names())
    }

    fn spend(&mut self, names: Option<u64>) -> Result<(), Error> {
        match names.and_then(|names| self.names_left.checked_sub(names)) {
            Some(left) => {
                self.names_left = left;
                Ok(())
            }
            None => Err(Error::new("more than 1,000,000 names, with those that operators remove")),
        }
    }

    /// A group by `name` or `source:name`; `*` is all hosts, and `@source` the names of its groups.
    fn named(&mut self, name: &str, term: &Term, place: Place<'_>) -> Result<Rc<HostSet>, Error> {
        if let Some(source) = name.strip_prefix('@') {
            let source = self.source(Some(source).filter(|source| !source.is_empty()).or(place.source))?;
            let groups = self.lookup.groups(&source).map_err(|error| at(term, place, error))?;
            self.spend(Some(groups.len() as u64))?;
            let mut names = HostSet::default();
            for group in &groups {
                names.insert(group);
            }
            return Ok(Rc::new(names));
        }
        let (source, group) = match name.split_once(':') {
            Some((source, group)) => (Some(source), group),
            None => (place.source, name),
        };
        let source = self.source(source).map_err(|error| at(term, place, error))?;
        if group == "*" {
            return self.query(Query { source, group: None });
        }
        // A source may put the name into a shell command.
        let is_plain = |c: char| c.is_alphanumeric() || "._+=/-:".contains(c);
        if group.is_empty() || group.starts_with('-') {
            return Err(at(term, place, "not the name of a group"));
        }
        if let Some(wrong) = group.chars().find(|c| !is_plain(*c)) {
            let wrong = wrong.to_string();
            return Err(at(term, place, format!("\"{}\" in the name of a group", shown(&wrong))));
        }
        self.query(Query { source, group: Some(group.to_owned()) }).map_err(|error| {
            match self.open.is_empty() {
                true => at(term, place, error),
                false => error,
            }
        })
    }

    /// Looks up a group or all hosts of a source, once.
    fn query(&mut self, query: Query) -> Result<Rc<HostSet>, Error> {
        if let Some(known) = self.known.get(&query).cloned() {
            self.spend(Some(known.len() as u64))?;
            return Ok(known);
        }
        if self.open.contains(&query) {
            let path: Vec<String> = self.open.iter().chain([&query]).map(Query::to_string).collect();
            return Err(Error::new(format!("a group contains itself: {}", path.join(" > "))));
        }
        if self.open.len() == GROUP_DEPTH_MAX {
            return Err(Error::new(format!("more than {GROUP_DEPTH_MAX} groups inside of each other")));
        }
        let texts = match &query.group {
            Some(group) => vec![self.lookup.group(&query.source, group)?],
            None => self.lookup.all(&query.source)?,
        };
        let source = query.source.clone();
        self.open.push(query);
        let mut hosts = HostSet::default();
        for text in &texts {
            let operand = self.text(text, Some(&source)).map_err(|error| match self.open.last() {
                Some(query) if !std::mem::replace(&mut self.failed, true) => error.within(query),
                _ => error,
            })?;
            hosts.apply(super::Operator::Union, &operand);
        }
        let hosts = Rc::new(hosts);
        if let Some(query) = self.open.pop() {
            self.known.insert(query, hosts.clone());
        }
        Ok(hosts)
    }

    /// The known hosts that match one of the names with `*` and `?`.
    fn wildcard(&mut self, template: &Template, term: &Term, place: Place<'_>) -> Result<HostSet, Error> {
        let all = match self.source(place.source) {
            Err(_) if !self.lookup.known_hosts().is_empty() => {
                let mut known = HostSet::default();
                for name in self.lookup.known_hosts() {
                    known.insert(name);
                }
                Rc::new(known)
            }
            source => source
                .and_then(|source| self.query(Query { source, group: None }))
                .map_err(|error| at(term, place, error))?,
        };
        let patterns = self.expand(template, term, place)?;
        let compared = (patterns.len() as u64).saturating_mul(all.len() as u64);
        self.compared_left = self
            .compared_left
            .checked_sub(compared)
            .ok_or_else(|| at(term, place, "too many wildcards for so many known hosts"))?;
        let mut hosts = HostSet::default();
        for name in all.names() {
            if patterns.iter().any(|pattern| matches(pattern, name)) {
                hosts.insert(name);
            }
        }
        if hosts.len() == 0 {
            self.unmatched.extend(patterns.into_iter().take(1));
        }
        Ok(hosts)
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "@{}:{}", shown(&self.source), shown(self.group.as_deref().unwrap_or("*")))
    }
}

fn at(term: &Term, place: Place<'_>, what: impl std::fmt::Display) -> Error {
    Error::at(place.text, term.at, what)
}

/// The hosts with a user and a port, where they have none.
fn with_user_and_port(hosts: &HostSet, user: Option<&str>, port: Option<u16>) -> Result<HostSet, String> {
    let mut changed = HostSet::default();
    for name in hosts.names() {
        let spec: HostSpec = name.parse().map_err(|error: sshoal::error::HostSpecError| error.to_string())?;
        let spec = HostSpec::from_parts(spec.user().or(user), spec.host(), spec.port().or(port))
            .map_err(|error| error.problem.to_string())?;
        changed.insert(&spec.to_string());
    }
    Ok(changed)
}

/// Whether `name` is `pattern`, in which `*` stands for any text and `?` for one character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and the place in the name up to which it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, reached)) = star else { return false };
                star = Some((at, reached + 1));
                p = at + 1;
                n = reached + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
