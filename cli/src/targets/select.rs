//! From flags to hosts.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use regex_lite::Regex;
use sshoal::HostSpec;
use sshoal::ssh_config::SshConfig;

use super::args::TargetArgs;
use super::error::{Error, shown};
use super::groups::{Groups, Inventory, without_comments};
use super::language::{Evaluator, HostSet, Lookup, Operator, Parsed, Style, matches, parse};
use super::places::Places;

/// A host of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What output calls it: unique among the targets, and safe for a terminal.
    pub name: String,
    /// The name or address to connect to; an alias of ssh_config if that has it.
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// What was selected.
#[derive(Debug, Default)]
pub struct Selection {
    /// In the order in which the sets name them, each once.
    pub targets: Vec<Target>,
    /// What may be a mistake, a sentence each.
    pub notices: Vec<String>,
    /// Whether standard input was read as a list of hosts.
    pub used_stdin: bool,
}

/// Nothing says which hosts are meant.
pub const NO_HOSTS: &str = "no hosts: name them with -w SET, -g GROUP, -a or --hostfile FILE";

/// Hosts from more than this many bytes are a mistake.
const FILE_MAX: u64 = 64 << 20;

/// What all sets of a command line share: groups, and standard input.
pub struct Sources {
    pub groups: Groups,
    inventory: Inventory,
    aliases: Vec<String>,
    places: Places,
    stdin: OnceCell<String>,
}

impl Sources {
    /// Reads the configuration of groups, and the inventory. Runs no command of a group yet.
    pub fn load(args: &TargetArgs, places: Places, ssh_config: Option<&SshConfig>) -> Result<Self, Error> {
        Self::load_until(args, places, ssh_config, None)
    }

    /// Like [`load`](Self::load), where all commands together may take so long.
    pub fn load_within(
        args: &TargetArgs,
        places: Places,
        ssh_config: Option<&SshConfig>,
        time_max: Duration,
    ) -> Result<Self, Error> {
        Self::load_until(args, places, ssh_config, Instant::now().checked_add(time_max))
    }

    fn load_until(
        args: &TargetArgs,
        places: Places,
        ssh_config: Option<&SshConfig>,
        until: Option<Instant>,
    ) -> Result<Self, Error> {
        let mut groups = Groups::load(&places.groups_conf, &places.dsh)?;
        groups.stop_at(until);
        let inventory = match &args.inventory {
            Some(path) => Inventory::load(path, until)?,
            None => Inventory::default(),
        };
        if args.inventory.is_some() {
            groups.add_inventory(&inventory)?;
        }
        if let Some(source) = &args.source {
            groups.set_default(source).map_err(|error| error.within("-s"))?;
        }
        if ssh_config.is_none() && !args.ssh_hosts.is_empty() {
            return Err(Error::new("--ssh-hosts: no ssh_config is read"));
        }
        // An alias with other characters than a name has cannot be a target.
        let names = ssh_config.into_iter().flat_map(SshConfig::host_names);
        let aliases = names.filter_map(|name| Some(name.parse::<HostSpec>().ok()?.to_string())).collect();
        Ok(Self { groups, inventory, aliases, places, stdin: OnceCell::new() })
    }

    /// Selects hosts. An empty selection is no error.
    ///
    /// # Errors
    /// Nothing says which hosts are meant, or a set is wrong.
    pub fn select(&self, args: &TargetArgs) -> Result<Selection, Error> {
        let wcoll = self.places.wcoll.as_deref().filter(|_| !args.selects());
        if !args.selects() && wcoll.is_none() {
            return Err(Error::new(NO_HOSTS));
        }
        let mut selecting = Selecting::new(self);
        if args.all {
            let all = selecting.evaluator.all(None).map_err(|error| error.within("-a"))?;
            selecting.hosts.apply(Operator::Union, &all);
        }
        for text in &args.sets {
            selecting.include(text, Style::Argument).map_err(|error| error.within("-w"))?;
        }
        for text in &args.groups {
            selecting.include(text, Style::Groups).map_err(|error| error.within("-g"))?;
        }
        for path in args.hostfile.iter().map(|path| &**path).chain(wcoll) {
            let flag = if wcoll.is_some() { "WCOLL" } else { "--hostfile" };
            selecting.file(path).map_err(|error| error.within(flag))?;
        }
        for glob in &args.ssh_hosts {
            selecting.aliases(glob).map_err(|error| error.within("--ssh-hosts"))?;
        }
        for text in &args.exclude {
            selecting.exclude(text, Style::Argument).map_err(|error| error.within("-x"))?;
        }
        for text in &args.exclude_groups {
            selecting.exclude(text, Style::Groups).map_err(|error| error.within("-X"))?;
        }
        let mut selection = selecting.finish()?;
        selection.targets.truncate(args.limit.unwrap_or(usize::MAX));
        Ok(selection)
    }

    /// Selects what one argument of `-w` says.
    pub fn set(&self, text: &str) -> Result<Selection, Error> {
        let mut selecting = Selecting::new(self);
        selecting.include(text, Style::Argument)?;
        selecting.finish()
    }

    /// The names of the sources of groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.source_names()
    }

    /// The groups of a source, or of the default one; none if it cannot tell.
    pub fn group_names(&self, source: Option<&str>) -> Vec<String> {
        let source = source.map(str::to_owned).or_else(|| self.groups.default_source().ok());
        source.and_then(|source| self.groups.names(&source).ok()).unwrap_or_default()
    }

    /// All hosts of the default source of groups; none if it cannot tell.
    pub fn all_hosts(&self) -> Vec<String> {
        let hosts = Evaluator::new(self).all(None);
        hosts.map_or_else(|_| Vec::new(), |hosts| hosts.names().into_iter().map(str::to_owned).collect())
    }

    fn target(&self, name: &str) -> Result<Target, Error> {
        let spec: HostSpec = name.parse().map_err(Error::new)?;
        let known = self.inventory.hosts.get(spec.host());
        if let Some(variable) = known.and_then(|known| known.unknown) {
            let what =
                format!("{name}: {variable} is a template, or wrong: ansible-inventory does not expand it");
            return Err(Error::new(what).within("--inventory"));
        }
        let address = known.and_then(|known| known.address.as_deref()).unwrap_or(spec.host());
        let user = spec.user().or(known.and_then(|known| known.user.as_deref()));
        let port = spec.port().or(known.and_then(|known| known.port));
        let spec = HostSpec::from_parts(user, address, port)
            .map_err(|error| Error::new(error).within(format!("the inventory's host {name}")))?;
        Ok(Target {
            name: name.to_owned(),
            host: spec.host().to_owned(),
            user: spec.user().map(str::to_owned),
            port: spec.port(),
        })
    }
}

impl Lookup for Sources {
    fn default_source(&self) -> Result<String, Error> {
        self.groups.default_source()
    }

    fn group(&self, source: &str, name: &str) -> Result<String, Error> {
        self.groups.group(source, name)
    }

    fn all(&self, source: &str) -> Result<Vec<String>, Error> {
        self.groups.all(source)
    }

    fn known_hosts(&self) -> &[String] {
        &self.aliases
    }

    fn groups(&self, source: &str) -> Result<Vec<String>, Error> {
        self.groups.names(source)
    }

    fn file(&self, path: &str) -> Result<String, Error> {
        read_file(&self.places.expanded(path))
    }

    fn standard_input(&self) -> Result<String, Error> {
        if let Some(text) = self.stdin.get() {
            return Ok(text.clone());
        }
        let text = read(io::stdin().lock()).map_err(|error| error.within("standard input"))?;
        Ok(self.stdin.get_or_init(|| text).clone())
    }
}

fn read_file(path: &Path) -> Result<String, Error> {
    let within = |error: Error| error.within(shown(&path.to_string_lossy()));
    let file = File::open(path).map_err(|error| within(Error::new(error)))?;
    read(file).map_err(within)
}

/// Reads sets, without comments.
fn read(input: impl Read) -> Result<String, Error> {
    let mut text = String::new();
    let len = input.take(FILE_MAX + 1).read_to_string(&mut text).map_err(Error::new)?;
    if len as u64 > FILE_MAX {
        return Err(Error::new(format!("more than {} MiB of hosts", FILE_MAX >> 20)));
    }
    Ok(without_comments(&text))
}

/// A selection in the making.
struct Selecting<'a> {
    sources: &'a Sources,
    evaluator: Evaluator<'a>,
    hosts: HostSet,
    excluded: HostSet,
    filters: Vec<(Regex, bool)>,
    notices: Vec<String>,
}

impl<'a> Selecting<'a> {
    fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            evaluator: Evaluator::new(sources),
            hosts: HostSet::default(),
            excluded: HostSet::default(),
            filters: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn include(&mut self, text: &str, style: Style) -> Result<(), Error> {
        let parsed = parse(text, style)?;
        let hosts = self.evaluator.set(&parsed.set, text)?;
        self.hosts.apply(Operator::Union, &hosts);
        for term in &parsed.excluded {
            let hosts = self.evaluator.term(term, text)?;
            self.excluded.apply(Operator::Union, &hosts);
        }
        self.filter(&parsed, text, true)
    }

    fn exclude(&mut self, text: &str, style: Style) -> Result<(), Error> {
        let parsed = parse(text, style)?;
        if let Some(term) = parsed.excluded.first() {
            return Err(Error::at(text, term.at, "a set to exclude cannot begin with \"-\""));
        }
        let hosts = self.evaluator.set(&parsed.set, text)?;
        self.excluded.apply(Operator::Union, &hosts);
        self.filter(&parsed, text, false)
    }

    fn filter(&mut self, parsed: &Parsed, text: &str, included: bool) -> Result<(), Error> {
        for filter in &parsed.filters {
            let regex = Regex::new(&filter.regex).map_err(|error| Error::at(text, filter.at, error))?;
            self.filters.push((regex, filter.keep && included));
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Error> {
        let text = read_file(path)?;
        let mut seen = HashSet::new();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let repeated: Vec<&str> = lines.filter(|line| !seen.insert(*line)).collect();
        let path = shown(&path.to_string_lossy());
        if let Some(first) = repeated.first() {
            let what =
                format!("{path}: repeated lines count once: {} such as {}", repeated.len(), shown(first));
            self.notices.push(what);
        }
        let hosts = self.evaluator.text(&text, None).map_err(|error| error.within(path))?;
        self.hosts.apply(Operator::Union, &hosts);
        Ok(())
    }

    fn aliases(&mut self, glob: &str) -> Result<(), Error> {
        let mut found = false;
        for alias in self.sources.aliases.iter().filter(|alias| matches(glob, alias)) {
            self.hosts.insert(alias);
            found = true;
        }
        if found { Ok(()) } else { Err(Error::new(format!("no Host of ssh_config matches {}", shown(glob)))) }
    }

    fn finish(mut self) -> Result<Selection, Error> {
        self.hosts.apply(Operator::Difference, &self.excluded);
        let mut targets = Vec::with_capacity(self.hosts.len());
        for name in self.hosts.names() {
            let target = self.sources.target(name)?;
            let host = name.parse::<HostSpec>().map_err(Error::new)?;
            if self.filters.iter().all(|(regex, keep)| regex.is_match(host.host()) == *keep) {
                targets.push(target);
            }
        }
        let mut notices = self.notices;
        let unmatched = self.evaluator.unmatched().iter();
        notices.extend(unmatched.map(|pattern| format!("{} matches no known host", shown(pattern))));
        Ok(Selection { targets, notices, used_stdin: self.sources.stdin.get().is_some() })
    }
}
