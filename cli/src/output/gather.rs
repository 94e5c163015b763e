//! What hosts have printed and how they ended, kept until it is shown.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::io::{self, Read};

use sshoal::StdStream;

use super::differing::{Ran, differing};
use super::lines::{Lines, Piece};
use super::store::{Content, MEMORY_BYTES, Position, Store};
use super::{HostIndex, Sort};
use crate::end::End;

/// The output of all hosts.
pub struct Gathered {
    store: Store,
    hosts: Vec<Kept>,
    ends: Vec<End>,
    end_numbers: HashMap<End, u32>,
    ended: u32,
}

/// What is kept of a host: little, as there are many.
#[derive(Clone, Copy, Default)]
struct Kept {
    out: Stream,
    err: Stream,
    /// The number of its end in [`Gathered::ends`], and how many hosts had ended before.
    end: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Default)]
struct Stream {
    at: Position,
    /// Whether the last line has no line end.
    open: bool,
}

/// Hosts with the same output and the same end.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    pub at: Position,
    /// The number of the end; `None` if the hosts have not ended.
    end: Option<u32>,
    /// When the first of them ended: how many hosts had ended before.
    first: u32,
    /// In the order of the targets.
    pub hosts: Vec<HostIndex>,
}

impl Gathered {
    pub fn new() -> Self {
        Self {
            store: Store::new(MEMORY_BYTES),
            hosts: Vec::new(),
            ends: Vec::new(),
            end_numbers: HashMap::new(),
            ended: 0,
        }
    }

    pub fn output(&mut self, host: HostIndex, stream: StdStream, bytes: &[u8]) -> io::Result<()> {
        let mut kept = *self.stream_mut(host, stream);
        kept.at = self.store.append(kept.at, bytes)?;
        kept.open = bytes.last().map_or(kept.open, |last| *last != b'\n');
        *self.stream_mut(host, stream) = kept;
        Ok(())
    }

    /// The host has ended. Outputs that differ only in a missing last line end are made equal.
    pub fn end(&mut self, host: HostIndex, end: &End) -> io::Result<()> {
        for stream in [StdStream::Stdout, StdStream::Stderr] {
            if self.stream_mut(host, stream).open {
                self.output(host, stream, b"\n")?;
            }
        }
        let number = match self.end_numbers.get(end) {
            Some(number) => *number,
            None => {
                let number = self.ends.len() as u32;
                self.ends.push(end.clone());
                self.end_numbers.insert(end.clone(), number);
                number
            }
        };
        let order = self.ended;
        self.ended += 1;
        self.host_mut(host).end = Some((number, order));
        Ok(())
    }

    pub fn end_of(&self, group: &Group) -> Option<&End> {
        self.ends.get(group.end? as usize)
    }

    /// The output of a host so far.
    pub fn position(&self, host: HostIndex, stream: StdStream) -> Position {
        let kept = self.hosts.get(host).copied().unwrap_or_default();
        match stream {
            StdStream::Stdout => kept.out.at,
            StdStream::Stderr => kept.err.at,
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The groups of hosts by one stream; without `fold`, each host is one. Without an order, the
    /// largest comes first, and of equal ones those that succeeded.
    pub fn groups(&self, stream: StdStream, sort: Option<Sort>, fold: bool) -> io::Result<Vec<Group>> {
        let mut numbers: HashMap<(Position, Option<u32>, HostIndex), usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (host, kept) in self.hosts.iter().enumerate() {
            let (at, end) = (self.position(host, stream), kept.end.map(|(number, _)| number));
            let apart = if fold { 0 } else { host };
            let number = *numbers.entry((at, end, apart)).or_insert(groups.len());
            if number == groups.len() {
                groups.push(Group { at, end, first: u32::MAX, hosts: Vec::new() });
            }
            let group = &mut groups[number];
            group.hosts.push(host);
            group.first = group.first.min(kept.end.map_or(u32::MAX, |(_, order)| order));
        }
        match sort {
            Some(Sort::Host) => {}
            Some(Sort::Time) => groups.sort_by_key(|group| group.first),
            Some(Sort::Output) => {
                sort_by(&mut groups, |a, b| self.store.compare(a.at, b.at))?;
            }
            None => groups.sort_by_key(|group| {
                let is_success = self.end_of(group).is_some_and(End::is_success);
                (Reverse(group.hosts.len()), !is_success)
            }),
        }
        Ok(groups)
    }

    /// The hosts that have printed something else than most of those on which the command ran.
    pub fn differing(&self, with_stderr: bool) -> Vec<HostIndex> {
        differing(self.hosts.iter().enumerate().map(|(host, kept)| {
            let end = kept.end.and_then(|(number, _)| self.ends.get(number as usize));
            let stderr = if with_stderr { kept.err.at } else { Position::default() };
            (host, (kept.out.at, stderr), end.map_or(Ran::No, Ran::from))
        }))
    }

    /// Reads an output.
    pub fn content(&self, host: HostIndex, stream: StdStream) -> Content<'_> {
        self.store.content(self.position(host, stream))
    }

    /// The hosts in this order.
    pub fn sorted(&self, count: usize, stream: StdStream) -> io::Result<Vec<HostIndex>> {
        let mut hosts: Vec<HostIndex> = (0..count).collect();
        sort_by(&mut hosts, |a, b| self.store.compare(self.position(*a, stream), self.position(*b, stream)))?;
        Ok(hosts)
    }

    /// The same with other numbers: the first host of the list becomes the first one.
    pub fn reordered(mut self, hosts: &[HostIndex]) -> Self {
        self.hosts = hosts.iter().map(|host| self.hosts[*host]).collect();
        self
    }

    /// Passes on an output in pieces, which begin and end anywhere in a line.
    pub fn pieces(&self, at: Position, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut content, mut bytes) = (self.store.content(at), vec![0; 64 * 1024]);
        loop {
            match content.read(&mut bytes)? {
                0 => return Ok(()),
                read => take(&bytes[..read])?,
            }
        }
    }

    /// Passes on the lines of an output.
    pub fn lines(&self, at: Position, take: &mut dyn FnMut(Piece<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut lines = Lines::new();
        self.pieces(at, &mut |bytes| lines.push(0, StdStream::Stdout, bytes, take))?;
        lines.finish(0, StdStream::Stdout, take)
    }

    fn host_mut(&mut self, host: HostIndex) -> &mut Kept {
        if host >= self.hosts.len() {
            self.hosts.resize(host + 1, Kept::default());
        }
        &mut self.hosts[host]
    }

    fn stream_mut(&mut self, host: HostIndex, stream: StdStream) -> &mut Stream {
        let kept = self.host_mut(host);
        match stream {
            StdStream::Stdout => &mut kept.out,
            StdStream::Stderr => &mut kept.err,
        }
    }
}

/// Sorts by an order that can fail; equal ones stay in their order.
fn sort_by<T>(list: &mut [T], order: impl Fn(&T, &T) -> io::Result<Ordering>) -> io::Result<()> {
    let mut failed = Ok(());
    list.sort_by(|a, b| {
        order(a, b).unwrap_or_else(|error| {
            failed = Err(error);
            Ordering::Equal
        })
    });
    failed
}
