//! One host's place in the fleet.

use std::time::Instant;

use crate::link::Link;
use crate::reactor::TimerId;
use crate::session::Session;

pub(super) struct Slot {
    pub session: Session,
    pub link: Box<dyn Link>,
    /// The wheel's entry for the session's deadline.
    pub timer: Option<Armed>,
    /// The session's deadline has passed, and it was not visited since.
    pub due: bool,
    /// What the admission has booked for it.
    pub booked: Booked,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Armed {
    pub id: TimerId,
    pub at: Instant,
}

/// What a session was last seen to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booked {
    pub place: bool,
    pub connection: bool,
}

impl Slot {
    pub(super) fn new(session: Session, link: Box<dyn Link>) -> Self {
        Self { session, link, timer: None, due: false, booked: Booked::default() }
    }
}
