//! The bytes of a node: in memory while there is room, then in a file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::{env, io};

/// A node with little output takes little memory; one with much does not take many segments.
const MEMORY_SEGMENT: (usize, usize) = (64, 64 * 1024);

/// Pages of a file take no room before they are written.
const FILE_SEGMENT: (usize, usize) = (4 * 1024, 1024 * 1024);

/// What segments share: the room in memory, and the file for what exceeds it.
pub struct Pool {
    memory_left: usize,
    file: Option<File>,
    file_len: u64,
    /// Where bytes of the file are read to.
    scratch: Vec<u8>,
}

impl Pool {
    pub fn new(memory: usize) -> Self {
        Self { memory_left: memory, file: None, file_len: 0, scratch: Vec::new() }
    }

    /// A segment for so many bytes or more, behind one of this capacity.
    fn allocate(&mut self, wanted: usize, last: usize) -> io::Result<Place> {
        let capacity = |(min, max)| wanted.next_power_of_two().max(last * 2).clamp(min, max);
        let in_memory = capacity(MEMORY_SEGMENT);
        if let Some(left) = self.memory_left.checked_sub(in_memory) {
            self.memory_left = left;
            return Ok(Place::Memory(Vec::with_capacity(in_memory)));
        }
        if self.file.is_none() {
            let folder = folder();
            self.file = Some(tempfile::tempfile_in(&folder).map_err(|error| file_error(&folder, &error))?);
        }
        let (at, capacity) = (self.file_len, capacity(FILE_SEGMENT));
        self.file_len += capacity as u64;
        Ok(Place::File { at, len: 0, capacity })
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(bytes, at).map_err(|error| file_error(&folder(), &error))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.read_exact_at(bytes, at).map_err(|error| file_error(&folder(), &error))
    }
}

/// The folder of the temporary file: `/tmp` is in memory on many systems, `/var/tmp` is not.
fn folder() -> PathBuf {
    let disk = Path::new("/var/tmp");
    match env::var_os("TMPDIR") {
        None if disk.is_dir() => disk.to_owned(),
        _ => env::temp_dir(),
    }
}

fn file_error(folder: &Path, error: &io::Error) -> io::Error {
    let folder = folder.display();
    let text = format!(
        "cannot keep output in a temporary file in {folder}: {error}. Free some space there, or set TMPDIR to \
         another folder."
    );
    io::Error::new(error.kind(), text)
}

/// Bytes that grow at their end and are never moved.
#[derive(Default)]
pub struct Segments {
    list: Vec<Segment>,
    len: u64,
}

struct Segment {
    start: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File { at: u64, len: usize, capacity: usize },
}

impl Segments {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn push(&mut self, mut bytes: &[u8], pool: &mut Pool) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.list.last().map_or(0, |last| last.place.room());
            if room == 0 {
                let last = self.list.last().map_or(0, |last| last.place.capacity());
                let place = pool.allocate(bytes.len(), last)?;
                self.list.push(Segment { start: self.len, place });
                continue;
            }
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = self.list.last_mut() {
                last.place.push(head, pool)?;
            }
            self.len += head.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// How many of these bytes are equal to those from here on.
    pub fn equal(&self, mut from: u64, mut bytes: &[u8], pool: &mut Pool) -> io::Result<usize> {
        let mut equal = 0;
        while from < self.len && !bytes.is_empty() {
            let mut scratch = std::mem::take(&mut pool.scratch);
            let kept = self.read(from, bytes.len(), pool, &mut scratch)?;
            let compared = kept.len().min(bytes.len());
            let here = common_prefix(&kept[..compared], &bytes[..compared]);
            pool.scratch = scratch;
            equal += here;
            if here < compared {
                break;
            }
            from += here as u64;
            bytes = &bytes[here..];
        }
        Ok(equal)
    }

    /// Some bytes from here on, up to the end of a segment. `scratch` has them if they are in the
    /// file. Nothing behind the end.
    pub fn read<'s>(
        &'s self,
        from: u64,
        most: usize,
        pool: &Pool,
        scratch: &'s mut Vec<u8>,
    ) -> io::Result<&'s [u8]> {
        let index = self.list.partition_point(|segment| segment.start <= from);
        let Some(segment) = index.checked_sub(1).and_then(|index| self.list.get(index)) else {
            return Ok(&[]);
        };
        let skipped = (from - segment.start) as usize;
        match &segment.place {
            Place::Memory(bytes) => {
                let bytes = bytes.get(skipped..).unwrap_or_default();
                Ok(&bytes[..bytes.len().min(most)])
            }
            Place::File { at, len, .. } => {
                scratch.resize(len.saturating_sub(skipped).min(most).min(MEMORY_SEGMENT.1), 0);
                pool.read(scratch, at + skipped as u64)?;
                Ok(scratch)
            }
        }
    }
}

impl Place {
    fn capacity(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.capacity(),
            Self::File { capacity, .. } => *capacity,
        }
    }

    fn room(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.capacity() - bytes.len(),
            Self::File { len, capacity, .. } => capacity - len,
        }
    }

    /// The bytes must fit.
    fn push(&mut self, bytes: &[u8], pool: &Pool) -> io::Result<()> {
        match self {
            Self::Memory(kept) => kept.extend_from_slice(bytes),
            Self::File { at, len, .. } => {
                pool.write(bytes, *at + *len as u64)?;
                *len += bytes.len();
            }
        }
        Ok(())
    }
}

/// How many bytes two slices of the same length have in common at their beginnings.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    if a == b {
        return a.len();
    }
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_full_disk_is_named_with_what_to_do() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut pool = Pool { file: Some(full), ..Pool::new(0) };
        let error = Segments::default().push(b"text", &mut pool).unwrap_err();
        let expected = format!(
            "cannot keep output in a temporary file in {}: No space left on device (os error 28). Free some space \
             there, or set TMPDIR to another folder.",
            folder().display()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_host_with_little_output_takes_little_memory() {
        let mut pool = Pool::new(1000);
        let mut segments = Segments::default();
        segments.push(b"up 5 days\n", &mut pool).unwrap();
        assert_eq!(pool.memory_left, 1000 - 64);
        // What does not fit is in the file, and both are compared and read as one.
        segments.push(&[b'x'; 2000], &mut pool).unwrap();
        assert_eq!((pool.memory_left, pool.file_len), (1000 - 64, 4096));
        let whole = [&b"up 5 days\n"[..], &[b'x'; 2000]].concat();
        assert_eq!(segments.equal(0, &whole, &mut pool).unwrap(), 2010);
        assert_eq!(segments.equal(5, &whole[5..], &mut pool).unwrap(), 2005);
        assert_eq!(segments.equal(2009, b"y", &mut pool).unwrap(), 0);
    }
}
