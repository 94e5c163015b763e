//! Waiting for one command of one host, while all hosts are driven.

use super::deadline;
use super::output::HostOutput;
use crate::Fleet;
use crate::error::{HostError, HostErrorKind, TimeoutKind};
use crate::fleet::{CommandId, CommandRef};
use crate::output::Outcome;

/// Why a wait found nothing.
pub(super) enum WaitError {
    /// The read timeout has passed. The caller may wait again.
    Timeout(HostError),
    /// The command has ended without an error.
    Ended,
    /// The command failed, or the event loop did.
    Failed(HostError),
}

/// Waits until `find` returns `Some`. Gives up once `amount` has not changed for as long as the
/// output's read timeout.
pub(super) fn wait<T>(
    output: &HostOutput,
    mut find: impl FnMut(&mut Fleet, CommandId) -> Option<T>,
    amount: impl Fn(CommandRef<'_>) -> usize,
) -> Result<T, WaitError> {
    let id = output.id();
    // In most cases there is something to find at once, so the clock need not be read.
    if let Some(found) = find(&mut output.fleet().lock(), id) {
        return Ok(found);
    }
    loop {
        let timeout = output.read_timeout();
        let mut before = None;
        // The closure returns `Some(None)` if nothing was found, but the amount has changed or the
        // command has ended.
        let seen = output.fleet().drive(deadline(timeout), |fleet| {
            if let Some(found) = find(fleet, id) {
                return Some(Some(found));
            }
            let command = fleet.command(id);
            let amount = command.map_or(0, &amount);
            let is_changed = *before.get_or_insert(amount) != amount;
            (is_changed || command.is_none_or(|command| command.is_finished())).then_some(None)
        });
        if let Ok(Some(Some(found))) = seen {
            return Ok(found);
        }
        match (seen, output.outcome().filter(|_| output.is_finished())) {
            (_, Some(Outcome::Failed(error))) => return Err(WaitError::Failed(error)),
            (_, Some(_)) => return Err(WaitError::Ended),
            (Ok(Some(_)), None) => {}
            (Ok(None), None) => {
                let after = timeout.unwrap_or_default();
                let kind = HostErrorKind::Timeout { kind: TimeoutKind::Read, after };
                return Err(WaitError::Timeout(output.own_error(kind)));
            }
            (Err(e), None) => return Err(WaitError::Failed(output.loop_error(&e))),
        }
    }
}
