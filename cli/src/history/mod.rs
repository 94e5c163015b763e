//! The last runs: which hosts, and how each has ended. Outputs are not kept.
//!
//! Each run is a file in `$XDG_STATE_HOME/sshoal/runs`, by default below `~/.local/state`. Only the
//! user can read them, because commands may hold secrets. What was typed at prompts is beside them.

mod record;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use record::{Record, Which};

/// What to do if it is not known which hosts have printed something else.
pub const NOT_COMPARED: &str =
    "that run did not compare what hosts printed; run the command with -b, -B, -bL or --diff first";

/// How many runs are kept.
const KEPT: usize = 100;

/// Keeps a run. That it cannot be kept is no failure of the run.
pub fn save(record: &Record) {
    let Some(folder) = folder() else { return };
    if let Err(error) = save_in(&folder, record) {
        log::warn!("the run is not in the history: {}: {error}", folder.display());
    }
}

/// The last run, or the one so many before it.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn last(before: usize) -> io::Result<Record> {
    let none = || io::Error::new(ErrorKind::NotFound, "there is no such run in the history");
    let folder = folder().ok_or_else(none)?;
    let mut names = names(&folder).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })?;
    let name = names.len().checked_sub(before + 1).map(|index| names.swap_remove(index));
    let path = folder.join(name.ok_or_else(none)?);
    let bytes = fs::read(&path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::other(format!("{} cannot be read: {error}", path.display())))
}

/// The lines that were typed at prompts, in a folder that exists.
///
/// # Errors
/// There is no folder for it.
pub fn of_prompts() -> io::Result<PathBuf> {
    let folder = state().ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no home folder"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder.join("prompt_history"))
}

fn folder() -> Option<PathBuf> {
    Some(state()?.join("runs"))
}

fn state() -> Option<PathBuf> {
    // The base directory specification ignores paths that are not absolute.
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = given.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(state.join("sshoal"))
}

fn save_in(folder: &Path, record: &Record) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = format!("{:014}-{}.json", record.began_ms, std::process::id());
    let (path, draft) = (folder.join(&name), folder.join(format!(".{name}")));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written =
        serde_json::to_writer(&mut file, record).map_err(io::Error::from).and_then(|()| file.flush());
    if let Err(error) = written.and_then(|()| fs::rename(&draft, &path)) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    let names = names(folder)?;
    for old in &names[..names.len().saturating_sub(KEPT)] {
        // Another run may have removed it.
        let _ = fs::remove_file(folder.join(old));
    }
    Ok(())
}

/// The files of the folder, the oldest first.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".json") && !name.starts_with('.')).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn only_the_user_can_read_what_is_kept_and_only_the_last_runs_are() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("state/runs");
        for second in 0..KEPT as u64 + 3 {
            let began = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            save_in(&runs, &Record::new(began, format!("echo {second}"), &[], &[])).unwrap();
        }
        let names = names(&runs).unwrap();
        assert_eq!(names.len(), KEPT);
        assert!(names[0].starts_with("00000000003000-"), "{names:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&runs), mode(&runs.join(&names[0]))), (0o700, 0o600));
    }
}
