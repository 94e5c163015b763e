//! Reading outputs from a store, and their order.

use std::cmp::Ordering;
use std::io::{self, Read};

use memchr::memchr;

use super::{Position, Store};

/// Reads one output.
pub struct Content<'s> {
    store: &'s Store,
    /// The nodes of the output that are left, the next one last.
    path: Vec<Position>,
    offset: u64,
    scratch: Vec<u8>,
}

impl Store {
    /// Reads the output at this position.
    pub fn content(&self, at: Position) -> Content<'_> {
        let mut path = self.path(at);
        path.reverse();
        Content { store: self, path, offset: 0, scratch: Vec::new() }
    }

    /// The order of two outputs by their bytes. It takes no more than to find where they differ,
    /// which the store knows.
    pub fn compare(&self, a: Position, b: Position) -> io::Result<Ordering> {
        let (a, b) = (self.path(a), self.path(b));
        let Some(index) = (0..a.len().max(b.len())).find(|index| a.get(*index) != b.get(*index)) else {
            return Ok(Ordering::Equal);
        };
        // Equal up to here: both are in the same node, or one has ended, or they leave a node by
        // different branches.
        let shared = match (a.get(index), b.get(index)) {
            (Some(a), Some(b)) if a.node == b.node => a.offset.min(b.offset),
            _ => 0,
        };
        Ok(self.byte(&a[index.min(a.len())..], shared)?.cmp(&self.byte(&b[index.min(b.len())..], shared)?))
    }

    /// The byte that follows so many bytes of the first node of a path.
    fn byte(&self, path: &[Position], after: u64) -> io::Result<Option<u8>> {
        let (at, offset) = match path {
            [first, ..] if first.offset > after => (first, after),
            [_, second, ..] => (second, 0),
            _ => return Ok(None),
        };
        let mut scratch = Vec::new();
        let node = &self.nodes[at.node as usize];
        Ok(node.bytes.read(offset, 1, &self.pool, &mut scratch)?.first().copied())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(at) = self.path.last().copied() {
            let left = at.offset - self.offset;
            if left == 0 {
                self.path.pop();
                self.offset = 0;
                continue;
            }
            let most = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let node = &self.store.nodes[at.node as usize];
            let bytes = node.bytes.read(self.offset, most, &self.store.pool, &mut self.scratch)?;
            out[..bytes.len()].copy_from_slice(bytes);
            self.offset += bytes.len() as u64;
            return Ok(bytes.len());
        }
        Ok(0)
    }
}

impl Store {
    /// Whether the output at `at` begins with that at `start`.
    pub fn begins_with(&self, mut at: Position, start: Position) -> bool {
        while at.node != start.node {
            if at.node == 0 {
                return false;
            }
            at = self.nodes[at.node as usize].parent;
        }
        at.offset >= start.offset
    }

    /// The line that begins at `from` in the output at `at`, without its end, and the position
    /// behind it: at most so many bytes, and fewer if the output ends there.
    pub fn line(&self, from: Position, at: Position, most: usize) -> io::Result<(Vec<u8>, Position)> {
        // The nodes from the last one up to that of `from`.
        let mut path = vec![at];
        while let Some(last) = path.last().filter(|last| last.node != from.node && last.node != 0) {
            path.push(self.nodes[last.node as usize].parent);
        }
        let (mut line, mut scratch, mut after) = (Vec::new(), Vec::new(), from);
        let mut offset = from.offset;
        for part in path.iter().rev() {
            let node = &self.nodes[part.node as usize];
            while offset < part.offset && line.len() < most {
                let wanted = most - line.len();
                let left = usize::try_from(part.offset - offset).unwrap_or(usize::MAX).min(wanted);
                let bytes = node.bytes.read(offset, left, &self.pool, &mut scratch)?;
                let end = memchr(b'\n', bytes);
                let taken = &bytes[..end.unwrap_or(bytes.len())];
                line.extend_from_slice(taken);
                offset += taken.len() as u64;
                after = Position { node: part.node, offset };
                if end.is_some() {
                    after.offset += 1;
                    return Ok((line, after));
                }
            }
            if line.len() == most {
                break;
            }
            offset = 0;
        }
        Ok((line, after))
    }
}
