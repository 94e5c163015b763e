//! Which parts of a file on a host are read next.

use std::collections::BTreeSet;

use super::replies::read_length;
use super::requests::Requests;
use crate::error::TransferProblem;
use crate::limits;

/// The reads of one file. Several are on their way at a time, and each may return less than was
/// requested.
#[derive(Debug)]
pub(super) struct Reads {
    /// Everything before this offset was requested.
    next: u64,
    /// Most bytes of a read: what the server has returned of a longer one.
    step: u32,
    /// The offsets of the reads that were not answered.
    asked: BTreeSet<u64>,
    /// What reads have left out, by offset and length. It is requested first.
    rests: Vec<(u64, u32)>,
    /// How many bytes have arrived, and in how many reads that were short.
    arrived: u64,
    short: u64,
    /// Where the server says that the file ends.
    end: Option<u64>,
}

/// What a caller wants to read at [`Reads::next`], if no rest is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// At most so many bytes, while other reads are on their way.
    Bytes(u64),
    /// As much as a read takes, and nothing else meanwhile: how far the file goes shows only from
    /// the answer.
    More,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            step: u32::MAX,
            asked: BTreeSet::new(),
            rests: Vec::new(),
            arrived: 0,
            short: 0,
            end: None,
        }
    }

    /// Begins behind what is there already.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.next = offset;
    }

    /// Everything before this offset was requested.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many bytes have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Where the server says that the file ends. Reads at lower offsets may be on their way.
    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether a read is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether everything has arrived that was requested.
    pub(super) fn is_complete(&self) -> bool {
        self.asked.is_empty() && self.rests.is_empty()
    }

    /// The first offset that was requested and has not arrived.
    pub(super) fn first_gap(&self) -> Option<u64> {
        let rests = self.rests.iter().map(|(offset, _)| *offset).min();
        self.asked.first().copied().into_iter().chain(rests).min()
    }

    /// The offset and the length of the read to request now, as far as there is room.
    pub(super) fn request(&mut self, wanted: Wanted, requests: &mut Requests) -> Option<(u64, u32)> {
        let most = self.step.min(requests.max_read);
        let may_go_on = self.end.is_none() && !self.asked.contains(&self.next);
        let (offset, len) = match (self.rests.last(), wanted) {
            (Some(rest), _) => *rest,
            (None, Wanted::Bytes(bytes)) if may_go_on => {
                (self.next, u32::try_from(bytes).unwrap_or(u32::MAX).min(most))
            }
            (None, Wanted::More) if may_go_on && self.asked.is_empty() => (self.next, most),
            _ => return None,
        };
        if len == 0 || !requests.may_read(len) {
            return None;
        }
        if self.rests.pop().is_none() && wanted != Wanted::More {
            self.next = self.next.saturating_add(u64::from(len));
        }
        self.asked.insert(offset);
        Some((offset, len))
    }

    /// A read was answered, with whatever.
    pub(super) fn answered(&mut self, offset: u64) {
        self.asked.remove(&offset);
    }

    /// Notes what a read has returned.
    ///
    /// # Errors
    /// The server has returned nothing, or more than was requested, or a few bytes only again and
    /// again.
    pub(super) fn returned(&mut self, offset: u64, len: u32, bytes: &[u8]) -> Result<(), TransferProblem> {
        let found = read_length(len, bytes)?;
        self.arrived += u64::from(found);
        let is_alone = offset == self.next;
        if is_alone {
            self.next += u64::from(found);
        }
        if found == len {
            return Ok(());
        }
        self.short += 1;
        if self.short > limits::SHORT_READS + self.arrived / u64::from(limits::READ_MIN) {
            return Err(TransferProblem::Protocol("reads return only a few bytes each".to_owned()));
        }
        if !is_alone {
            self.rests.push((offset + u64::from(found), len - found));
            self.step = self.step.min(found.max(limits::READ_MIN));
        }
        Ok(())
    }

    /// Notes that the file ends at this offset or before it. Rests behind the end are forgotten
    /// by [`forget_behind_end`](Self::forget_behind_end) only.
    pub(super) fn ended(&mut self, offset: u64) {
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
    }

    /// Requests nothing again that lies behind the end.
    pub(super) fn forget_behind_end(&mut self) {
        let end = self.end.unwrap_or(u64::MAX);
        self.rests.retain(|(offset, _)| *offset < end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::Request;
    use crate::transfer::requests::{Step, Tag};

    const STEP: u32 = 1_000;

    /// Room for this many bytes, on a server that reads a thousand at a time.
    fn room(bytes: u64) -> Requests {
        let mut requests = Requests::default();
        requests.allow(bytes);
        requests.max_read = STEP;
        requests
    }

    fn read(reads: &mut Reads, wanted: Wanted, requests: &mut Requests) -> Option<(u64, u32)> {
        let (offset, len) = reads.request(wanted, requests)?;
        let tag = Tag { slot: 0, step: Step::Read { offset, len } };
        requests.send(tag, &Request::Read { handle: b"h", offset, len });
        Some((offset, len))
    }

    fn arrive(reads: &mut Reads, (offset, len): (u64, u32), found: u32) -> Result<(), TransferProblem> {
        reads.answered(offset);
        reads.returned(offset, len, &vec![0; found as usize])
    }

    #[test]
    fn reads_of_a_known_size_follow_each_other() {
        let (mut reads, mut requests) = (Reads::new(), room(u64::MAX));
        reads.skip_to(500);
        let mut all = Vec::new();
        while reads.next() < 3_000 {
            let left = Wanted::Bytes(3_000 - reads.next());
            all.extend(read(&mut reads, left, &mut requests));
        }
        assert_eq!(all, [(500, 1_000), (1_500, 1_000), (2_500, 500)]);
        assert!(reads.is_waiting() && reads.first_gap() == Some(500));
        for at in [1, 0, 2] {
            arrive(&mut reads, all[at], all[at].1).unwrap();
        }
        assert!(reads.is_complete() && reads.first_gap().is_none());
        assert_eq!((reads.arrived(), reads.next()), (2_500, 3_000));
        assert_eq!(read(&mut reads, Wanted::Nothing, &mut requests), None);
        assert_eq!(read(&mut reads, Wanted::Bytes(10), &mut requests), Some((3_000, 10)));
    }

    #[test]
    fn what_is_missing_is_requested_first_and_then_less_at_a_time() {
        let (mut reads, mut requests) = (Reads::new(), room(u64::MAX));
        let first = read(&mut reads, Wanted::Bytes(9_000), &mut requests).unwrap();
        let second = read(&mut reads, Wanted::Bytes(8_000), &mut requests).unwrap();
        arrive(&mut reads, first, 700).unwrap();
        assert!(!reads.is_complete() && reads.first_gap() == Some(700));
        // Also if nothing more is wanted.
        let rest = read(&mut reads, Wanted::Nothing, &mut requests).unwrap();
        assert_eq!(rest, (700, 300));
        assert_eq!(read(&mut reads, Wanted::Bytes(7_000), &mut requests), Some((2_000, 700)));
        arrive(&mut reads, second, 10).unwrap();
        assert_eq!(read(&mut reads, Wanted::Nothing, &mut requests), Some((1_010, 990)));
        // Requests have at least so many bytes.
        assert_eq!(read(&mut reads, Wanted::Bytes(6_300), &mut requests), Some((2_700, limits::READ_MIN)));
    }

    #[test]
    fn a_file_of_unknown_size_is_read_step_by_step() {
        let (mut reads, mut requests) = (Reads::new(), room(u64::MAX));
        let first = read(&mut reads, Wanted::More, &mut requests).unwrap();
        assert_eq!((first, reads.next()), ((0, STEP), 0));
        for wanted in [Wanted::More, Wanted::Bytes(5_000)] {
            assert_eq!(read(&mut reads, wanted, &mut requests), None);
        }
        arrive(&mut reads, first, 40).unwrap();
        assert_eq!(read(&mut reads, Wanted::More, &mut requests), Some((40, STEP)));
        reads.answered(40);
        reads.ended(40);
        assert!(reads.is_complete() && reads.end() == Some(40));
        assert_eq!(read(&mut reads, Wanted::More, &mut requests), None);
    }

    #[test]
    fn nothing_is_requested_without_room() {
        let mut reads = Reads::new();
        let mut requests = room(u64::from(STEP) - 1);
        for wanted in [Wanted::Bytes(5_000), Wanted::More, Wanted::Bytes(0)] {
            assert_eq!(read(&mut reads, wanted, &mut requests), None);
        }
        assert!(!reads.is_waiting() && reads.next() == 0);
        requests.allow(1);
        let first = read(&mut reads, Wanted::Bytes(5_000), &mut requests).unwrap();
        arrive(&mut reads, first, 900).unwrap();
        // Neither is a rest, which stays one.
        assert_eq!(read(&mut reads, Wanted::Bytes(4_000), &mut requests), None);
        assert_eq!(reads.first_gap(), Some(900));
        requests.allow(100);
        assert_eq!(read(&mut reads, Wanted::Bytes(4_000), &mut requests), Some((900, 100)));
    }

    #[test]
    fn the_first_end_counts_and_nothing_behind_it_is_requested() {
        let (mut reads, mut requests) = (Reads::new(), room(u64::MAX));
        let all: Vec<_> =
            (0..4).map(|_| read(&mut reads, Wanted::Bytes(9_000), &mut requests).unwrap()).collect();
        arrive(&mut reads, all[0], 400).unwrap();
        arrive(&mut reads, all[2], 400).unwrap();
        for at in [3, 1] {
            reads.answered(all[at].0);
            reads.ended(all[at].0);
        }
        assert_eq!(reads.end(), Some(1_000));
        reads.forget_behind_end();
        assert_eq!(read(&mut reads, Wanted::Bytes(9_000), &mut requests), Some((400, 600)));
        assert_eq!(read(&mut reads, Wanted::Bytes(9_000), &mut requests), None);
    }

    #[test]
    fn servers_may_return_little_for_a_while_only() {
        for wanted in [Wanted::Bytes(1_000_000), Wanted::More] {
            let mut reads = Reads::new();
            let count = (0..1_000).position(|_| {
                let asked = read(&mut reads, wanted, &mut room(u64::MAX)).unwrap();
                arrive(&mut reads, asked, 1).is_err()
            });
            assert_eq!(count, Some(limits::SHORT_READS as usize), "{wanted:?}");
        }
        let mut reads = Reads::new();
        for (found, expected) in [(0, "a read of 1000 bytes returned 0"), (1_001, "returned 1001")] {
            let text = arrive(&mut reads, (0, STEP), found).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
