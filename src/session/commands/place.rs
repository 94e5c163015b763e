//! The place in the pool that the commands of a host hold while they start.

use std::time::{Duration, Instant};

/// How long commands that are starting keep their place without an answer of their server. A server
/// answers in one round trip, and a busy one in some tenths of a second.
const PATIENCE: Duration = Duration::from_secs(1);

/// The place of the commands of one host that are starting.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// No command waits for an answer of the server.
    #[default]
    Unused,
    /// Commands have waited for an answer since this time, without any.
    Held(Instant),
    /// They have given their place back to other hosts. It stays so until the server answers and no
    /// command is starting any more.
    GivenBack,
}

impl Place {
    /// When the place is given back unless the server answers.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Self::Held(since) => since.checked_add(PATIENCE),
            Self::Unused | Self::GivenBack => None,
        }
    }

    /// Notes whether commands are starting, and whether the server has just answered one.
    pub(super) fn note(&mut self, is_starting: bool, answered: bool, now: Instant) {
        *self = match *self {
            Self::GivenBack if is_starting || !answered => Self::GivenBack,
            Self::Held(since) if is_starting && !answered => Self::Held(since),
            _ if is_starting => Self::Held(now),
            _ => Self::Unused,
        };
        if self.until().is_some_and(|until| until <= now) {
            *self = Self::GivenBack;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_lets_commands_keep_their_place_for_another_second() {
        let begun = Instant::now();
        let at = |tenths: u64| begun + Duration::from_millis(100 * tenths);
        let mut place = Place::default();
        for (tenths, answered, until) in [(0, false, 10), (9, true, 19), (18, false, 19)] {
            place.note(true, answered, at(tenths));
            assert_eq!(place.until(), Some(at(until)), "after {tenths} tenths of a second");
        }
        place.note(true, false, at(19));
        assert_eq!(place, Place::GivenBack);
    }

    #[test]
    fn a_place_stays_given_back_until_the_last_start_is_answered() {
        let mut place = Place::GivenBack;
        for (is_starting, answered, expected) in [
            (true, false, Place::GivenBack),
            // The commands have ended without an answer, so the server may still be silent.
            (false, false, Place::GivenBack),
            (true, true, Place::GivenBack),
            (false, true, Place::Unused),
        ] {
            place.note(is_starting, answered, Instant::now());
            assert_eq!(place, expected, "starting: {is_starting}, answered: {answered}");
        }
    }
}
