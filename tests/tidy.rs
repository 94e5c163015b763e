//! The house rules that can be checked by a test.

#![allow(clippy::unwrap_used, reason = "a source that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// The folders with `unsafe`, and the most blocks that each may have outside of its tests.
const UNSAFE_FOLDERS: [(&str, usize); 2] = [("link/libssh/", 75), ("link/provider/", 40)];

/// The file that reads the clock. Other code gets the time as an argument.
const CLOCK_FILE: &str = "clock.rs";

/// The most modules that a level may have.
const MODULES_PER_LEVEL: usize = 8;

/// The most files over which the methods of one type may be spread.
const FILES_PER_TYPE: usize = 5;

/// The levels of modules, from the bottom up, as the table in docs/design.md lists them.
fn levels() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let text = fs::read_to_string(path).unwrap();
    let table = text.split("| level | modules |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut levels: Vec<(usize, Vec<String>)> = rows
        .map(|row| {
            let number = row.split('|').nth(1).unwrap().trim().parse().unwrap();
            (number, row.split('`').skip(1).step_by(2).map(str::to_owned).collect())
        })
        .collect();
    levels.sort();
    assert!(levels.iter().map(|(number, _)| *number).eq(0..levels.len()), "{levels:?}");
    levels.into_iter().map(|(_, modules)| modules).collect()
}

struct Source {
    /// Relative to `src`, with `/`.
    name: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.name.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The lines before the unit tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("mod tests {"));
        lines.enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The library's own sources, without the unit tests and the fuzz targets' bodies.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if name.contains("tests") || name.starts_with("fuzzing") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(Source { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(found.len() > 40, "only {} sources found", found.len());
    found
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_and_functions_stay_readable() {
    let mut faults = Vec::new();
    for source in sources() {
        let count = source.code().count();
        if count > FILE_LINES_MAX {
            faults.push(format!("{}: {count} lines", source.name));
        }
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in source.code() {
            let indent = line.len() - line.trim_start().len();
            let is_head = line.trim_start().split('"').next().unwrap().split(' ').any(|word| word == "fn");
            match open {
                None if is_head && !line.ends_with(';') && !line.trim_start().starts_with("//") => {
                    open = Some((number, indent));
                }
                Some((start, depth)) if indent == depth && (line.trim() == "}" || line.ends_with(" }")) => {
                    if number - start >= FUNCTION_LINES_MAX {
                        faults.push(format!("{}:{start}: {} lines", source.name, number - start + 1));
                    }
                    open = None;
                }
                _ => {}
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn unsafe_lives_in_two_folders_and_gives_its_reason() {
    let mut faults = Vec::new();
    let mut blocks = [0; UNSAFE_FOLDERS.len()];
    for source in sources() {
        let lines: Vec<(usize, &str)> = source.code().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            let uses = code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            if !uses || code.contains("unsafe extern") || code.contains("allow(unsafe_code)") {
                continue;
            }
            let folder = UNSAFE_FOLDERS.iter().position(|(folder, _)| source.name.starts_with(folder));
            let Some(folder) = folder else {
                faults.push(format!("{}:{number}: unsafe outside of {UNSAFE_FOLDERS:?}", source.name));
                continue;
            };
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                blocks[folder] += usize::from(!source.name.ends_with("tests.rs"));
                let before = &lines[index.saturating_sub(4)..index];
                if !before.iter().any(|(_, line)| line.contains("// SAFETY:")) {
                    faults.push(format!("{}:{number}: no SAFETY reason", source.name));
                }
            }
        }
    }
    for ((folder, max), blocks) in UNSAFE_FOLDERS.into_iter().zip(blocks) {
        assert!((1..=max).contains(&blocks), "{folder}: {blocks} unsafe blocks, {max} allowed");
    }
    assert_none(&faults);
}

#[test]
fn the_clock_is_read_in_one_place() {
    let readers: Vec<String> = sources()
        .iter()
        .flat_map(|source| source.code().map(move |(number, line)| (source, number, line)))
        .filter(|(_, _, line)| !line.trim_start().starts_with("//"))
        .filter(|(_, _, line)| line.contains("Instant::now()") || line.contains("SystemTime::now()"))
        .map(|(source, number, _)| format!("{}:{number}", source.name))
        .collect();
    // The monotonic clock and the wall clock.
    assert_eq!(readers.len(), 2, "{readers:?}");
    assert!(readers.iter().all(|reader| reader.starts_with(CLOCK_FILE)), "{readers:?}");
}

#[test]
fn imports_go_downward_only() {
    let levels = levels();
    let level = |module: &str| levels.iter().position(|names| names.iter().any(|name| name == module));
    let crowded = levels.iter().find(|names| names.len() > MODULES_PER_LEVEL);
    assert_eq!(crowded, None, "more than {MODULES_PER_LEVEL} modules on one level");
    let mut faults = Vec::new();
    for source in sources() {
        if source.name == "lib.rs" {
            continue;
        }
        let Some(own) = level(source.module()) else {
            faults.push(format!("{}: which level is it on?", source.name));
            continue;
        };
        for (number, line) in source.code() {
            for path in line.split("//").next().unwrap().split("crate::").skip(1) {
                let target: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let target = if target == "engine" { "fleet".to_owned() } else { target };
                if target != source.module() && level(&target).is_some_and(|there| there >= own) {
                    faults.push(format!("{}:{number}: {} imports {target}", source.name, source.module()));
                }
            }
        }
    }
    assert_none(&faults);
}

/// A reader finds the methods of a type in few places.
#[test]
fn the_methods_of_a_type_are_in_few_files() {
    let mut files: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        for (_, line) in source.code() {
            let Some(head) = line.strip_prefix("impl").filter(|head| !head.contains(" for ")) else {
                continue;
            };
            let head = head
                .split_once("> ")
                .map_or(head, |(generics, rest)| if generics.starts_with('<') { rest } else { head });
            let name: String =
                head.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let key = (source.module().to_owned(), name);
            files.entry(key).or_default().insert(source.name.clone());
        }
    }
    assert!(files.len() > 100, "only {} types found", files.len());
    let faults = files.iter().filter(|(_, files)| files.len() > FILES_PER_TYPE);
    assert_none(&faults.map(|((_, name), files)| format!("{name}: {files:?}")).collect::<Vec<_>>());
}

/// The files that may access a disk, and why no turn waits for them.
const DISK_FILES: [(&str, &str); 14] = [
    ("config/key_file.rs", "keys and certificates are read by `build`, and by calls that add hosts"),
    ("dns/conf.rs", "`resolv.conf` and the hosts file are read by `build`"),
    ("fleet/descriptors.rs", "/proc/self/fd is no disk: the kernel answers from memory"),
    ("hostkey/load.rs", "known_hosts files are read by `build`, and again by a thread of fleet/disk.rs"),
    ("hostkey/stamp.rs", "known_hosts files are looked at by a thread of fleet/disk.rs"),
    ("hostkey/open.rs", "used by the recorder, and by the call that adds scanned keys"),
    ("hostkey/recorder.rs", "new host keys are recorded by a thread of fleet/disk.rs"),
    ("ssh_config/glob.rs", "used by load.rs"),
    ("ssh_config/load.rs", "a program calls it, outside of any fleet"),
    ("transfer/local/folder.rs", "a `FileJob` runs on a thread"),
    ("transfer/local/listing.rs", "a `FileJob` runs on a thread"),
    ("transfer/local/part.rs", "a `FileJob` runs on a thread; a part that is dropped is removed at once"),
    ("transfer/local/source.rs", "a `FileJob` runs on a thread; `Reader::chunk` looks into memory only"),
    ("transfer/local/walk.rs", "a `FileJob` runs on a thread"),
];

/// Once a fleet is built, no turn waits for a disk.
#[test]
fn files_are_touched_where_no_turn_waits_for_them() {
    const TOUCH: [&str; 14] = [
        "std::fs",
        "File::open",
        "OpenOptions",
        "nix::fcntl",
        "nix::sys::stat",
        "nix::dir",
        "rustix::fs",
        ".canonicalize(",
        ".try_exists(",
        ".exists()",
        ".is_file()",
        ".metadata()",
        ".read_dir(",
        ".read_link(",
    ];
    let mut faults = Vec::new();
    let mut used = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            let code = line.split("//").next().unwrap();
            let Some(touch) = TOUCH.iter().find(|touch| code.contains(**touch)) else { continue };
            match DISK_FILES.iter().find(|(name, _)| *name == source.name) {
                Some((name, _)) => used.push(*name),
                None => faults.push(format!("{}:{number}: {touch} outside of the listed files", source.name)),
            }
        }
    }
    assert_none(&faults);
    for (name, reason) in DISK_FILES {
        assert!(used.contains(&name), "{name} touches no file any more ({reason})");
    }
    // The recorder blocks: only a caller that requests it, or a thread, may use it.
    let entered: Vec<String> = sources()
        .iter()
        .flat_map(|source| source.code().map(move |(number, line)| (source, number, line)))
        .filter(|(_, _, line)| line.contains("erifier.serve(") || line.contains(".recorded_algorithms("))
        .filter(|(source, _, _)| source.module() != "hostkey")
        .map(|(source, number, _)| format!("{}:{number}", source.name))
        .collect();
    assert!(matches!(&entered[..], [only] if only.starts_with("fleet/disk.rs:")), "{entered:?}");
}

/// What the blocking client does, it does through the fleet's public interface, as any program
/// could.
#[test]
fn the_client_is_a_caller_of_the_fleet_like_any_other() {
    const BELOW: [&str; 5] = ["agent", "dns", "link", "reactor", "session"];
    let mut faults = Vec::new();
    for source in &sources() {
        match source.module() {
            "client" => {
                for (number, line) in source.code() {
                    for below in BELOW.iter().filter(|below| names_module(line, below)) {
                        faults.push(format!("{}:{number}: reaches past the fleet, to {below}", source.name));
                    }
                }
            }
            "fleet" => {
                let back_doors = source.code().filter(|(_, line)| line.contains("pub(crate) "));
                faults.extend(back_doors.map(|(number, _)| format!("{}:{number}: a back door", source.name)));
            }
            _ => {}
        }
    }
    assert_none(&faults);
}

/// At most so many names at the root of the crate: those that most programs use.
const ROOT_NAMES_MAX: usize = 24;

/// The modules that have the rest.
const PUBLIC_MODULES: [&str; 8] =
    ["client", "config", "error", "fleet", "hostkey", "output", "ssh_config", "transfer"];

#[test]
fn each_public_name_has_one_path() {
    let sources = sources();
    let text = |name: &str| sources.iter().find(|source| source.name == name).map(|source| &*source.text);
    let lib = text("lib.rs").unwrap();
    let public: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split([';', ' ']).next()).collect();
    let guides = ["coming_from_parallel_ssh", "embedding", "fuzzing", "performance"];
    let mut modules: Vec<&str> = public.into_iter().filter(|name| !guides.contains(name)).collect();
    modules.sort_unstable();
    assert_eq!(modules, PUBLIC_MODULES);

    let mut exported: Vec<(&str, &str)> = Vec::new();
    exported.extend(exports(lib).into_iter().map(|name| ("the root", name)));
    assert!((15..=ROOT_NAMES_MAX).contains(&exported.len()), "{} names at the root", exported.len());
    for module in PUBLIC_MODULES {
        let file = format!("{module}/mod.rs");
        let text = text(&file).unwrap();
        // What is defined in a module's own file is exported there too.
        let defined = text.lines().filter(|line| {
            ["pub struct ", "pub enum ", "pub trait ", "pub fn ", "pub type ", "pub const ", "pub mod "]
                .iter()
                .any(|head| line.starts_with(head))
        });
        assert_eq!(defined.collect::<Vec<_>>(), [""; 0], "{module}: define it in a file of its own");
        let names = exports(text);
        assert!(names.len() > 5, "{module}: {names:?}");
        exported.extend(names.into_iter().map(|name| (module, name)));
    }
    let mut faults = Vec::new();
    for (index, (module, name)) in exported.iter().enumerate() {
        if let Some((other, _)) = exported[..index].iter().find(|(_, known)| known == name) {
            faults.push(format!("{name} is in {other} and in {module}"));
        }
        if *name == "*" {
            faults.push(format!("{module} exports with a glob: nobody sees what"));
        }
    }
    assert_none(&faults);
}

/// The names that a text exports by `pub use`.
fn exports(text: &str) -> Vec<&str> {
    let starts = text.match_indices("pub use ").map(|(at, head)| &text[at + head.len()..]);
    let lists = starts.filter_map(|rest| rest.split(';').next());
    let names = lists.flat_map(|path| match path.split_once('{') {
        Some((_, list)) => list.trim_end_matches(['}', ' ', '\n']).split(',').collect(),
        None => vec![path.rsplit("::").next().unwrap()],
    });
    names.map(str::trim).filter(|name| !name.is_empty()).collect()
}

const COMMENT_WIDTH_MAX: usize = 100;

/// Phrases of a private dialect, each with a plainer word that says the same.
const BANNED: &[&str] = &[
    "are told",               // receive
    "at hand",                // available, prefetched
    "come to",                // result in
    "comes to",               // results in
    "draws the consequences", // evaluates
    "for the sake",           // because of
    "gives way",              // is dropped, is skipped
    "has become of",          // the state of
    "has the word",           // decides
    "holds for",              // applies to
    "is told",                // receives, learns
    "lets in",                // accepts
    "nobody is",              // no ... is
    "nobody's",               // unused, dropped
    "none of its worries",    // ignored
    "of no use",              // invalid, unusable
    "out of it",              // from it
    "passed over",            // skipped
    "somebody",               // another process, another user
    "takes note",             // records
    "tells apart",            // distinguishes
    "to be had",              // available
    "told apart",             // distinguished
    "told of",                // informed
    "unless told otherwise",  // by default
    "what came of",           // the result of
    "whoever",                // the caller, the owner
];

/// Every Rust file below these folders of the package, with the unit tests, by its name there.
fn files(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found
}

/// Rows of tables cannot be wrapped.
#[test]
fn comments_are_not_too_wide() {
    let mut faults = Vec::new();
    for source in files(&["src", "tests", "benches", "examples"]) {
        for (index, line) in source.text.lines().enumerate() {
            let width = line.chars().count();
            let comment = line.trim_start().strip_prefix("//");
            let is_row =
                comment.is_some_and(|text| text.trim_start_matches(['/', '!', ' ']).starts_with('|'));
            if comment.is_some() && !is_row && width > COMMENT_WIDTH_MAX {
                faults.push(format!("{}:{}: a comment of {width} columns", source.name, index + 1));
            }
        }
    }
    assert_none(&faults);
}

/// Comments and texts: code has underscores where these phrases have blanks.
#[test]
fn prose_is_plain() {
    let mut faults = Vec::new();
    for source in files(&["src"]) {
        // Joined, because a phrase may continue on the next line of a comment.
        let lines = source.text.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim_start());
        let text = lines.collect::<Vec<_>>().join(" ").to_lowercase();
        for phrase in BANNED {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            for (at, _) in text.match_indices(phrase) {
                let (before, after) = (&text[..at], &text[at + phrase.len()..]);
                if !before.ends_with(is_word) && !after.starts_with(is_word) {
                    let context: String = after.chars().take(30).collect();
                    faults.push(format!("{}: \"{phrase}{context}\"", source.name));
                }
            }
        }
    }
    assert_none(&faults);
}

/// Whether a line of code has `crate::module`.
fn names_module(line: &str, module: &str) -> bool {
    let code = line.split("//").next().unwrap();
    code.split("crate::").skip(1).any(|path| {
        path.strip_prefix(module)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}
