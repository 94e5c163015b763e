//! What logins and commands cost, counted instead of timed. `docs/performance.md` has the figures.

pub mod messages;
pub mod system_calls;
pub mod tape;

use super::support;
