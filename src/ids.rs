//! Handles of the objects in a fleet. An id is never reused, so the id of an object that is gone
//! refers to nothing.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            index: u32,
            generation: u32,
        }

        impl $name {
            /// `generation` distinguishes successive objects with the same index.
            pub(crate) fn new(index: usize, generation: u32) -> Self {
                // An object takes hundreds of bytes, so memory runs out long before 2^32 indices.
                Self { index: index as u32, generation }
            }

            pub(crate) fn index(self) -> usize {
                self.index as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// The form for logs. It distinguishes ids, and has no other meaning.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}.{}"), self.index, self.generation)
            }
        }
    )*};
}

ids! {
    /// Identifies one host of a [`Fleet`](crate::Fleet) for the fleet's lifetime.
    ///
    /// A host that is listed twice counts as two hosts, with a connection each.
    HostId, "host";

    /// Identifies one command on one host of a [`Fleet`](crate::Fleet).
    CommandId, "command";

    /// Identifies one [`Run`](crate::Run) of a [`Fleet`](crate::Fleet): one command on some hosts.
    RunId, "run";
}

/// One of a command's two output streams. SSH has no others (RFC 4254 section 5.2), so this enum
/// will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdStream {
    /// Standard output.
    Stdout,
    /// Standard error (RFC 4254 section 5.2: extended data of type 1). libssh does not distinguish
    /// the types of extended data, so data of any type counts as standard error.
    Stderr,
}

impl fmt::Display for StdStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "standard output",
            Self::Stderr => "standard error",
        })
    }
}
