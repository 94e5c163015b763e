//! What the scans of many hosts have found, and adding it to a known_hosts file.

use std::fmt;
use std::path::Path;

use crate::hostkey::{AddError, AddOptions, AddedKeys, Verdict, add};
use crate::session::ScannedHost;

/// The results of [scans](crate::Fleet::scan_host_keys), in the order in which they were added.
///
/// ```no_run
/// use sshoal::ParallelClient;
/// use sshoal::hostkey::AddOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let report = ParallelClient::builder(["web1", "web2"]).scan_host_keys()?.report()?;
/// println!("{}", report.tally());
/// let added = report.add_to("/home/me/.ssh/known_hosts", AddOptions::default().hashed(true))?;
/// for key in &added.left_out {
///     eprintln!("not added: {key}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyReport {
    hosts: Vec<ScannedHost>,
}

/// How many keys a [`KeyReport`] has. `Display` shows one line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyTally {
    /// How many hosts were scanned.
    pub hosts: usize,
    /// How many of them have an [error](ScannedHost::error).
    pub failed: usize,
    /// How many keys are new: nothing is on record for their hosts.
    pub new: usize,
    /// How many keys are on record for their hosts.
    pub recorded: usize,
    /// How many keys differ from those of the same type that are on record for their hosts.
    pub changed: usize,
    /// How many keys have a type of which no key is on record for their hosts, while keys of other
    /// types are.
    pub other_type: usize,
    /// How many keys are revoked.
    pub revoked: usize,
}

impl KeyReport {
    /// The results.
    pub fn hosts(&self) -> &[ScannedHost] {
        &self.hosts
    }

    /// Counts the keys.
    pub fn tally(&self) -> KeyTally {
        let mut tally = KeyTally { hosts: self.hosts.len(), ..KeyTally::default() };
        for host in &self.hosts {
            tally.failed += usize::from(host.error().is_some());
            for key in host.keys() {
                *match key.verdict {
                    Verdict::Unknown => &mut tally.new,
                    Verdict::Known { .. } => &mut tally.recorded,
                    Verdict::Changed { .. } => &mut tally.changed,
                    Verdict::OtherType { .. } => &mut tally.other_type,
                    Verdict::Revoked { .. } => &mut tally.revoked,
                } += 1;
            }
        }
        tally
    }

    /// Adds the new keys to a known_hosts file, one line for each key, all in one write. The file
    /// should be one of the client's [known_hosts](crate::config::ClientBuilder::known_hosts)
    /// files; otherwise the client does not find the keys. A missing file is created with mode
    /// 0600, in a directory with mode 0700.
    ///
    /// A key that is changed or revoked is never added, nor is any other key of a host that has
    /// shown one. The same applies to different keys of one type that were shown under one name, as
    /// by hosts with the same [alias](crate::HostConfig::host_key_alias). What other processes have
    /// added to the file since it was read is taken into account, so no key is added twice.
    ///
    /// This blocks until the lines are on the disk. The file is locked (`flock(2)`). Symbolic links
    /// are followed as described in
    /// [`HostKeyPolicy::accept_new`](crate::hostkey::HostKeyPolicy::accept_new).
    ///
    /// Fleets and clients that have read the file before accept the hosts from then on, because
    /// they look at the file again before they refuse a host.
    ///
    /// # Errors
    /// [`AddError`] if the file cannot be read or written, or if another process holds its lock for
    /// 10 s. The content of the file is then what it was before.
    pub fn add_to(&self, file: impl AsRef<Path>, options: AddOptions) -> Result<AddedKeys, AddError> {
        let hosts: Vec<_> = self.hosts.iter().map(ScannedHost::scanned).collect();
        add(file.as_ref(), &hosts, options)
    }
}

impl Extend<ScannedHost> for KeyReport {
    fn extend<T: IntoIterator<Item = ScannedHost>>(&mut self, hosts: T) {
        self.hosts.extend(hosts);
    }
}

impl FromIterator<ScannedHost> for KeyReport {
    fn from_iter<T: IntoIterator<Item = ScannedHost>>(hosts: T) -> Self {
        Self { hosts: hosts.into_iter().collect() }
    }
}

impl fmt::Display for KeyTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, failed, new, recorded, changed, other_type, revoked } = self;
        write!(f, "{hosts} hosts, {failed} of them failed; keys: {new} new, {recorded} recorded, ")?;
        write!(f, "{changed} changed, {other_type} of another type than those recorded, {revoked} revoked")
    }
}
