//! The fixed limits of commands, each with the reason for its value.

use std::time::Duration;

/// Bytes of standard error that are kept: the last lines, which say why a command ends.
pub(crate) const SAID: usize = 4 * 1024;

/// Bytes of standard error that are read per visit: as much as a pipe holds. It takes some
/// microseconds.
pub(crate) const SAID_PER_VISIT: usize = 64 * 1024;

/// Pause after a visit that has read [`SAID_PER_VISIT`]. A command that floods its standard error
/// is slowed down to 6 MB per second.
pub(crate) const FLOOD_PAUSE: Duration = Duration::from_millis(10);

/// Time that a process has to end after SIGTERM. Then it gets SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Time that a process has to end after it has closed the connection, before the host's error is
/// made without its exit status. The system closes the descriptors of a process that ends some
/// microseconds before it reports the end.
pub(crate) const STATUS_WAIT: Duration = Duration::from_secs(1);

/// How often to look for the end of processes that no descriptor reports: the other members of a
/// group whose first process has ended.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How long the end of a fleet waits for processes that have got SIGKILL. Only a process that waits
/// for a broken disk takes longer.
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(1);

/// At most one in this many of the processes that the user may have (`RLIMIT_NPROC`) leads to
/// hosts. The others remain for the rest of the system.
pub(crate) const PROCESS_SHARE: usize = 2;
