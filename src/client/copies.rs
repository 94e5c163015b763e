//! Copies of files to and from all hosts, under the names of parallel-ssh.

use std::path::PathBuf;

use super::ParallelClient;
use super::files::Results;
use super::output::HostOutput;
use crate::command::{Command, HostArgs};
use crate::error::{ConfigProblem, Error};
use crate::output::{Outcome, Transferred};
use crate::transfer::{Get, Put};

/// Options of a copy by a client, for
/// [`copy_file_with`](crate::ParallelClient::copy_file_with) and
/// [`copy_remote_file_with`](crate::ParallelClient::copy_remote_file_with). [`Put`] and [`Get`]
/// have more options, and [`transfer`](crate::ParallelClient::transfer) runs them.
///
/// ```no_run
/// use sshoal::client::CopyOptions;
/// use sshoal::config::HostArgs;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
/// // keys/blue.pem goes to web1, and keys/green.pem to web2.
/// let args = ["blue", "green"].map(|color| HostArgs::named([("color", color)]));
/// let options = CopyOptions::default().copy_args(args);
/// for result in client.copy_file_with("keys/%(color)s.pem", "/etc/app/%(color)s.pem", options)? {
///     println!("{}", result?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct CopyOptions {
    recurse: bool,
    copy_args: Vec<HostArgs>,
    suffix_separator: Option<String>,
}

impl CopyOptions {
    /// Whether a directory is copied with everything below it (parallel-ssh: `recurse`). Default:
    /// `false`, so that a directory is an error of each host.
    pub fn recurse(mut self, recurse: bool) -> Self {
        self.recurse = recurse;
        self
    }

    /// Values for each host, one entry per host, for the placeholders in both paths (parallel-ssh:
    /// `copy_args`). They are those of [`Command::host_args`]. Default: none, and the paths have no
    /// placeholders.
    pub fn copy_args<A: Into<HostArgs>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.copy_args = args.into_iter().map(Into::into).collect();
        self
    }

    /// What is between the local path and the name of the host, which is appended to the path of
    /// each copy from a host (parallel-ssh: `suffix_separator`). Default: `_`, as in
    /// `app.log_web1`.
    ///
    /// As in parallel-ssh, nothing is appended to paths that have [`copy_args`](Self::copy_args).
    /// With both settings, the copy is an error before it starts, as is this setting for a copy to
    /// hosts.
    pub fn suffix_separator(mut self, separator: impl Into<String>) -> Self {
        self.suffix_separator = Some(separator.into());
        self
    }

    pub(super) fn put(self, local: PathBuf, remote: Vec<u8>) -> Result<Command, Error> {
        if self.suffix_separator.is_some() {
            return Err(conflict("a copy to hosts"));
        }
        let put = Put::new(local, remote).recurse(self.recurse);
        Ok(self.command(put))
    }

    pub(super) fn get(self, remote: Vec<u8>, local: PathBuf) -> Result<Command, Error> {
        let get = match (&self.suffix_separator, self.copy_args.is_empty()) {
            (Some(_), false) => return Err(conflict("CopyOptions::copy_args")),
            (_, false) => Get::new(remote, local),
            (separator, true) => Get::with_suffix(remote, local, separator.as_deref().unwrap_or("_")),
        };
        let get = get.recurse(self.recurse);
        Ok(self.command(get))
    }

    fn command(self, work: impl Into<Command>) -> Command {
        let command = work.into();
        if self.copy_args.is_empty() { command } else { command.host_args(self.copy_args) }
    }
}

impl ParallelClient {
    /// Runs a transfer on all hosts, and waits until each has ended. Returns one result per host,
    /// in the order of the hosts: what was copied, or why not.
    ///
    /// A copy whose result is `Ok` is complete: its size was compared with that of its source. To
    /// go on while files are copied, use [`start_command`](Self::start_command) and
    /// [`join`](Self::join). Transfers do not count as the [`last_output`](Self::last_output).
    ///
    /// ```no_run
    /// use sshoal::ParallelClient;
    /// use sshoal::transfer::Put;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// for result in client.transfer(Put::new("site", "/srv/www").recurse(true).skip_same(true))? {
    ///     match result {
    ///         Ok(done) => println!("{done}"),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Command`] if the
    /// transfer cannot be made for some host, or is another command; nothing was copied.
    /// [`Error::System`] if the poll fails. What fails on a host is in its result.
    pub fn transfer(&self, work: impl Into<Command>) -> Results<Transferred> {
        let command = work.into();
        if !command.is_copy() {
            let (setting, problem) = ("the command of transfer", "must be made from a Put or a Get");
            return Err(ConfigProblem::Unusable { setting, problem }.of_command());
        }
        self.ended(command, |outcome| match outcome {
            Outcome::Transferred(done) => Some(*done),
            _ => None,
        })
    }

    /// Copies a local file to all hosts, and waits until each has it or has failed (parallel-ssh:
    /// `copy_file`, and joining its greenlets). Returns one result per host.
    ///
    /// The copy has the mode of the local file. It is written under another name, its size is
    /// compared, and it replaces the target in one step; see [`Put`]. Missing directories are
    /// created. The remote path is relative to the home directory, unless it begins with a slash.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for result in client.copy_file("app.conf", "/etc/app/app.conf")? {
    ///     result?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn copy_file(&self, local: impl Into<PathBuf>, remote: impl Into<Vec<u8>>) -> Results<Transferred> {
        self.copy_file_with(local, remote, CopyOptions::default())
    }

    /// Like [`copy_file`](Self::copy_file), with these options.
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn copy_file_with(
        &self,
        local: impl Into<PathBuf>,
        remote: impl Into<Vec<u8>>,
        options: CopyOptions,
    ) -> Results<Transferred> {
        self.transfer(options.put(local.into(), remote.into())?)
    }

    /// Like [`copy_file_with`](Self::copy_file_with), but returns at once, as
    /// [`start_command`](Self::start_command) does. Nothing is copied before a call that waits,
    /// such as [`join`](Self::join). Each [`outcome`](HostOutput::outcome) then says what was
    /// copied, and with [`strict`](crate::JoinOptions::strict), a failed copy is an error of
    /// `join`.
    ///
    /// ```no_run
    /// use sshoal::client::CopyOptions;
    /// use sshoal::{JoinOptions, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// let options = CopyOptions::default().recurse(true);
    /// let copies = client.start_copy_file("site", "/srv/www", options)?;
    /// client.join(&copies, JoinOptions::default().strict(true))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`start_command`](Self::start_command).
    pub fn start_copy_file(
        &mut self,
        local: impl Into<PathBuf>,
        remote: impl Into<Vec<u8>>,
        options: CopyOptions,
    ) -> Result<Vec<HostOutput>, Error> {
        self.start_command(options.put(local.into(), remote.into())?)
    }

    /// The same as [`copy_file_with`](Self::copy_file_with) (parallel-ssh: `scp_send`). The
    /// protocol is SFTP, or SCP for a file and a server that has no SFTP.
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn scp_send(
        &self,
        local: impl Into<PathBuf>,
        remote: impl Into<Vec<u8>>,
        options: CopyOptions,
    ) -> Results<Transferred> {
        self.copy_file_with(local, remote, options)
    }

    /// Copies a file from all hosts, and waits until each copy is here or has failed (parallel-ssh:
    /// `copy_remote_file`, and joining its greenlets). Returns one result per host.
    ///
    /// The local path of each copy ends with `_` and the name of its host, as in `app.log_web1`. Of
    /// a host that is listed twice, the second copy fails: nothing overwrites the copy of another
    /// host. A file that was there before is replaced in one step, once the size of the copy was
    /// compared; see [`Get`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// // logs/app.log_web1, logs/app.log_web2
    /// for result in client.copy_remote_file("/var/log/app.log", "logs/app.log")? {
    ///     println!("{}", result?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn copy_remote_file(
        &self,
        remote: impl Into<Vec<u8>>,
        local: impl Into<PathBuf>,
    ) -> Results<Transferred> {
        self.copy_remote_file_with(remote, local, CopyOptions::default())
    }

    /// Like [`copy_remote_file`](Self::copy_remote_file), with these options.
    ///
    /// With [`copy_args`](CopyOptions::copy_args), the local path is used as it is, with the
    /// placeholders of [`Get`] (`{host}`) besides those of the arguments.
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn copy_remote_file_with(
        &self,
        remote: impl Into<Vec<u8>>,
        local: impl Into<PathBuf>,
        options: CopyOptions,
    ) -> Results<Transferred> {
        self.transfer(options.get(remote.into(), local.into())?)
    }

    /// Like [`copy_remote_file_with`](Self::copy_remote_file_with), but returns at once; see
    /// [`start_copy_file`](Self::start_copy_file).
    ///
    /// # Errors
    /// The errors of [`start_command`](Self::start_command).
    pub fn start_copy_remote_file(
        &mut self,
        remote: impl Into<Vec<u8>>,
        local: impl Into<PathBuf>,
        options: CopyOptions,
    ) -> Result<Vec<HostOutput>, Error> {
        self.start_command(options.get(remote.into(), local.into())?)
    }

    /// The same as [`copy_remote_file_with`](Self::copy_remote_file_with) (parallel-ssh:
    /// `scp_recv`). The protocol is SFTP, or SCP for a file and a server that has no SFTP.
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer).
    pub fn scp_recv(
        &self,
        remote: impl Into<Vec<u8>>,
        local: impl Into<PathBuf>,
        options: CopyOptions,
    ) -> Results<Transferred> {
        self.copy_remote_file_with(remote, local, options)
    }
}

fn conflict(other: &'static str) -> Error {
    ConfigProblem::Conflict { setting: "CopyOptions::suffix_separator", other }.of_command()
}
