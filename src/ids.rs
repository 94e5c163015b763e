//! Handles of what a fleet holds. They are generation-checked: a stale one resolves to nothing.

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
            /// `generation` tells handles with the same index apart.
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
                fmt::Display::fmt(self, f)
            }
        }

        /// For logs: tells two of them apart, and means nothing else.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}.{}"), self.index, self.generation)
            }
        }
    )*};
}

ids! {
    /// One host of a [`Fleet`](crate::Fleet), for as long as the fleet lives.
    ///
    /// A host that comes twice in the list is two hosts, with a connection each.
    HostId, "host";

    /// One command on one host of a [`Fleet`](crate::Fleet).
    CommandId, "command";

    /// One [`Run`](crate::Run) of a [`Fleet`](crate::Fleet): one command on some hosts.
    RunId, "run";
}

/// One of a command's two output streams. SSH has no more of them (RFC 4254 section 5.2), so
/// matches may be exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdStream {
    /// Standard output.
    Stdout,
    /// Standard error (RFC 4254 section 5.2: extended data of type 1). Extended data of another
    /// type counts as standard error too: libssh does not tell them apart.
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
