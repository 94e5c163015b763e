//! Files of hosts.

use std::sync::Arc;

use super::output::HostOutput;
use super::{ParallelClient, options::ReadOptions};
use crate::command::Command;
use crate::error::{ConfigProblem, Error, HostError, HostErrorKind};
use crate::output::{DirectoryEntry, FileMetadata, FileResult, Outcome};
use crate::transfer::{FileRequest, Put};

/// What each host has returned, in the order of the hosts.
pub(super) type Results<T> = Result<Vec<Result<T, HostError>>, Error>;

impl ParallelClient {
    /// Runs a request about a file on all hosts, and waits until each has answered or failed.
    /// Returns one result per host, in the order of the hosts.
    ///
    /// The methods below do the same for a request without options. With this one, a request can
    /// have options, arguments for each host, and a [`time_limit`](Command::time_limit). For a
    /// single host, use a client for that host, or a [`Fleet`](crate::Fleet) with
    /// [`Run::hosts`](crate::Run::hosts).
    ///
    /// Requests do not count as the [`last_output`](Self::last_output).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sshoal::transfer::{FileRequest, FileResult};
    /// use sshoal::{Command, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// // A file of its own of each host, of at most a megabyte.
    /// let request = FileRequest::read("/srv/%s/version").max_bytes(1_000_000);
    /// let request = Command::from(request).host_args(["blue", "green"]);
    /// for result in client.file_request(request.time_limit(Duration::from_secs(30)))? {
    ///     match result {
    ///         Ok(FileResult::Contents(bytes)) => println!("{}", String::from_utf8_lossy(&bytes)),
    ///         Ok(other) => println!("{other}"),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Command`] if the
    /// request cannot be made of some host, or is another command; nothing was asked of any host.
    /// [`Error::System`] if the poll fails. What fails on a host is in its result.
    pub fn file_request(&self, request: impl Into<Command>) -> Results<FileResult> {
        let command = request.into();
        if !command.is_file_request() {
            let (setting, problem) = ("the command of file_request", "must be made from a FileRequest");
            return Err(ConfigProblem::Unusable { setting, problem }.of_command());
        }
        self.ended(command, |outcome| match outcome {
            Outcome::File(result) => Some(*result),
            _ => None,
        })
    }

    /// Runs a transfer on all hosts, waits, and returns what became of it on each host.
    pub(super) fn ended<T>(&self, command: Command, take: impl Fn(Outcome) -> Option<T>) -> Results<T> {
        let outputs = self.start(command, ReadOptions::default())?;
        for output in &outputs {
            output.drive(|command| command.is_finished())?;
        }
        // Each output is dropped at once, so that results are not held twice.
        Ok(outputs.into_iter().map(|output| end(&output, &take)).collect())
    }

    fn request<T>(&self, request: FileRequest, take: impl Fn(FileResult) -> Option<T>) -> Results<T> {
        self.ended(request.into(), |outcome| match outcome {
            Outcome::File(result) => take(*result),
            _ => None,
        })
    }

    fn done(&self, request: FileRequest) -> Results<()> {
        self.request(request, |result| (result == FileResult::Done).then_some(()))
    }

    /// Reads a file of up to 64 MiB on all hosts; see [`FileRequest::read`].
    ///
    /// The contents of all hosts are in memory together. For large files, there is
    /// [`Get`](crate::transfer::Get).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for result in client.read_file("/etc/hostname")? {
    ///     match result {
    ///         Ok(bytes) => print!("{}", String::from_utf8_lossy(&bytes)),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn read_file(&self, path: impl Into<Vec<u8>>) -> Results<Vec<u8>> {
        let results = self.request(FileRequest::read(path), |result| match result {
            FileResult::Contents(bytes) => Some(bytes),
            _ => None,
        })?;
        // The outputs are gone, so nothing is copied.
        Ok(results.into_iter().map(|bytes| bytes.map(Arc::unwrap_or_clone)).collect())
    }

    /// Writes these bytes to a file on all hosts. A file that is there is replaced in one step, and
    /// the new one has mode 0644; see [`Put::bytes`], which has options.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for result in client.write_file("/etc/motd", *b"Welcome\n")? {
    ///     result?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn write_file(&self, path: impl Into<Vec<u8>>, bytes: impl Into<Arc<[u8]>>) -> Results<()> {
        self.ended(Put::bytes(bytes, path).into(), |outcome| outcome.is_success().then_some(()))
    }

    /// Lists a directory on all hosts; see [`FileRequest::list`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for entry in client.read_dir("/var/log")?.into_iter().flatten().flatten() {
    ///     println!("{entry}"); // such as `syslog: file, 12045 bytes, mode 0640`
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn read_dir(&self, path: impl Into<Vec<u8>>) -> Results<Vec<DirectoryEntry>> {
        let results = self.request(FileRequest::list(path), |result| match result {
            FileResult::Entries(entries) => Some(entries),
            _ => None,
        })?;
        Ok(results.into_iter().map(|entries| entries.map(Arc::unwrap_or_clone)).collect())
    }

    /// The metadata of a file or directory on all hosts. Links are followed; see
    /// [`FileRequest::symlink_metadata`] for those of links.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for metadata in client.metadata("/var/lib/app/data")?.into_iter().flatten() {
    ///     println!("{:?} bytes, modified {:?}", metadata.size, metadata.modified);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn metadata(&self, path: impl Into<Vec<u8>>) -> Results<FileMetadata> {
        self.request(FileRequest::metadata(path), |result| match result {
            FileResult::Metadata(metadata) => Some(metadata),
            _ => None,
        })
    }

    /// Removes a file, a link or an empty directory on all hosts. [`FileRequest::remove`] also
    /// removes directories with everything below them.
    ///
    /// ```no_run
    /// use sshoal::transfer::FileRequest;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// client.remove("/run/app/maintenance")?;
    /// client.file_request(FileRequest::remove("/var/cache/app").recurse(true))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn remove(&self, path: impl Into<Vec<u8>>) -> Results<()> {
        self.done(FileRequest::remove(path))
    }

    /// Creates a directory on all hosts; see [`FileRequest::create_dir`], which also creates the
    /// directories above.
    ///
    /// ```no_run
    /// use sshoal::transfer::FileRequest;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// client.create_dir("uploads")?;
    /// client.file_request(FileRequest::create_dir("a/b/c").create_parents(true))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn create_dir(&self, path: impl Into<Vec<u8>>) -> Results<()> {
        self.done(FileRequest::create_dir(path))
    }

    /// Renames a file or a directory on all hosts; see [`FileRequest::rename`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// client.rename("/etc/app/app.conf.new", "/etc/app/app.conf")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`file_request`](Self::file_request).
    pub fn rename(&self, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Results<()> {
        self.done(FileRequest::rename(from, to))
    }
}

/// How a transfer has ended on one host.
fn end<T>(output: &HostOutput, take: impl Fn(Outcome) -> Option<T>) -> Result<T, HostError> {
    match output.outcome() {
        Some(Outcome::Failed(error)) => Err(error),
        outcome => outcome
            .and_then(take)
            .ok_or_else(|| output.own_error(HostErrorKind::Bug("a transfer has ended like a command"))),
    }
}
