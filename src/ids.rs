//! Names of what a fleet holds. A name is never given twice, so one that outlives what it names names nothing.

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
            /// `generation` tells apart what has come to have the same index.
            pub(crate) fn new(index: usize, generation: u32) -> Self {
                // Each takes hundreds of bytes: memory ends long before.
                Self { index: index as u32, generation }
            }

            pub(crate) fn index(self) -> usize {
                self.index as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}.{}"), self.index, self.generation)
            }
        }
    )*};
}

ids! {
    /// Names one host of a [`Fleet`](crate::Fleet), for as long as the fleet lives.
    ///
    /// A host that is named twice in the list is two hosts, with a connection each.
    HostId, "host";

    /// Names one command on one host of a [`Fleet`](crate::Fleet).
    CommandId, "command";

    /// Names one [`Run`](crate::Run) of a [`Fleet`](crate::Fleet): one command on some hosts.
    RunId, "run";
}

/// Names one of a command's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdStream {
    /// Standard output.
    Stdout,
    /// Standard error (RFC 4254 section 5.2: extended data of type 1). Extended data of another type counts
    /// as standard error too: libssh does not tell them apart.
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
