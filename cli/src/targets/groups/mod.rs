//! Where groups of hosts are from: sources, of which each has groups.

mod config;
mod ini;
mod table;
mod upcall;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use indexmap::IndexMap;

use crate::targets::error::{Error, shown};
pub use table::Inventory;
use table::Table;
use upcall::Upcalls;
#[cfg(test)]
pub use upcall::run as run_program;

/// Sources by their names.
#[derive(Debug, Default)]
pub struct Groups {
    sources: IndexMap<String, Source>,
    /// The source of groups that name none.
    default: Option<String>,
}

/// Groups of one kind.
#[derive(Debug)]
pub enum Source {
    /// Commands of groups.conf.
    Upcalls(Box<Upcalls>),
    /// A YAML file of ClusterShell, or an inventory.
    Table(Table),
    /// pdsh's folders, with a file for each group.
    Folders(Vec<PathBuf>),
}

/// The groups that an inventory is for.
const INVENTORY: &str = "inventory";

/// The name of pdsh's groups.
const DSH: &str = "dsh";

impl Groups {
    /// Reads ClusterShell's configuration, and looks for the folders of pdsh.
    pub fn load(config: &[PathBuf], dsh: &[PathBuf]) -> Result<Self, Error> {
        let mut groups = Self::default();
        config::load(config, &mut groups)?;
        let folders: Vec<PathBuf> = dsh.iter().filter(|folder| folder.is_dir()).cloned().collect();
        if !folders.is_empty() && !groups.sources.contains_key(DSH) {
            groups.add(DSH.to_owned(), Source::Folders(folders))?;
            groups.default.get_or_insert_with(|| DSH.to_owned());
        }
        Ok(groups)
    }

    /// Adds the groups of an inventory, which become the default.
    pub fn add_inventory(&mut self, inventory: &Inventory) -> Result<(), Error> {
        let groups = inventory.groups.iter().map(|(name, hosts)| (name.clone(), hosts.join(" ")));
        self.add(INVENTORY.to_owned(), Source::Table(groups.collect()))?;
        self.default = Some(INVENTORY.to_owned());
        Ok(())
    }

    /// Adds groups, or replaces those of the same source.
    pub fn put(&mut self, source: &str, groups: impl IntoIterator<Item = (String, String)>) {
        self.sources.insert(source.to_owned(), Source::Table(groups.into_iter().collect()));
    }

    /// Changes the source of groups that name none.
    pub fn set_default(&mut self, name: &str) -> Result<(), Error> {
        self.source(name)?;
        self.default = Some(name.to_owned());
        Ok(())
    }

    fn add(&mut self, name: String, source: Source) -> Result<(), Error> {
        if self.sources.contains_key(&name) {
            return Err(Error::new(format!("there are two sources of groups named {}", shown(&name))));
        }
        self.sources.insert(name, source);
        Ok(())
    }

    /// Lets no command of a source run beyond this time.
    pub fn stop_at(&mut self, until: Option<Instant>) {
        for source in self.sources.values_mut() {
            if let Source::Upcalls(upcalls) = source {
                upcalls.until = until;
            }
        }
    }

    pub fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    fn source(&self, name: &str) -> Result<&Source, Error> {
        self.sources.get(name).ok_or_else(|| {
            let known: Vec<String> = self.sources.keys().map(|name| shown(name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::new(format!("no source of groups named {} (known: {known})", shown(name)))
        })
    }

    pub fn default_source(&self) -> Result<String, Error> {
        let missing = "no groups are configured: see groups.conf(5), /etc/dsh/group, and --inventory";
        self.default.clone().ok_or_else(|| Error::new(missing))
    }

    /// The set that a group stands for.
    pub fn group(&self, source: &str, name: &str) -> Result<String, Error> {
        let unknown = || Error::new(format!("no group {} in source {}", shown(name), shown(source)));
        match self.source(source)? {
            Source::Upcalls(upcalls) => upcalls.map(name),
            Source::Table(table) => table.get(name).cloned().ok_or_else(unknown),
            Source::Folders(folders) => {
                if name.starts_with('.') || name.contains('/') {
                    return Err(unknown());
                }
                let path = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
                let path = path.ok_or_else(unknown)?;
                let text =
                    fs::read_to_string(&path).map_err(|error| Error::new(error).within(path.display()))?;
                Ok(without_comments(&text))
            }
        }
    }

    /// All hosts of a source, in sets whose union it is.
    pub fn all(&self, source: &str) -> Result<Vec<String>, Error> {
        let answer = match self.source(source)? {
            Source::Upcalls(upcalls) => upcalls.all().transpose()?,
            Source::Table(table) => table.get("all").cloned(),
            Source::Folders(_) => None,
        };
        match answer {
            Some(set) => Ok(vec![set]),
            None => self.names(source)?.iter().map(|group| self.group(source, group)).collect(),
        }
    }

    /// The names of the groups of a source.
    pub fn names(&self, source: &str) -> Result<Vec<String>, Error> {
        match self.source(source)? {
            Source::Upcalls(upcalls) => upcalls.list().unwrap_or_else(|| {
                let what = format!("source {} cannot list its groups: it has no \"list\"", shown(source));
                Err(Error::new(what))
            }),
            Source::Table(table) => Ok(table.keys().cloned().collect()),
            Source::Folders(folders) => {
                let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
                let files =
                    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
                let mut names: Vec<String> =
                    files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
                names.retain(|name| !name.starts_with('.') && !name.ends_with('~'));
                names.sort();
                names.dedup();
                Ok(names)
            }
        }
    }

    /// The groups of a host, if the source can find them without looking at all groups.
    pub fn groups_of(&self, source: &str, host: &str) -> Option<Result<Vec<String>, Error>> {
        match self.source(source) {
            Ok(Source::Upcalls(upcalls)) => upcalls.reverse(host),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether [`groups_of`](Self::groups_of) can answer.
    pub fn has_reverse(&self, source: &str) -> bool {
        matches!(self.source(source), Ok(Source::Upcalls(upcalls)) if upcalls.reverse.is_some())
    }
}

/// A file of sets without what is behind a `#`.
pub fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}
