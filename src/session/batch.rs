//! Reads the answers to a transfer's requests in batches, while many hosts copy.
//!
//! A server answers each write, and most of these answers allow nothing new: what may be sent next
//! depends on the window. Each one would wake the program to visit this host alone. So while
//! several requests are in flight, the connection counts as ready only once half of their answers
//! may have arrived.

use std::time::Instant;

use super::state::State;
use super::{Cx, Effect, Role, Session};
use crate::limits;

/// The answers that are awaited together.
#[derive(Debug)]
pub(super) struct Batch {
    answers: usize,
    /// When what has arrived is read in any case. Answers may be late, or shorter than assumed.
    pub until: Instant,
}

/// Decides after a visit which answers are awaited together.
pub(super) fn update(session: &mut Session, cx: &mut Cx<'_>) {
    let answers = answers(session, cx);
    let until = session.batch.as_ref().map(|batch| batch.until);
    let until = until.or_else(|| cx.now.checked_add(limits::BATCH_TIME)).filter(|_| answers > 0);
    let is_lower = if let Some(until) = until {
        session.batch.get_or_insert_with(|| Box::new(Batch { answers, until })).answers = answers;
        cx.link.set_low_water(answers * limits::ANSWER_BYTES)
    } else {
        end(session, cx)
    };
    if is_lower {
        cx.out.push(Effect::Again);
    }
}

/// How many answers are awaited together from now on; 0 if whatever arrives is read at once.
fn answers(session: &Session, cx: &Cx<'_>) -> usize {
    let (State::Ready(_), Role::Host(commands)) = (&session.state, &session.role) else { return 0 };
    // Other commands do not wait for the answers to a transfer. How long a compressed answer is
    // depends on those before it.
    let ([id], false) = (commands.begun(), session.target.profile.connection.compress) else { return 0 };
    if cx.execs.transfers < limits::BATCHING_TRANSFERS || session.held.is_some() {
        return 0;
    }
    let owed = cx.execs.owed_answers(*id);
    if owed < limits::BATCHING_IN_FLIGHT {
        return 0;
    }
    match &session.batch {
        // Each change costs a system call.
        Some(batch) if (owed / 2..=owed * 3 / 4).contains(&batch.answers) => batch.answers,
        _ => owed.div_ceil(2).min(limits::BATCH_ANSWERS),
    }
}

/// Ends the batch before a visit if a time limit has passed. What has arrived is read before the
/// limit counts.
pub(super) fn end_in_time(session: &mut Session, cx: &mut Cx<'_>) {
    if session.batch.is_some() && session.next_deadline(cx.execs).is_some_and(|at| at <= cx.now) {
        end(session, cx);
    }
}

/// Lets whatever arrives be read at once. Returns whether it was not, so that something may have
/// arrived.
pub(super) fn end(session: &mut Session, cx: &mut Cx<'_>) -> bool {
    session.batch.take().is_some() && cx.link.set_low_water(0)
}
