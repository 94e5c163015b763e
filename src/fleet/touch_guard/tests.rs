use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::clock;
use crate::session::tests::random::Random;

const MOMENT: Duration = Duration::from_millis(1);

impl TouchGuard {
    /// Checks that at most one host per agent waits for a touch, and that nobody waits for nothing.
    /// `keeps` says whether a host of this fleet still needs what it has.
    pub(in crate::fleet) fn check(&self, keeps: impl Fn(usize) -> bool) {
        let shared = self.turns.lock();
        let mut known = 0;
        for (agent, line) in &shared.agents {
            let Line { turns, touching, waiting, .. } = line;
            assert!(touching.is_none_or(|asker| line.has_turn(asker)), "{agent:?}: {line:?}");
            assert!(waiting.is_empty() || !turns.is_empty(), "nobody has a turn at {agent:?}: {line:?}");
            for asker in turns.iter().map(|(asker, _)| asker).chain(waiting.values()) {
                let is_there = asker.0 != self.fleet || keeps(asker.1);
                assert!(is_there, "{asker:?} has left without a word: {line:?}");
                assert!(shared.askers.get(asker).is_some_and(|place| place.agent == *agent), "{asker:?}");
                known += 1;
            }
        }
        assert_eq!(known, shared.askers.len(), "{shared:?}");
    }
}

struct Rig {
    guard: TouchGuard,
    now: Instant,
}

fn agent(name: &str) -> Arc<Path> {
    PathBuf::from(name).into()
}

fn need(slot: usize) -> Need {
    Need { slot, agent: agent("agent"), is_proxy: false }
}

impl Rig {
    fn new() -> Self {
        Self { guard: TouchGuard::default(), now: clock::now() }
    }

    /// The rigs of two fleets that were built together.
    fn two() -> [Self; 2] {
        let turns = SharedTurns::default();
        [(); 2].map(|()| Self { guard: turns.join(None), now: clock::now() })
    }

    fn may_dial(&mut self, slot: usize) -> bool {
        let may = self.guard.may_dial(need(slot), self.now);
        self.guard.check(|_| true);
        may
    }

    fn may_touch(&mut self, slot: usize) -> bool {
        let may = self.guard.may_touch(need(slot), self.now);
        self.guard.check(|_| true);
        may
    }

    fn answered(&mut self, slot: usize) {
        self.guard.answered(slot, self.now);
        self.guard.check(|_| true);
    }

    fn end(&mut self, slot: usize) {
        self.guard.ended(slot, self.now);
        self.guard.check(|_| true);
    }

    /// Lets time pass, and returns the hosts whose turns have begun.
    fn after(&mut self, time: Duration) -> Vec<usize> {
        self.now += time;
        self.guard.expire(self.now);
        self.guard.check(|_| true);
        std::iter::from_fn(|| self.guard.next_begun()).collect()
    }

    fn begun(&mut self) -> Vec<usize> {
        self.after(Duration::ZERO)
    }

    fn next_in(&self) -> Option<Duration> {
        self.guard.next_deadline(self.now).map(|at| at.saturating_duration_since(self.now))
    }
}

#[test]
fn hosts_are_dialled_one_after_the_other_in_the_order_in_which_they_came() {
    let mut rig = Rig::new();
    assert!(rig.may_dial(0));
    assert!(rig.may_dial(0), "it has its turn already");
    assert!(!rig.may_dial(1) && !rig.may_dial(2) && !rig.may_dial(1));
    assert!(rig.may_touch(0));
    assert_eq!(rig.after(Duration::from_secs(3600)), [] as [usize; 0], "a touch may take any time");
    assert_eq!(rig.next_in(), None);
    rig.answered(0);
    assert_eq!(rig.begun(), [] as [usize; 0], "the login has not ended");
    rig.end(0);
    assert_eq!(rig.begun(), [1]);
    assert!(rig.may_dial(1) && rig.may_touch(1));
    rig.end(1);
    assert_eq!(rig.begun(), [2]);
}

/// A server that is silent after the touch, or never gets as far as that, does not hold the others.
#[test]
fn a_slow_host_lets_the_next_one_begin_beside_it() {
    let mut rig = Rig::new();
    assert!(rig.may_dial(0) && !rig.may_dial(1) && !rig.may_dial(2));
    assert_eq!(rig.next_in(), Some(limits::TOUCH_TURN));
    assert_eq!(rig.after(limits::TOUCH_TURN - MOMENT), [] as [usize; 0]);
    assert_eq!(rig.after(MOMENT), [1]);
    assert_eq!(rig.after(limits::TOUCH_TURN - MOMENT), [] as [usize; 0], "one at a time");

    assert!(rig.may_touch(1));
    assert!(!rig.may_touch(0), "the slow one leaves and waits");
    rig.answered(1);
    assert_eq!(rig.after(limits::TOUCH_TURN), [2], "the end of its login takes too long");
    rig.end(2);
    rig.end(1);
    assert_eq!(rig.begun(), [0]);
}

/// A host whose server asks for a security key although other keys came first.
#[test]
fn a_host_that_is_connected_already_gets_the_touch_only_if_nobody_else_is_near() {
    let mut rig = Rig::new();
    assert!(rig.may_touch(0));
    assert!(!rig.may_touch(1) && !rig.may_dial(2));
    rig.end(0);
    assert_eq!(rig.begun(), [1]);
    assert!(!rig.may_touch(3), "the one whose turn it is will need it at once");
    assert!(rig.may_touch(1));
    rig.end(1);
    assert_eq!(rig.begun(), [2]);
    assert_eq!(rig.after(limits::TOUCH_TURN), [3]);
    assert!(rig.may_touch(2), "slow, but it has a turn, and no touch is awaited");
    assert!(!rig.may_touch(3));
}

/// A host that has a turn may wait for its proxy to be logged in to.
#[test]
fn a_proxy_is_waited_for_by_nobody_but_a_touch() {
    let mut rig = Rig::new();
    let proxy = Need { is_proxy: true, ..need(9) };
    assert!(rig.may_dial(0) && !rig.may_dial(1));
    assert!(rig.guard.may_dial(proxy.clone(), rig.now));
    assert!(rig.guard.may_touch(proxy.clone(), rig.now));
    assert!(!rig.may_touch(0));
    rig.end(9);
    assert_eq!(rig.begun(), [1]);

    assert!(rig.may_touch(1));
    assert!(!rig.may_dial(0) && !rig.guard.may_dial(proxy, rig.now));
    rig.end(1);
    assert_eq!(rig.begun(), [9], "before the host that came earlier");
    assert_eq!(rig.after(limits::TOUCH_TURN), [0]);
}

#[test]
fn a_host_that_leaves_gives_up_its_turn_or_its_place() {
    let mut rig = Rig::new();
    assert!(rig.may_dial(0) && !rig.may_dial(1) && !rig.may_dial(2));
    rig.end(1);
    rig.end(1);
    rig.end(0);
    assert_eq!(rig.begun(), [2]);
    rig.end(2);
    assert!(rig.may_dial(1));
    rig.answered(7);
    rig.end(7);
}

#[test]
fn agents_have_lines_of_their_own() {
    let mut rig = Rig::new();
    let other = Need { agent: agent("other"), ..need(1) };
    assert!(rig.may_touch(0) && rig.guard.may_touch(other.clone(), rig.now));
    assert!(rig.guard.is_touching(&other.agent) && !rig.guard.is_touching(Path::new("third")));
    // A host that changes its agent leaves its earlier line.
    assert!(!rig.may_touch(1));
    assert!(!rig.guard.is_touching(&other.agent));
}

#[test]
fn fleets_that_were_built_together_take_turns() {
    let [mut one, mut two] = Rig::two();
    assert!(one.may_dial(0) && !two.may_dial(0) && !one.may_dial(1));
    one.end(0);
    assert_eq!((one.begun(), two.begun()), (vec![], vec![0]));
    assert!(two.may_touch(0) && !one.may_touch(5));
    let now = one.now;
    drop(two);
    assert_eq!(one.begun(), [1], "a fleet that is gone holds up nobody");
    assert_eq!(one.now, now);
}

/// An agent answers what it was asked meanwhile a moment after the touch.
#[test]
fn an_agent_was_busy_until_the_last_touch_ended() {
    let [mut one, two] = Rig::two();
    let busy = |rig: &Rig, now| rig.guard.busy_until(&agent("agent"), now);
    let begun = one.now;
    assert_eq!(busy(&one, begun), None);
    assert!(one.may_touch(0));
    one.now += MOMENT;
    let touched = one.now;
    assert_eq!((busy(&one, touched), busy(&two, touched)), (Some(touched), Some(touched)));
    one.answered(0);
    one.end(0);
    assert_eq!(busy(&two, touched + MOMENT), Some(touched), "a fleet that asks for no touch sees it");
    one.now += MOMENT;
    assert!(one.may_touch(1));
    one.end(1);
    assert_eq!(busy(&two, one.now + MOMENT), Some(one.now), "a host that leaves ends its wait");
}

/// Whatever hosts do, at most one waits for a touch, and each gets its turn.
#[test]
fn any_order_of_calls_keeps_the_promise() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut rig = Rig::new();
        let mut left: Vec<usize> = (0..12).collect();
        let mut touching = None;
        for _ in 0..10_000 {
            let Some(slot) = (!left.is_empty()).then(|| random.pick(&left)) else { break };
            match random.below(6) {
                0 => _ = rig.may_dial(slot),
                1 if touching != Some(slot) && rig.may_touch(slot) => {
                    assert_eq!(touching, None, "seed {seed}: {slot} as well");
                    touching = Some(slot);
                }
                2 if touching == Some(slot) => {
                    rig.answered(slot);
                    touching = None;
                    rig.end(slot);
                    left.retain(|other| *other != slot);
                }
                3 if random.chance(20) => {
                    rig.end(slot);
                    touching.take_if(|touching| *touching == slot);
                }
                _ => _ = rig.after(limits::TOUCH_TURN / 2 * random.below(3) as u32),
            }
        }
        assert!(left.is_empty(), "seed {seed}: {left:?} never get a touch");
    }
}
