//! Fetching the host keys of many hosts, as an iterator that blocks.

use crate::config::ClientBuilder;
use crate::error::Error;
use crate::fleet::{KeyReport, ScannedHost};
use crate::{Budget, Event, Fleet, clock};

/// Fetches the host keys of many hosts, without logging in, as `ssh-keyscan` does. It iterates over
/// the hosts in the order in which their scans end.
///
/// The first connection to a host shows which key it has, but not that it is the right host: if an
/// attacker on the network answers in its place, the attacker's key is fetched. Fetch keys over a
/// network that you trust, or compare their fingerprints with those that the hosts have on their
/// consoles, before you [add](KeyReport::add_to) them to a file.
///
/// [`Fleet::scan_host_keys`] does the same from an event loop that the caller owns. It has the
/// details.
///
/// ```no_run
/// use sshoal::ParallelClient;
/// use sshoal::fleet::KeyReport;
/// use sshoal::hostkey::AddOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scan = ParallelClient::builder(["web1", "web2:2222"]).pool_size(50).scan_host_keys()?;
/// let mut report = KeyReport::default();
/// for host in scan {
///     let host = host?;
///     for shown in host.keys() {
///         println!("{} {shown}", host.name());
///     }
///     if let Some(error) = host.error() {
///         eprintln!("{error}");
///     }
///     report.extend([host]);
/// }
/// report.add_to("/home/me/.ssh/known_hosts", AddOptions::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens until it is iterated over"]
pub struct KeyScan {
    fleet: Fleet,
    /// How many hosts have not been returned.
    left: usize,
}

impl ClientBuilder {
    /// Checks the settings, as [`build`](Self::build) does, and prepares to fetch the keys of these
    /// hosts. Does not use the network.
    ///
    /// # Errors
    /// The errors of [`build`](Self::build).
    pub fn scan_host_keys(self) -> Result<KeyScan, Error> {
        let (builder, _) = self.into_fleet()?;
        let mut fleet = builder.build()?;
        let hosts = fleet.hosts().to_vec();
        fleet.scan_host_keys(hosts.iter().copied());
        Ok(KeyScan { fleet, left: hosts.len() })
    }
}

impl KeyScan {
    /// How many hosts have not been returned yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Waits for all hosts.
    ///
    /// # Errors
    /// [`Error::System`] if the event loop fails.
    pub fn report(self) -> Result<KeyReport, Error> {
        self.collect()
    }

    /// Waits for the next host.
    fn next_host(&mut self) -> Result<ScannedHost, Error> {
        let failed = |error| Error::System { what: "run the event loop", error };
        loop {
            while let Some(event) = self.fleet.next_event() {
                if let Event::Scanned { found, .. } = event {
                    return Ok(found);
                }
            }
            self.fleet.wait(None).map_err(failed)?;
            self.fleet.turn(clock::now(), Budget::default()).map_err(failed)?;
        }
    }
}

/// An error means that the event loop has failed. Errors of single hosts are in their results.
impl Iterator for KeyScan {
    type Item = Result<ScannedHost, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.left > 0).then(|| {
            let next = self.next_host();
            self.left = if next.is_ok() { self.left - 1 } else { 0 };
            next
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}
