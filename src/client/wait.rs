//! Waiting for one command of one host, while all hosts are driven.

use super::output::HostOutput;
use super::silence::Silence;
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
/// output's read timeout, and no packet is arriving that may change it.
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
    let timeout = output.read_timeout();
    let (mut silence, mut before) = (Silence::new(), None);
    loop {
        let until = silence.until(timeout);
        // The closure returns `Some(None)` if nothing was found, but the amount has changed, the
        // wait must end earlier, or the command has ended.
        let seen = output.fleet().drive(until, |fleet| {
            if let Some(found) = find(fleet, id) {
                return Some(Some(found));
            }
            let command = fleet.command(id);
            let amount = command.map_or(0, &amount);
            let is_changed = before.replace(amount).is_some_and(|before| before != amount);
            let is_finished = command.is_none_or(|command| command.is_finished());
            if is_changed {
                silence = Silence::new();
            } else {
                silence.observe(fleet, id, timeout);
            }
            (is_changed || is_finished || silence.until(timeout) < until).then_some(None)
        });
        if let Ok(Some(Some(found))) = seen {
            return Ok(found);
        }
        match (seen, output.outcome().filter(|_| output.is_finished())) {
            (_, Some(Outcome::Failed(error))) => return Err(WaitError::Failed(error)),
            (_, Some(_)) => return Err(WaitError::Ended),
            (Ok(Some(_)), None) => {}
            (Ok(None), None) if silence.until(timeout) > until => {}
            (Ok(None), None) => {
                let after = timeout.unwrap_or_default();
                let kind = HostErrorKind::Timeout { kind: TimeoutKind::Read, after };
                return Err(WaitError::Timeout(output.own_error(kind)));
            }
            (Err(e), None) => return Err(WaitError::Failed(output.loop_error(&e))),
        }
    }
}
