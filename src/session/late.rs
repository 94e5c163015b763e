//! Late turns: the program was suspended, or did something else, for longer than a time limit.
//!
//! What arrived in the meantime lies in the socket. It is read before any limit counts, and a host
//! that has answered gets the time for its next answer again.

use std::time::Duration;

use super::deadline::Deadline;
use super::exec::Exec;
use super::state::State;
use super::{Cx, Failure, Role, Session};
use crate::ids::CommandId;
use crate::stage::Stage;

/// A turn that acts on a time limit this long after it has passed is late. A turn in time extends
/// nothing, so a peer that sends byte by byte gains nothing.
const LATE: Duration = Duration::from_secs(1);

/// If a time limit has passed, reads what has arrived.
pub(super) fn catch_up(session: &mut Session, cx: &mut Cx<'_>) -> Result<(), Failure> {
    let of_commands = match &session.role {
        Role::Host(commands) => commands.begun(),
        Role::Proxy(_) => &[],
    };
    let of_commands = of_commands.iter().filter_map(|id| cx.execs.get(*id)?.deadline());
    let own = session.deadline.map(|deadline| deadline.at);
    let Some(due) = of_commands.chain(own).min().filter(|due| *due <= cx.now) else { return Ok(()) };
    if cx.now.saturating_duration_since(due) < LATE {
        // No further address is dialled when the time is up.
        let is_connecting = matches!(session.state, State::Connecting(_));
        return if is_connecting { Ok(()) } else { session.drive(cx) };
    }
    let (phase, bytes, starting) = (session.state.phase(), bytes_read(session, cx), starting(session, cx));
    let total = session.attempts.renew_total(cx.now);
    session.drive(cx)?;
    if session.state.phase() == phase {
        if bytes_read(session, cx) == bytes {
            session.attempts.restore_total(total);
        } else {
            let timeouts = &session.target.profile.timeouts;
            let is_login = matches!(session.state, State::Authenticating(_));
            session.deadline =
                session.limit(cx.now, if is_login { timeouts.auth } else { timeouts.handshake });
        }
    }
    for (id, stage) in starting {
        let has_answered = |exec: &&mut Exec| exec.is_starting() && exec.stage() != stage;
        if let Some(exec) = cx.execs.get_mut(id).filter(has_answered) {
            exec.limit_start(Deadline::new(cx.now, session.target.profile.timeouts.exec));
        }
    }
    Ok(())
}

/// How many bytes were read, in a stage that takes several answers.
fn bytes_read(session: &Session, cx: &Cx<'_>) -> u64 {
    match session.state {
        State::Handshaking | State::Authenticating(_) => cx.link.bytes_read(),
        _ => 0,
    }
}

/// The commands that are starting, and their stages.
fn starting(session: &Session, cx: &Cx<'_>) -> Vec<(CommandId, Stage)> {
    let Role::Host(commands) = &session.role else { return Vec::new() };
    let execs = commands.begun().iter().filter_map(|id| Some((*id, cx.execs.get(*id)?)));
    execs.filter(|(_, exec)| exec.is_starting()).map(|(id, exec)| (id, exec.stage())).collect()
}
