//! groups.conf(5): which sources there are.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ini::Ini;
use super::table::read_yaml;
use super::upcall::{TIME_MAX, Upcalls, substituted};
use super::{Groups, Source};
use crate::targets::error::{Error, shown};

/// The section that is no source.
const MAIN: &str = "Main";

/// How long an answer counts if the file does not say it, as in ClusterShell.
const CACHE_TIME: Duration = Duration::from_secs(3600);

/// Reads the files that exist, of which later ones have precedence, and the folders that they name.
pub fn load(paths: &[PathBuf], groups: &mut Groups) -> Result<(), Error> {
    let mut ini = Ini::default();
    let mut folder = None;
    for path in paths {
        let Some(text) = read(path)? else { continue };
        ini.read(&text).map_err(|error| error.within(path.display()))?;
        folder = path.parent();
    }
    let Some(folder) = folder else { return Ok(()) };
    let folders = ini.get(MAIN, "groupsdir").or_else(|| ini.get(MAIN, "confdir")).unwrap_or_default();
    for (path, text) in files(folders, folder, "conf")? {
        let mut part = Ini::default();
        part.read(&text).map_err(|error| error.within(path.display()))?;
        let folder = path.parent().unwrap_or(folder);
        add_sources(&part, folder, groups).map_err(|error| error.within(path.display()))?;
    }
    for (path, text) in files(ini.get(MAIN, "autodir").unwrap_or_default(), folder, "yaml")? {
        let within = |error: Error| error.within(path.display());
        for (name, table) in read_yaml(&text).map_err(within)? {
            groups.add(name, Source::Table(table)).map_err(within)?;
        }
    }
    add_sources(&ini, folder, groups).map_err(|error| error.within("groups.conf"))?;
    match ini.get(MAIN, "default").filter(|name| !name.is_empty()) {
        Some(name) if groups.sources.contains_key(name) => groups.default = Some(name.to_owned()),
        Some(name) => {
            return Err(Error::new(format!(
                "groups.conf: the default source {} does not exist",
                shown(name)
            )));
        }
        None => groups.default = groups.sources.keys().next().cloned(),
    }
    Ok(())
}

/// The text of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::new(error).within(path.display())),
    }
}

/// The files of a list of folders, each folder once and sorted. Files that only others may read are
/// skipped.
fn files(folders: &str, config: &Path, extension: &str) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for folder in words(folders) {
        let folder = PathBuf::from(substituted(&folder, &[("CFGDIR", &config.to_string_lossy())]));
        if !seen.insert(folder.clone()) {
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::new(error).within(folder.display())),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        for path in paths {
            match fs::read_to_string(&path) {
                Ok(text) => found.push((path, text)),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(Error::new(error).within(path.display())),
            }
        }
    }
    Ok(found)
}

/// Splits at blanks, which quotes protect.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn add_sources(ini: &Ini, folder: &Path, groups: &mut Groups) -> Result<(), Error> {
    for section in ini.sections() {
        for name in section.split(',').map(str::trim).filter(|name| *name != MAIN) {
            let command = |key: &str| ini.get(section, key).map(str::to_owned);
            let upcalls = Upcalls {
                source: name.to_owned(),
                folder: folder.to_owned(),
                map: command("map"),
                mapall: command("mapall"),
                all: command("all"),
                list: command("list"),
                reverse: command("reverse"),
                cache_time: cache_time(ini.get(section, "cache_time"))
                    .map_err(|error| error.within(format!("source {name}")))?,
                time_max: TIME_MAX,
                until: None,
                answers: RefCell::new(HashMap::new()),
            };
            if upcalls.map.is_none() && upcalls.mapall.is_none() {
                return Err(Error::new(format!("source {name} has neither \"map\" nor \"mapall\"")));
            }
            groups.add(name.to_owned(), Source::Upcalls(Box::new(upcalls)))?;
        }
    }
    Ok(())
}

fn cache_time(text: Option<&str>) -> Result<Duration, Error> {
    let Some(text) = text else { return Ok(CACHE_TIME) };
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| Error::new("cache_time is not a number of seconds"))
}
