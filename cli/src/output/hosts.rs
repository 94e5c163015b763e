//! The hosts of a run, as reports name them.

use sshoal::output::sanitise;
use unicode_width::UnicodeWidthStr;

/// A host of the run, by its position in the list of targets.
pub type HostIndex = usize;

/// The labels of a run's hosts, and how to write many of them as one set.
pub struct Hosts<'a> {
    labels: Vec<String>,
    fold: &'a Fold,
}

/// Writes labels as a set: `web[01-40]`.
pub type Fold = dyn Fn(&[&str]) -> String;

impl<'a> Hosts<'a> {
    /// Each label is that of one host. They are made safe for a terminal here.
    pub fn new(labels: impl IntoIterator<Item = String>, fold: &'a Fold) -> Self {
        let labels = labels.into_iter().map(|label| sanitise(&label).into_owned()).collect();
        Self { labels, fold }
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn label(&self, host: HostIndex) -> &str {
        self.labels.get(host).map_or("?", String::as_str)
    }

    /// The widest label, in columns.
    pub fn width(&self) -> usize {
        self.labels.iter().map(|label| label.width()).max().unwrap_or_default()
    }

    /// The hosts as a set.
    pub fn set(&self, hosts: &[HostIndex]) -> String {
        match hosts {
            [host] => self.label(*host).to_owned(),
            _ => (self.fold)(&hosts.iter().map(|host| self.label(*host)).collect::<Vec<_>>()),
        }
    }

    /// The hosts as a set, with their number if they are several: `web[01-40] (40)`.
    pub fn counted(&self, hosts: &[HostIndex]) -> String {
        match hosts {
            [host] => self.label(*host).to_owned(),
            _ => format!("{} ({})", self.set(hosts), hosts.len()),
        }
    }
}
