//! One file for each host: `--outdir` and `--errdir`.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sshoal::StdStream;

use super::{HostIndex, Hosts, News, Report, Screen};

/// Files that are held open. Connections need the descriptors, and a fleet is larger than any
/// limit.
const OPEN_MAX: usize = 32;

/// The longest name of a file, in bytes; Linux allows 255.
const NAME_BYTES_MAX: usize = 200;

/// The files of one stream.
pub struct Files {
    flag: &'static str,
    folder: PathBuf,
    stream: StdStream,
    names: Vec<String>,
    /// Whether the file is from this run.
    written: Vec<bool>,
    /// The one that was opened last is the last one.
    open: VecDeque<(HostIndex, File)>,
}

impl Files {
    /// Creates the folder. Files are created, or those of an earlier run replaced, when there is
    /// something to write.
    pub fn new(folder: &Path, stream: StdStream, hosts: &Hosts<'_>) -> io::Result<Self> {
        let flag = match stream {
            StdStream::Stdout => "--outdir",
            StdStream::Stderr => "--errdir",
        };
        fs::create_dir_all(folder).map_err(|error| {
            let text = format!("{flag}: cannot create the folder {}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        })?;
        let names = names((0..hosts.len()).map(|host| hosts.label(host)));
        let written = vec![false; names.len()];
        Ok(Self { flag, folder: folder.to_owned(), stream, names, written, open: VecDeque::new() })
    }

    fn path(&self, host: HostIndex) -> PathBuf {
        self.folder.join(&self.names[host])
    }

    fn write(&mut self, host: HostIndex, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(host);
        self.file(host).and_then(|file| file.write_all(bytes)).map_err(|error| self.error(&path, &error))
    }

    fn file(&mut self, host: HostIndex) -> io::Result<&mut File> {
        let known = self.open.iter().position(|(open, _)| *open == host);
        let index = match known {
            Some(index) => index,
            None => {
                let mut options = OpenOptions::new();
                if std::mem::replace(&mut self.written[host], true) {
                    options.append(true);
                } else {
                    options.write(true).create(true).truncate(true);
                }
                let file = options.open(self.path(host))?;
                if self.open.len() >= OPEN_MAX {
                    self.open.pop_front();
                }
                self.open.push_back((host, file));
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[index].1)
    }

    /// A command without output has an empty file; a host where it did not run has none.
    fn end(&mut self, host: HostIndex, has_run: bool) -> io::Result<()> {
        if has_run && !self.written[host] {
            self.write(host, b"")?;
        }
        self.open.retain(|(open, _)| *open != host);
        if self.written[host] {
            return Ok(());
        }
        let path = self.path(host);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.error(&path, &error)),
            _ => Ok(()),
        }
    }

    fn error(&self, path: &Path, error: &io::Error) -> io::Error {
        let text = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ". Free some space, or give another folder.",
            ErrorKind::PermissionDenied | ErrorKind::IsADirectory => ". Give another folder.",
            _ => "",
        };
        let text = format!("{}: cannot write {}: {error}{text}", self.flag, path.display());
        // The kind is not passed on: only that of standard output is a broken pipe.
        io::Error::other(text)
    }
}

impl Report for Files {
    fn report(&mut self, news: News<'_>, _: Duration, _: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Output { host, stream, bytes } if stream == self.stream && host < self.names.len() => {
                self.write(host, bytes)
            }
            News::Ended { host, end, .. } if host < self.names.len() => self.end(host, end.has_run()),
            _ => Ok(()),
        }
    }
}

/// Names of files: letters, digits and a few signs of the labels stay, all else becomes `%2F`. So
/// no label leads out of the folder, and none is hidden. Each name is there once.
fn names<'l>(labels: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let name = |label: &str| {
        let mut name = String::new();
        for character in label.chars() {
            let stays = character.is_alphanumeric() || "-_@:+,=[]".contains(character);
            if stays || character == '.' && !name.is_empty() {
                name.push(character);
            } else {
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).bytes();
                name.extend(bytes.map(|byte| format!("%{byte:02X}")));
            }
            if name.len() > NAME_BYTES_MAX {
                break;
            }
        }
        let count = counts.entry(name.clone()).or_default();
        *count += 1;
        // No other name has this sign.
        if *count > 1 || name.is_empty() { format!("{name}~{count}") } else { name }
    };
    labels.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::{Stage, exited, failed};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn labels_cannot_leave_the_folder() {
        let labels =
            ["web1", "../../etc/passwd", "..", ".bashrc", "/etc/x", "a\nb", "", "[2001:db8::1]", "a%2Fb"];
        let expected = [
            "web1",
            "%2E.%2F..%2Fetc%2Fpasswd",
            "%2E.",
            "%2Ebashrc",
            "%2Fetc%2Fx",
            "a%0Ab",
            "~1",
            "[2001:db8::1]",
            "a%252Fb",
        ];
        assert_eq!(names(labels.into_iter()), expected);
        let long = "ü".repeat(1000);
        let [a, b] = &names([&*long, &long].into_iter())[..] else { panic!() };
        assert!(a.len() < 255 && b.len() < 255 && a != b, "{a} {b}");
    }

    #[test]
    fn each_host_has_a_file_as_its_command_wrote_it() {
        let (folder, stage) = (folder(), Stage::new(&["web1", "../web2", "quiet", "down"]));
        let path = folder.path().join("new/out");
        fs::create_dir_all(&path).unwrap();
        // Of an earlier run.
        fs::write(path.join("web1"), "old and longer than the new one").unwrap();
        fs::write(path.join("down"), "old").unwrap();
        let mut files = Files::new(&path, StdStream::Stdout, &stage.hosts).unwrap();
        stage.play(&mut files, &[(0, "out:a\nb"), (1, "out:\r\n\0"), (0, "err:not here"), (0, "out:c")]);
        stage.end(&mut files, 0, &exited(0));
        stage.end(&mut files, 1, &exited(1));
        stage.end(&mut files, 2, &exited(0));
        stage.end(&mut files, 3, &failed("connection refused"));
        let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        found.sort();
        let expected = [("%2E.%2Fweb2", &b"\r\n\0"[..]), ("quiet", b""), ("web1", b"a\nbc")];
        assert_eq!(found, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    }

    #[test]
    fn more_hosts_than_open_files_lose_nothing() {
        let labels: Vec<String> = (0..OPEN_MAX * 3).map(|number| format!("web{number}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (folder, stage) = (folder(), Stage::new(&labels));
        let mut files = Files::new(folder.path(), StdStream::Stderr, &stage.hosts).unwrap();
        for round in ["err:1", "err:2", "err:3"] {
            for host in 0..labels.len() {
                stage.play(&mut files, &[(host, round)]);
                assert!(files.open.len() <= OPEN_MAX);
            }
        }
        for label in labels {
            assert_eq!(fs::read_to_string(folder.path().join(label)).unwrap(), "123");
        }
    }

    #[test]
    fn a_full_disk_is_named_with_what_to_do() {
        let stage = Stage::new(&["full"]);
        let folder = folder();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("full")).unwrap();
        let mut files = Files::new(folder.path(), StdStream::Stdout, &stage.hosts).unwrap();
        let error = stage.try_play(&mut files, &[(0, "out:text")]).unwrap_err();
        let path = folder.path().display();
        let expected = format!(
            "--outdir: cannot write {path}/full: No space left on device (os error 28). Free some space, or give \
             another folder."
        );
        assert_eq!(error.to_string(), expected);
    }
}
