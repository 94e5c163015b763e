//! The entries of a directory, or the one name that READLINK and REALPATH are answered with.

use std::iter::FusedIterator;

use super::fields::Fields;
use super::{Attrs, ProtocolError};

/// The size in bytes of the shortest entry, which has two empty strings and no attributes.
const NAME_MIN: usize = 12;

/// A name that a server sent. It may contain any bytes, including `/` and NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) name: &'a [u8],
    /// A line like those of `ls -l`, in no certain form.
    pub(crate) long: &'a [u8],
    pub(crate) attrs: Attrs,
}

/// The names of a reply. They are read one by one; after an error there are no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    left: u32,
    fields: Fields<'a>,
    is_done: bool,
}

impl<'a> Names<'a> {
    /// Reads the number of the names, and compares it with the bytes that are there for them.
    pub(super) fn parse(mut fields: Fields<'a>) -> Result<Self, ProtocolError> {
        let left = fields.u32()?;
        match usize::try_from(left) {
            Ok(count) if count <= fields.len() / NAME_MIN => Ok(Self { left, fields, is_done: false }),
            _ => Err(ProtocolError::TooManyNames(left)),
        }
    }

    /// How many names the server announced and the iterator has not returned. The packet is long
    /// enough for so many, but they may be wrong.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    fn read(&mut self) -> Result<Name<'a>, ProtocolError> {
        let (name, long) = (self.fields.string()?, self.fields.string()?);
        Ok(Name { name, long, attrs: Attrs::parse(&mut self.fields)? })
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = Result<Name<'a>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.is_done = true;
            return self.fields.end().err().map(Err);
        };
        let name = self.read();
        (self.left, self.is_done) = if name.is_ok() { (left, false) } else { (0, true) };
        Some(name)
    }
}

impl FusedIterator for Names<'_> {}
