//! What is copied to each host, or from it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sshoal::Command;
use sshoal::config::HostArgs;
use sshoal::output::sanitise;
use sshoal::transfer::{Get, Placement, Put};

use super::{template, values};
use crate::args::{CopyArgs, GetArgs, PutArgs, SyncArgs};
use crate::targets::Target;

/// The copies of a run.
#[derive(Debug)]
pub struct Copies {
    /// With the paths of each host as values, if they differ.
    pub command: Command,
    /// How many copies each host has, each a command of its own.
    pub per_host: usize,
    /// What each host does, for the plan that is shown.
    pub shown: Vec<Vec<u8>>,
    /// The name of each host in local paths, if these differ.
    pub own_names: Vec<String>,
}

/// A source, and where it goes.
type Pair = (Vec<u8>, Vec<u8>);

/// The paths of each host, one host after the other.
struct Paths {
    pairs: Vec<Pair>,
    per_host: usize,
    /// Whether hosts have different paths.
    differ: bool,
}

impl Paths {
    /// Each source with the destination, with the values of each host if the paths want some.
    fn new(
        sources: &[impl AsRef<OsStr>],
        dest: &OsStr,
        args: &CopyArgs,
        targets: &[Target],
    ) -> Result<Self, String> {
        let pair = |source: &OsStr| (source.as_bytes().to_vec(), dest.as_bytes().to_vec());
        let same: Vec<Pair> = sources.iter().map(|source| pair(source.as_ref())).collect();
        let (per_host, mut pairs) = (same.len(), Vec::with_capacity(same.len() * targets.len()));
        let differ = args.arg_file.is_some() || args.template;
        if !differ {
            targets.iter().for_each(|_| pairs.extend(same.iter().cloned()));
            return Ok(Self { pairs, per_host, differ });
        }
        for values in values::values(targets, args.arg_file.as_deref())? {
            for (source, dest) in &same {
                pairs.push((template::filled(source, &values)?, template::filled(dest, &values)?));
            }
        }
        Ok(Self { pairs, per_host, differ })
    }

    /// The command of each copy. `make` describes one by its two paths.
    fn copies<T: Into<Command>>(
        &self,
        verb: &str,
        make: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<Copies, String> {
        let shown = self.pairs.chunks(self.per_host).map(|pairs| {
            let mut text = verb.as_bytes().to_vec();
            for source in pairs.iter().map(|(source, _)| source).chain(pairs.first().map(|(_, dest)| dest)) {
                text.push(b' ');
                text.extend_from_slice(source);
            }
            text
        });
        let shown = shown.collect();
        let command = match &self.pairs[..] {
            [(from, to), ..] if self.per_host == 1 && !self.differ => make(from, to).into(),
            pairs => {
                let args = pairs.iter().map(|(from, to)| {
                    let (from, to) = (utf8(from)?, utf8(to)?);
                    Ok(HostArgs::named([("from", from), ("to", to)]))
                });
                let args = args.collect::<Result<Vec<_>, String>>()?;
                make(b"%(from)s", b"%(to)s").into().host_args(args)
            }
        };
        Ok(Copies { command, per_host: self.per_host, shown, own_names: Vec::new() })
    }
}

/// Values of hosts are texts.
fn utf8(path: &[u8]) -> Result<&str, String> {
    str::from_utf8(path).map_err(|_| {
        let path = sanitise(path);
        format!("{path} is not UTF-8: such a path can be copied only by itself, and without --template")
    })
}

/// The copies of `sshoal put`.
///
/// # Errors
/// A local file is not there or is a directory, or two have the same name on the host.
pub fn put(args: &PutArgs, targets: &[Target]) -> Result<Copies, String> {
    let (files, dest) = args.split()?;
    let paths = Paths::new(files, &on_hosts(dest)?, &args.copy, targets)?;
    if args.owner.is_some() && !args.copy.secrets.uses_sudo() {
        return Err("--owner needs --sudo: only root can give files to others".to_owned());
    }
    let several = files.len() > 1;
    if several && args.no_target_directory {
        return Err("-T is for one file: several need a directory".to_owned());
    }
    check_files(&paths, args.recursive)?;
    let contents = files.iter().find(|file| is_contents(file));
    if let Some(file) = contents.filter(|_| several) {
        let file = sanitise(file.as_bytes());
        return Err(format!("{file} stands for what is in it: copy it by itself, or name the directory"));
    }
    let is_exact = args.no_target_directory || contents.is_some();
    if !several && !is_exact && (args.resume || args.copy.last.is_some()) {
        check_place(&paths)?;
    }
    paths.copies("put", |from, to| {
        let mut put = Put::new(PathBuf::from(OsStr::from_bytes(from)), to)
            .recurse(args.recursive)
            .links(args.how.links.into())
            .keep_times(args.preserve)
            .checksum(args.how.checksum)
            .sync(args.how.fsync)
            .create_parents(!args.how.no_parents)
            .skip_same(args.skip_same)
            .in_place(args.in_place)
            .resume(args.resume)
            .placement(match () {
                () if several => Placement::Into,
                () if is_exact => Placement::Exact,
                () => Placement::Auto,
            });
        if let Some(mode) = args.mode {
            put = put.mode(mode);
        }
        if let Some(owner) = &args.owner {
            put = put.owner(owner);
        }
        put
    })
}

/// The copies of `sshoal sync`. A dry run only looks at the hosts. `deletes`: what the directory
/// does not have is deleted.
///
/// # Errors
/// The local directory is not there.
pub fn sync(args: &SyncArgs, targets: &[Target], is_dry: bool, deletes: bool) -> Result<Copies, String> {
    no_sudo(&args.copy)?;
    let paths = Paths::new(&[&args.dir], &on_hosts(&args.dest)?, &args.copy, targets)?;
    check_files(&paths, true)?;
    let is_file = |(from, _): &&Pair| !Path::new(OsStr::from_bytes(from)).is_dir();
    if let Some((from, _)) = paths.pairs.iter().find(is_file) {
        return Err(format!("{} is no directory: `sshoal put` copies files", sanitise(from)));
    }
    paths.copies("sync", |from, to| {
        Put::new(PathBuf::from(OsStr::from_bytes(from)), to)
            .recurse(true)
            .skip_same(true)
            .delete(deletes)
            .dry_run(is_dry)
            .links(args.how.links.into())
            .checksum(args.how.checksum)
            .sync(args.how.fsync)
            .create_parents(!args.how.no_parents)
    })
}

/// The copies of `sshoal get`.
///
/// # Errors
/// The copies of different hosts would have the same path.
pub fn get(args: &GetArgs, targets: &[Target]) -> Result<Copies, String> {
    no_sudo(&args.copy)?;
    let (files, dest) = args.split()?;
    let files = files.iter().map(|file| on_hosts(file)).collect::<Result<Vec<_>, _>>()?;
    let mut paths = Paths::new(&files, dest, &args.copy, targets)?;
    let (several, template) = (targets.len() > 1, args.name.as_deref());
    if several && !paths.differ && template.is_some_and(|name| !name.contains("{host}")) {
        return Err("--name needs {host}: the copies of several hosts cannot have the same name".to_owned());
    }
    let template = template.unwrap_or(if several { "{host}/{name}" } else { "{name}" });
    let is_alone = !several && args.name.is_none() && files.len() == 1;
    for (pairs, target) in paths.pairs.chunks_mut(paths.per_host).zip(targets) {
        let host = escaped(own_name(target).as_bytes());
        let host = String::from_utf8_lossy(&host);
        let name = template.replace("{host}", &host);
        for (source, dest) in pairs {
            // `dir/.` has no name of its own: DEST, or DEST/HOST, is what is in it.
            let has_name = args.name.is_some() || !is_contents(OsStr::from_bytes(source));
            let name = if has_name {
                &*name
            } else if several {
                &*host
            } else {
                "."
            };
            let path = Path::new(OsStr::from_bytes(dest));
            let is_directory = dest.ends_with(b"/") || path.is_dir();
            let mut local = escaped(dest);
            if !is_alone || is_directory {
                if !is_directory && path.exists() {
                    let dest = sanitise(&*dest);
                    return Err(format!("{dest} is no directory, which these copies need: name another one"));
                }
                local = [local.strip_suffix(b"/").unwrap_or(&local), b"/", name.as_bytes()].concat();
            }
            *dest = local;
        }
    }
    paths.differ |= several;
    let mut copies = paths.copies("get", |from, to| {
        let get = Get::new(from, PathBuf::from(OsStr::from_bytes(to)))
            .recurse(args.recursive)
            .links(args.links.into())
            .preserve(args.preserve)
            .skip_same(args.skip_same)
            .resume(args.resume)
            .overwrite(!args.no_clobber)
            .growing(args.growing)
            .sync(args.fsync);
        let get = args.max_files.map_or(get.clone(), |max| get.max_entries(max));
        let get = args.max_bytes.map_or(get.clone(), |max| get.max_bytes(max));
        args.max_depth.map_or(get.clone(), |max| get.max_depth(max))
    })?;
    if several {
        copies.own_names = targets.iter().map(own_name).collect();
    }
    Ok(copies)
}

/// The name of a host in a local path.
fn own_name(target: &Target) -> String {
    target.name.replace('/', "_")
}

/// A path in which braces stand for themselves.
fn escaped(path: &[u8]) -> Vec<u8> {
    let twice = |byte: &u8| std::iter::repeat_n(*byte, if matches!(byte, b'{' | b'}') { 2 } else { 1 });
    path.iter().flat_map(twice).collect()
}

fn no_sudo(args: &CopyArgs) -> Result<(), String> {
    match args.secrets.uses_sudo() {
        true => Err("--sudo is for single files that `sshoal put` installs; log in as a user (-l) who may \
                     read or write the files"
            .to_owned()),
        false => Ok(()),
    }
}

/// A path on the hosts as the library takes it: relative to the home directory, without `~/`.
fn on_hosts(path: &OsStr) -> Result<OsString, String> {
    let bytes = path.as_bytes();
    let shown = sanitise(bytes);
    let first = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    if let Some(at) = memchr::memchr(b':', first).filter(|at| *at > 0) {
        let (host, path) = (sanitise(&bytes[..at]), sanitise(&bytes[at + 1..]));
        return Err(format!(
            "{shown}: hosts are named by -w: write -w {host} and {path}, or ./{shown} if that is a file"
        ));
    }
    match first {
        b"~" if bytes.len() == 1 => Ok(".".into()),
        b"~" => Ok(OsStr::from_bytes(&[b"./", &bytes[2..]].concat()).to_owned()),
        [b'~', ..] => Err(format!(
            "{shown}: hosts do not say where the home of another user is: write the whole path, or ./{shown} if \
             that is a file"
        )),
        _ => Ok(path.to_owned()),
    }
}

/// Whether a local path stands for what is in a directory, as `.` and `dir/.` do for cp.
fn is_contents(path: &OsStr) -> bool {
    Path::new(path).file_name().is_none() || path.as_bytes().ends_with(b"/.")
}

/// Whether a directory has the same place if it was sent before: without a slash, that depends on
/// whether DEST is there.
fn check_place(paths: &Paths) -> Result<(), String> {
    let is_directory = |path: &[u8]| Path::new(OsStr::from_bytes(path)).is_dir();
    match paths.pairs.iter().find(|(from, to)| !to.ends_with(b"/") && is_directory(from)) {
        Some((from, to)) => Err(format!(
            "an earlier copy may have created {to}: write {to}/ if {} goes into it, or -T if it becomes {to}",
            sanitise(from),
            to = sanitise(to),
        )),
        None => Ok(()),
    }
}

/// Whether the local files can be sent at all, so that one mistake is not a failure of each host.
fn check_files(paths: &Paths, recursive: bool) -> Result<(), String> {
    let mut seen = HashSet::new();
    for pairs in paths.pairs.chunks(paths.per_host) {
        let mut names = HashSet::new();
        for (from, _) in pairs {
            let path = Path::new(OsStr::from_bytes(from));
            let shown = sanitise(from);
            let name = path.file_name();
            if pairs.len() > 1 && !names.insert(name) {
                let name = sanitise(name.unwrap_or_default().as_bytes()).into_owned();
                return Err(format!("two files would have the name {name} on the host"));
            }
            if !seen.insert(from) {
                continue;
            }
            let cannot = |error: std::io::Error| match error.kind() {
                ErrorKind::NotFound if memchr::memchr3(b'*', b'?', b'[', from).is_some() => {
                    format!("cannot copy {shown}: no file here has that name, or matches it")
                }
                _ => format!("cannot copy {shown}: {error}"),
            };
            let metadata = std::fs::metadata(path).map_err(cannot)?;
            if metadata.is_dir() && !recursive {
                return Err(format!("{shown} is a directory: -r copies it with everything in it"));
            }
            if !metadata.is_dir() && !metadata.is_file() {
                return Err(format!("{shown} is neither a file nor a directory: copy it to a file first"));
            }
            if metadata.is_file() {
                std::fs::File::open(path).map_err(cannot)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn targets(names: &[&str]) -> Vec<Target> {
        let target = |name: &&str| Target {
            name: (*name).to_owned(),
            host: (*name).to_owned(),
            user: None,
            port: None,
        };
        names.iter().map(target).collect()
    }

    /// Where the copies of each host go.
    fn places(words: &str, hosts: &[&str]) -> Result<Vec<String>, String> {
        let args = GetArgs::try_parse_from(words.split(' ')).unwrap();
        let shown = get(&args, &targets(hosts))?.shown;
        Ok(shown.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
    }

    #[test]
    fn paths_on_hosts_have_no_host_and_no_tilde() {
        for (path, expected) in [
            ("/a:b/c", "/a:b/c"),
            ("a/b:c", "a/b:c"),
            ("./a:b", "./a:b"),
            (":a", ":a"),
            ("~", "."),
            ("~/", "./"),
            ("~/a b", "./a b"),
            ("a/~/b", "a/~/b"),
        ] {
            assert_eq!(on_hosts(OsStr::new(path)).unwrap(), expected, "{path}");
        }
        let error = on_hosts(OsStr::new("root@web1:/srv")).unwrap_err();
        assert!(error.contains("write -w root@web1 and /srv, or ./root@web1:/srv if"), "{error}");
        assert!(on_hosts(OsStr::new("~root/x")).unwrap_err().contains("write the whole path"));
        for (path, is) in
            [(".", true), ("..", true), ("a/.", true), ("/", true), ("a/", false), ("a/.b", false)]
        {
            assert_eq!(is_contents(OsStr::new(path)), is, "{path}");
        }
    }

    #[test]
    fn each_host_has_copies_of_its_own() {
        for (words, hosts, expected) in [
            ("get /etc/motd here", &["w1"][..], &["get /etc/motd here"][..]),
            ("get /etc/motd here/", &["w1"], &["get /etc/motd here/{name}"]),
            ("get /etc/motd /", &["w1"], &["get /etc/motd /{name}"]),
            ("get a b h{e}re", &["w1"], &["get a b h{{e}}re/{name}"]),
            ("get a h", &["w1", "w2"], &["get a h/w1/{name}", "get a h/w2/{name}"]),
            ("get a h", &["w:1", "b/c"], &["get a h/w:1/{name}", "get a h/b_c/{name}"]),
            ("get --name {name}.{host} a h/", &["w1", "w2"], &["get a h/{name}.w1", "get a h/{name}.w2"]),
            ("get --name {path} a h", &["w1"], &["get a h/{path}"]),
            ("get -r d/. h", &["w1"], &["get d/. h"]),
            ("get -r d/. h/", &["w1"], &["get d/. h/."]),
            ("get -r . h", &["w1", "w2"], &["get . h/w1", "get . h/w2"]),
            ("get --template --name x a h/%{n}", &["w1", "w2"], &["get a h/0/x", "get a h/1/x"]),
        ] {
            assert_eq!(places(words, hosts).unwrap(), expected, "{words}");
        }
        assert!(places("get a /etc/passwd", &["w1", "w2"]).unwrap_err().contains("is no directory"));
        assert_eq!(places("get a /etc/passwd", &["w1"]).unwrap(), ["get a /etc/passwd"]);
        assert!(places("get w1:/etc/motd h", &["w1"]).unwrap_err().contains("write -w w1 and /etc/motd"));
        assert_eq!(places("get ~/a h", &["w1"]).unwrap(), ["get ./a h"]);
        assert!(places("get --name {name} a h", &["w1", "w2"]).unwrap_err().contains("{host}"));
        assert!(places("get --sudo a h", &["w1"]).unwrap_err().contains("--sudo is for"));
        assert!(places("get a", &["w1"]).is_err());
    }
}
