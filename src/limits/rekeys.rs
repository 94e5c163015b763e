//! How often keys may be exchanged on one connection.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A new key exchange is legitimate after this many bytes, both directions together. Cautious
/// servers rekey every 64 KiB (sshd: `RekeyLimit`), most every gibibyte.
pub const REKEY_TRAFFIC: u64 = 32 * 1024;

/// A new key exchange is also legitimate once this much time has passed since the last one,
/// whatever the traffic. RFC 4253 section 9 recommends an hour.
pub const REKEY_PAUSE: Duration = Duration::from_secs(60);

/// How many suspicious key exchanges are allowed in a row. A key exchange is suspicious if neither
/// [`REKEY_TRAFFIC`] nor [`REKEY_PAUSE`] makes it legitimate. Each costs 0.3 ms of CPU or more.
pub const REKEYS_IN_A_ROW: u32 = 10;

/// How many suspicious key exchanges are allowed within [`REKEY_WINDOW`]: one a second.
pub const REKEYS_PER_WINDOW: usize = 30;

/// See [`REKEYS_PER_WINDOW`].
pub const REKEY_WINDOW: Duration = Duration::from_secs(30);

/// The fewest bytes after which this end can be made to ask for new keys. A data packet has up to
/// 32 KiB, so with fewer, nearly every packet would begin an exchange.
pub const REKEY_BYTES_MIN: u64 = 64 * 1024;

/// The times after which this end can be made to ask for new keys. libssh counts whole seconds, and
/// milliseconds in 31 bits.
pub const REKEY_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 86_400);
