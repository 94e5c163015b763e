//! Waiting for one command of one host, while all hosts are driven.

use std::time::Duration;

use super::deadline;
use super::output::HostOutput;
use crate::Fleet;
use crate::error::{HostError, HostErrorKind};
use crate::fleet::CommandId;
use crate::ids::StdStream;
use crate::output::Outcome;
use crate::stage::TimeoutKind;

/// What a look at a command shows.
pub(super) enum Look<T> {
    /// What was waited for.
    Found(T),
    /// So much is there, or left, meanwhile. While it changes, the read timeout starts again.
    Amount(usize),
}

/// Why nothing was found.
pub(super) enum Ended {
    /// Not yet: whoever waits may wait again.
    Timeout(HostError),
    /// Not any more: the command is over.
    Finished(Outcome),
    /// The event loop failed.
    Broken(HostError),
}

/// Waits until there is something to find, at most for the output's read timeout without any change.
pub(super) fn wait<T>(
    output: &HostOutput,
    mut look: impl FnMut(&mut Fleet, CommandId) -> Look<T>,
) -> Result<T, Ended> {
    let id = output.id();
    // Mostly it is there: no clock is read for that.
    if let Look::Found(found) = look(&mut output.fleet().lock(), id) {
        return Ok(found);
    }
    loop {
        let timeout = output.read_timeout();
        let mut found = None;
        let mut before = None;
        let news = output.fleet().drive(deadline(timeout), |fleet| match look(fleet, id) {
            Look::Found(it) => {
                found = Some(it);
                true
            }
            Look::Amount(amount) => {
                *before.get_or_insert(amount) != amount
                    || fleet.command(id).is_none_or(|command| command.is_finished())
            }
        });
        if let Some(found) = found {
            return Ok(found);
        }
        match (news, output.outcome()) {
            (_, Some(outcome)) => return Err(Ended::Finished(outcome)),
            (Ok(true), None) => {}
            (Ok(false), None) => {
                let after = timeout.unwrap_or(Duration::ZERO);
                let kind = HostErrorKind::Timeout { kind: TimeoutKind::Read, after };
                return Err(Ended::Timeout(output.own_error(kind)));
            }
            (Err(e), None) => return Err(Ended::Broken(output.cannot_poll(&e))),
        }
    }
}

/// Waits until there is something to take from a stream. `None` at its end.
pub(super) fn wait_for_output<T>(
    output: &HostOutput,
    stream: StdStream,
    mut take: impl FnMut(&mut Fleet, CommandId) -> Option<T>,
) -> Result<Option<T>, Unread> {
    let look = |fleet: &mut Fleet, id| match take(fleet, id) {
        Some(found) => Look::Found(found),
        None => Look::Amount(fleet.command(id).map_or(0, |command| command.unread(stream))),
    };
    match wait(output, look) {
        Ok(found) => Ok(Some(found)),
        Err(Ended::Finished(Outcome::Failed(error)) | Ended::Broken(error)) => Err(Unread::Cut(error)),
        Err(Ended::Finished(_)) => Ok(None),
        Err(Ended::Timeout(error)) => Err(Unread::Timeout(error)),
    }
}

/// Why there was nothing to take.
pub(super) enum Unread {
    /// Not yet: the reader may wait again.
    Timeout(HostError),
    /// Not any more: the stream was cut short, and everything that had arrived was taken.
    Cut(HostError),
}
