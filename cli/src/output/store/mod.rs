//! Keeps the output of many hosts, and what is equal only once.
//!
//! Outputs are a tree. A node holds bytes; a host has a [`Position`], which is a node and how many
//! of its bytes belong to the host's output, behind those of the nodes above. Bytes that arrive are
//! compared with those that other hosts have left behind the position:
//!
//! - while they are equal, only the position moves;
//! - where there is nothing more to compare with, they are added to the node;
//! - where they differ, a new node begins.
//!
//! So 10,000 hosts with the same megabyte of output take one megabyte and 10,000 positions, in
//! whatever pieces and order it arrives, and **two outputs are equal if their positions are**:
//! nothing is hashed, and nothing is compared at the end. Bytes of a node are never moved, not even
//! where a node branches off from the middle of another, so positions stay valid. There are at most
//! as many nodes as different outputs.
//!
//! Beyond a bound, bytes go to a temporary file without a name (`segments.rs`).

mod content;
mod segments;

use std::collections::HashMap;
use std::io;

pub use self::content::Content;
use self::segments::{Pool, Segments};

/// So much output is kept in memory; the rest is in a file.
pub const MEMORY_BYTES: usize = 32 * 1024 * 1024;

/// An output that the store has: two are equal if and only if their positions are. The default is
/// the empty output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Position {
    node: u32,
    /// The output has this many bytes of the node.
    offset: u64,
}

impl Position {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The outputs of many hosts.
pub struct Store {
    nodes: Vec<Node>,
    /// The nodes that branch off at a position, by their first byte. It is not the byte that
    /// follows in the node that they branch off from, so that an output has only one position.
    branches: HashMap<(Position, u8), u32>,
    pool: Pool,
}

#[derive(Default)]
struct Node {
    /// Where the node branches off.
    parent: Position,
    bytes: Segments,
}

impl Store {
    /// A store that keeps this many bytes of output in memory.
    pub fn new(memory: usize) -> Self {
        Self { nodes: vec![Node::default()], branches: HashMap::new(), pool: Pool::new(memory) }
    }

    /// The output at this position and these bytes behind it.
    pub fn append(&mut self, mut at: Position, mut bytes: &[u8]) -> io::Result<Position> {
        while !bytes.is_empty() {
            let node = &mut self.nodes[at.node as usize];
            let equal = node.bytes.equal(at.offset, bytes, &mut self.pool)?;
            at.offset += equal as u64;
            bytes = &bytes[equal..];
            let Some(first) = bytes.first() else { break };
            if at.offset == node.bytes.len() {
                node.bytes.push(bytes, &mut self.pool)?;
                at.offset += bytes.len() as u64;
                break;
            }
            let next = self.nodes.len() as u32;
            let branch = *self.branches.entry((at, *first)).or_insert(next);
            if branch == next {
                self.nodes.push(Node { parent: at, bytes: Segments::default() });
            }
            at = Position { node: branch, offset: 0 };
        }
        Ok(at)
    }

    /// How many bytes the store has, in memory and in its file.
    pub fn len(&self) -> u64 {
        self.nodes.iter().map(|node| node.bytes.len()).sum()
    }

    /// The nodes of an output from the first one, each with how many of its bytes belong to it.
    fn path(&self, at: Position) -> Vec<Position> {
        let mut path = vec![at];
        let mut node = at.node;
        while node != 0 {
            let parent = self.nodes[node as usize].parent;
            path.push(parent);
            node = parent.node;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests;
