//! The memory in which output waits between a read and its collection.

use std::mem;

use crate::limits;

/// The buffer that the inboxes of a fleet's commands share.
///
/// A fleet visits one host at a time, and a visit collects what it has read. So one buffer is
/// enough, and no inbox needs memory between visits. It is allocated once, because a fleet that
/// allocates large buffers of all sizes at every visit fragments the heap.
#[derive(Debug, Default)]
pub(super) struct InboxBuffer(Vec<u8>);

impl InboxBuffer {
    const CAPACITY: usize = limits::OUTPUT_PER_VISIT;

    /// Lends the buffer to a stream of an inbox, and moves there what has already arrived.
    pub(super) fn lend(&mut self, bytes: &mut Vec<u8>) {
        if bytes.capacity() < Self::CAPACITY {
            let arrived = mem::replace(bytes, mem::take(&mut self.0));
            bytes.reserve_exact(Self::CAPACITY);
            bytes.extend_from_slice(&arrived);
        }
    }

    /// Empties a stream of an inbox. Takes the buffer back if the stream has it, and frees any
    /// other memory.
    pub(super) fn drain(&mut self, bytes: &mut Vec<u8>) {
        bytes.clear();
        let bytes = mem::take(bytes);
        if (Self::CAPACITY..2 * Self::CAPACITY).contains(&bytes.capacity()) {
            self.0 = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_goes_from_inbox_to_inbox_unless_it_has_grown() {
        let mut buffer = InboxBuffer::default();
        let (mut one, mut other) = (Vec::new(), b"early".to_vec());
        buffer.lend(&mut one);
        one.extend_from_slice(&[0; InboxBuffer::CAPACITY]);
        let memory = one.as_ptr();
        buffer.drain(&mut one);
        assert_eq!(one.capacity(), 0);
        buffer.lend(&mut other);
        assert_eq!((other.as_ptr(), &*other), (memory, &b"early"[..]));

        buffer.lend(&mut one);
        assert_ne!(one.as_ptr(), memory, "it is lent once");
        one.extend_from_slice(&[0; 2 * InboxBuffer::CAPACITY]);
        buffer.drain(&mut one);
        assert_eq!(buffer.0.capacity(), 0, "a buffer that has grown is not kept");
        buffer.drain(&mut other);
        assert_eq!(buffer.0.as_ptr(), memory);
        buffer.drain(&mut vec![0; 100]);
        assert_eq!(buffer.0.as_ptr(), memory, "memory of an inbox's own is freed");
    }
}
