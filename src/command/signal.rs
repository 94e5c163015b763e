//! Signals that a command can be sent.

use std::ffi::CStr;
use std::fmt;

/// A signal for a running command (RFC 4254 sections 6.9 and 6.10).
///
/// Which of them arrive is the server's choice. OpenSSH's passes on HUP, INT, KILL, QUIT, TERM,
/// USR1 and USR2, to the whole process group of the command, but (as of 9.2) none to commands of
/// root, nor to forced ones.
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
    /// As it goes over the wire: without `SIG`.
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
