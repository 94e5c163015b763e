//! Reading files, and compiling them into sections.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::compiled::{Gate, GateId, Item, Section};
use super::condition::{self, Condition, PatternList};
use super::context::LocalContext;
use super::error::SshConfigError;
use super::lexer::{self, LexError};
use super::settings::{Effect, Setting, canonical, effects};
use super::source::SettingSource;
use super::value::Args;
use super::{glob, ignored, limits, paths};
use crate::text::sanitise;

/// The folder of the system's configuration, where its relative `Include` paths begin.
pub(super) const SYSTEM_FOLDER: &str = "/etc/ssh";

/// Whether a file is the user's or the system's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    User,
    System,
}

/// Compiles files.
pub(super) struct Loader<'a> {
    context: &'a LocalContext,
    pub sections: Vec<Section>,
    pub gates: Vec<Gate>,
    /// Of all `IgnoreUnknown` lines so far, whether they apply or not.
    ignore_unknown: Vec<PatternList>,
    bytes: usize,
    files: usize,
    /// The files that are being read, outermost first.
    open: Vec<PathBuf>,
}

/// Where lines are read.
struct Place<'a> {
    path: &'a Arc<Path>,
    scope: Scope,
    /// The gate of the file: that of the `Include` line.
    outer: Option<GateId>,
}

impl<'a> Loader<'a> {
    pub fn new(context: &'a LocalContext) -> Self {
        Self {
            context,
            sections: Vec::new(),
            gates: Vec::new(),
            ignore_unknown: Vec::new(),
            bytes: 0,
            files: 0,
            open: Vec::new(),
        }
    }

    /// Reads a file. `false` means that there is none.
    pub fn file(&mut self, path: &Path, scope: Scope, outer: Option<GateId>) -> Result<bool, SshConfigError> {
        let too_much = |problem: String| SshConfigError::TooMuch { path: path.to_owned(), problem };
        if self.open.len() > limits::DEPTH {
            let depth = limits::DEPTH;
            return Err(too_much(format!(
                "is included through more than {depth} files; do they include each other?"
            )));
        }
        self.files += 1;
        if self.files > limits::FILES {
            return Err(too_much(format!("is one of more than {} files", limits::FILES)));
        }
        let Some(text) = self.read(path)? else { return Ok(false) };
        self.open.push(path.to_owned());
        let result = self.text(&text, &Place { path: &path.into(), scope, outer });
        self.open.pop();
        result.map(|()| true)
    }

    fn read(&mut self, path: &Path) -> Result<Option<Vec<u8>>, SshConfigError> {
        let failed = |error| SshConfigError::Read { path: path.to_owned(), error };
        let mut options = OpenOptions::new();
        // A pipe without a writer would block.
        let file = match options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            // As in OpenSSH, which reads nothing from it.
            return Ok(Some(Vec::new()));
        }
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        if let Some(problem) = self.ownership_problem(&metadata) {
            return Err(SshConfigError::Permissions { path: path.to_owned(), problem });
        }
        let room = limits::BYTES - self.bytes;
        let text = read_up_to(file, room + 1).map_err(failed)?;
        if text.len() > room {
            let problem = format!("brings all files to more than {} bytes", limits::BYTES);
            return Err(SshConfigError::TooMuch { path: path.to_owned(), problem });
        }
        self.bytes += text.len();
        Ok(Some(text))
    }

    /// OpenSSH tests only `~/.ssh/config` and included files; a file that the caller names has the
    /// same power.
    fn ownership_problem(&self, metadata: &Metadata) -> Option<String> {
        if metadata.uid() != 0 && metadata.uid() != self.context.uid {
            return Some(format!("belongs to user {}, not to root or to you", metadata.uid()));
        }
        let mode = metadata.mode() & 0o7777;
        (mode & 0o022 != 0).then(|| format!("has the mode {mode:04o}, so others can write to it"))
    }

    /// Compiles a text as if it were the user's file of that name.
    pub fn user_text(&mut self, text: &[u8], name: &Path) -> Result<(), SshConfigError> {
        self.text(text, &Place { path: &name.into(), scope: Scope::User, outer: None })
    }

    fn text(&mut self, text: &[u8], place: &Place<'_>) -> Result<(), SshConfigError> {
        let mut gate = place.outer;
        self.sections.push(Section::new(gate));
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let source = SettingSource::File { path: place.path.clone(), line: number };
            gate = self.line(line, &source, place, gate)?;
        }
        Ok(())
    }

    /// Compiles a line, and returns the gate of the lines that follow.
    fn line(
        &mut self,
        text: &[u8],
        source: &SettingSource,
        place: &Place<'_>,
        gate: Option<GateId>,
    ) -> Result<Option<GateId>, SshConfigError> {
        let fault = |problem: String| SshConfigError::line(source, problem);
        let Some((keyword, line)) = cut(text).map_err(fault)? else { return Ok(gate) };
        let words =
            lexer::split(line).map_err(|_| fault(format!("{keyword} has a quote that is not closed")))?;
        let condition = match keyword.as_str() {
            "host" => condition::host(&words),
            "match" => condition::criteria(line),
            "include" => {
                for word in words {
                    self.include(&word, source, place.scope, gate)?;
                }
                self.sections.push(Section::new(gate));
                return Ok(gate);
            }
            _ => {
                let items = self.items(&keyword, line, words).map_err(fault)?;
                let items = items.into_iter().map(|item| (item, source.clone()));
                if let Some(section) = self.sections.last_mut() {
                    section.extend(items);
                }
                return Ok(gate);
            }
        };
        let condition = condition.map_err(|problem| fault(format!("{keyword} {problem}")))?;
        Ok(Some(self.open_gate(condition, place.outer, source)))
    }

    fn open_gate(&mut self, condition: Condition, outer: Option<GateId>, source: &SettingSource) -> GateId {
        let gate = GateId(self.gates.len());
        self.gates.push(Gate { outer, condition, source: source.clone() });
        self.sections.push(Section::new(Some(gate)));
        gate
    }

    fn items(&mut self, keyword: &str, line: &[u8], words: Vec<Vec<u8>>) -> Result<Vec<Item>, String> {
        let items = line_items(keyword, line, words)?;
        for item in &items {
            if let Item::Effect(Effect::Set(Setting::IgnoreUnknown(list))) = item {
                self.ignore_unknown.push(PatternList::lowercase(list.as_bytes()));
            }
            // Whether the line that ignores it applies is known only for a destination.
            let is_ignored = |list: &PatternList| list.matches(keyword.as_bytes());
            if matches!(item, Item::Unknown(_)) && !self.ignore_unknown.iter().any(is_ignored) {
                return Err(unknown(keyword));
            }
        }
        Ok(items)
    }

    fn include(
        &mut self,
        word: &[u8],
        source: &SettingSource,
        scope: Scope,
        gate: Option<GateId>,
    ) -> Result<(), SshConfigError> {
        let fault = |problem: &str| SshConfigError::line(source, format!("include {problem}"));
        let word = str::from_utf8(word).map_err(|_| fault("has a path that is not UTF-8"))?;
        let pattern = match (word.as_bytes().first(), scope) {
            (None, _) => return Err(fault("has an empty path")),
            (Some(b'/'), _) => PathBuf::from(word),
            (Some(b'~'), Scope::System) => return Err(fault("has a path with ~ in the system's file")),
            (Some(b'~'), Scope::User) => paths::include_tilde(word, self.context)
                .ok_or_else(|| fault("has a path with an unknown user"))?,
            (_, Scope::System) => Path::new(SYSTEM_FOLDER).join(word),
            (_, Scope::User) => paths::include_home(self.context).join(".ssh").join(word),
        };
        for path in glob::paths(&pattern, limits::FILES) {
            self.file(&path, scope, gate)?;
        }
        Ok(())
    }
}

fn read_up_to(file: File, max: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(max as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// The keyword of a line, and the rest of it; `None` for a blank line or a comment.
fn cut(text: &[u8]) -> Result<Option<(String, &[u8])>, String> {
    if text.len() > limits::LINE_BYTES {
        return Err(format!("the line has more than {} bytes", limits::LINE_BYTES));
    }
    if text.contains(&0) {
        return Err("the line has a NUL byte; is this a configuration file?".to_owned());
    }
    let line = lexer::line(text).map_err(|error| match error {
        LexError::Quote => "has a quote that is not closed".to_owned(),
        LexError::NoArgument => {
            let word = String::from_utf8_lossy(text.trim_ascii());
            format!("{} has no value", sanitise(word.trim_end_matches(['=', ' ', '\t'])))
        }
    })?;
    let Some(line) = line else { return Ok(None) };
    Ok(Some((String::from_utf8_lossy(&line.keyword).into_owned(), line.rest)))
}

fn unknown(keyword: &str) -> String {
    let keyword = sanitise(keyword);
    format!(
        "the keyword {keyword:?} is unknown; correct it, or put \"IgnoreUnknown {keyword}\" before it, as for ssh"
    )
}

/// What a line with any keyword but `Host`, `Match` and `Include` does.
fn line_items(keyword: &str, line: &[u8], words: Vec<Vec<u8>>) -> Result<Vec<Item>, String> {
    let name = canonical(keyword);
    let utf8 = |bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|_| format!("{keyword} has a value that is not UTF-8"))
    };
    if let Some(reason) = ignored::reason(name) {
        let arguments = String::from_utf8_lossy(line).trim().into();
        return Ok(vec![Item::Ignored { keyword: keyword.into(), arguments, reason }]);
    }
    let words: Vec<String> = words.into_iter().map(utf8).collect::<Result<_, _>>()?;
    let mut args = Args { text: str::from_utf8(line).ok(), words: words.into_iter() };
    let Some(effects) = effects(name, &mut args) else {
        return Ok(vec![Item::Unknown(keyword.into())]);
    };
    let effects = effects.map_err(|problem| format!("{keyword} {problem}"))?;
    if args.words.len() > 0 {
        return Err(format!("{keyword} has more values than it takes"));
    }
    Ok(effects.into_iter().map(Item::Effect).collect())
}

/// One line like an argument of ssh's `-o`: `Keyword=value`.
pub(super) fn option(text: &str) -> Result<Vec<Item>, String> {
    let Some((keyword, line)) = cut(text.as_bytes())? else { return Err("is empty".to_owned()) };
    if matches!(keyword.as_str(), "host" | "match" | "include") {
        return Err(format!("{keyword} works in files only"));
    }
    let words = lexer::split(line).map_err(|_| format!("{keyword} has a quote that is not closed"))?;
    let items = line_items(&keyword, line, words)?;
    if items.iter().any(|item| matches!(item, Item::Unknown(_))) {
        return Err(format!("the keyword {:?} is unknown", sanitise(&keyword)));
    }
    Ok(items)
}
