//! Signals for commands.

use std::ffi::CStr;
use std::fmt;

/// A signal for a running command (RFC 4254 sections 6.9 and 6.10).
///
/// The server decides which signals it delivers. OpenSSH's server delivers HUP, INT, KILL, QUIT,
/// TERM, USR1 and USR2 to the command's process group. As of OpenSSH 9.2, it delivers none to
/// commands of root or to forced commands.
///
/// ```
/// assert_eq!(sshoal::Signal::Term.to_string(), "TERM");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGABRT.
    Abrt,
    /// SIGALRM.
    Alrm,
    /// SIGFPE.
    Fpe,
    /// SIGHUP.
    Hup,
    /// SIGILL.
    Ill,
    /// SIGINT.
    Int,
    /// SIGKILL.
    Kill,
    /// SIGPIPE.
    Pipe,
    /// SIGQUIT.
    Quit,
    /// SIGSEGV.
    Segv,
    /// SIGTERM.
    Term,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

impl Signal {
    /// The name of the signal on the wire, without the prefix `SIG`.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Abrt => c"ABRT",
            Self::Alrm => c"ALRM",
            Self::Fpe => c"FPE",
            Self::Hup => c"HUP",
            Self::Ill => c"ILL",
            Self::Int => c"INT",
            Self::Kill => c"KILL",
            Self::Pipe => c"PIPE",
            Self::Quit => c"QUIT",
            Self::Segv => c"SEGV",
            Self::Term => c"TERM",
            Self::Usr1 => c"USR1",
            Self::Usr2 => c"USR2",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_string_lossy())
    }
}
