//! Where a setting comes from.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::text::sanitise;

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// In a configuration file.
    File {
        /// The file, as it was named or found by `Include`.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: u32,
    },
    /// By the caller: a part of [`SshDestination`](super::SshDestination).
    Caller,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => {
                write!(f, "{}:{line}", sanitise(path.as_os_str().as_encoded_bytes()))
            }
            Self::Caller => f.write_str("the caller"),
        }
    }
}

/// A value and the place where it was set. Dereferences to the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was set.
    pub source: SettingSource,
}

impl<T> Deref for Sourced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Sourced<T> {
    /// The same source, another value.
    pub(super) fn try_map<U, E>(self, map: impl FnOnce(T) -> Result<U, E>) -> Result<Sourced<U>, E> {
        Ok(Sourced { value: map(self.value)?, source: self.source })
    }
}

/// What OpenSSH would do, and this library does not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ignored {
    /// The keyword, in lower case.
    pub keyword: Arc<str>,
    /// The arguments, as written.
    pub arguments: Arc<str>,
    /// Where it is written.
    pub source: SettingSource,
    /// Why it has no effect.
    pub reason: &'static str,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keyword, arguments, source, reason } = self;
        write!(f, "{source}: {}", sanitise(&**keyword))?;
        if !arguments.is_empty() {
            write!(f, " {}", sanitise(&**arguments))?;
        }
        write!(f, " is ignored: {reason}")
    }
}
