//! Commands that wait while others run.

use std::cell::Cell;
use std::fmt;

use super::harness::Bench;
use super::script::{Channel, Packet, Script};
use crate::session::Input;
use crate::session::state::Phase;

/// Counts the look-ups of commands. The `Debug` output hides the count, because a look-up changes
/// nothing.
#[derive(Default)]
pub(crate) struct Looks(Cell<usize>);

impl Looks {
    pub(crate) fn count(&self) {
        self.0.set(self.0.get() + 1);
    }
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Looks")
    }
}

/// Creates a connection with one running command and this many waiting commands.
fn crowd(waiting: usize) -> Bench {
    let mut bench = Bench::new(Script::channel(Channel::sending(vec![])));
    bench.check_idle = false;
    bench.command();
    bench.run_until(|bench| bench.exec(0).is_running());
    for _ in 0..waiting {
        bench.command();
    }
    assert_eq!(bench.phase(), Phase::Ready);
    bench
}

/// Steps the session and carries out its effects, as a fleet does.
fn visit(bench: &mut Bench, input: Input) {
    bench.step_alone(input);
    let Bench { session, execs, .. } = bench;
    session.view(execs);
}

#[test]
fn a_visit_does_not_look_at_the_commands_that_wait() {
    let looks = |waiting| {
        let mut bench = crowd(waiting);
        let before = bench.execs.looks.0.get();
        visit(&mut bench, Input::Wake);
        visit(&mut bench, Input::Wake);
        visit(&mut bench, Input::Admitted { commands: 1 });
        visit(&mut bench, Input::Hold);
        bench.execs.looks.0.get() - before
    };
    assert_eq!(looks(10), looks(5_000));
}

#[test]
fn the_end_of_a_command_does_not_look_at_those_that_wait() {
    let looks = |waiting| {
        let mut bench = crowd(waiting);
        bench.link.arrive(0, Packet::Close);
        let before = bench.execs.looks.0.get();
        visit(&mut bench, Input::Wake);
        let looks = bench.execs.looks.0.get() - before;
        assert!(bench.exec(0).is_finished());
        looks
    };
    assert_eq!(looks(10), looks(5_000));
}

#[test]
fn commands_are_cancelled_and_admitted_in_their_order() {
    let mut bench = crowd(4);
    bench.step(Input::Admitted { commands: 2 });
    // The first command's channel is being opened, and one more command was admitted.
    assert_eq!(bench.view().running, 3);
    bench.cancel(2);
    assert_eq!((bench.view().running, bench.exec(2).is_finished()), (2, true));
    bench.step(Input::Hold);
    assert_eq!(bench.view().running, 2);
    bench.step(Input::Admitted { commands: 10 });
    assert_eq!(bench.view().running, 4);
}

/// Its start may have been decided before a caller cancelled it.
#[test]
fn a_command_that_has_ended_is_not_started() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    bench.cancel(0);
    assert!(bench.exec(0).is_finished() && !bench.wants_place());
    bench.step(Input::Start(bench.commands[0]));
    assert!(!bench.wants_place());
}
