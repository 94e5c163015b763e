use std::time::Duration;

use super::*;
use crate::clock;
use crate::session::TrialEnd::{Accepted, Refused, Unanswered};

impl PasswordGuard {
    /// Checks that no password can be refused too often, and that everyone in a line waits for a
    /// trial that is under way. `tries` says whether an asker of this fleet is where the guard
    /// believes it is.
    pub(in crate::fleet) fn check(&self, tries: impl Fn(Asker) -> bool) {
        let mut known = 0;
        let shared = self.lock();
        for (number, password) in shared.passwords.iter().enumerate() {
            let Standing { accepted, refused_by, trials, line } = password;
            assert!(*accepted || refused_by.len() + trials.len() <= limits::REFUSALS, "{password:?}");
            assert_eq!(shared.contested.contains(&number), !line.is_empty(), "{password:?}");
            assert!(line.is_empty() || !trials.is_empty(), "nobody tries it: {password:?}");
            for (fleet, asker) in trials.iter().map(|(asker, _)| asker).chain(line.values()) {
                let is_there = *fleet != self.fleet || tries(*asker);
                assert!(is_there, "{asker:?} has left without a word: {password:?}");
                known += 1;
            }
        }
        assert_eq!(known, shared.askers.len(), "{shared:?}");
    }
}

struct Rig {
    guard: PasswordGuard,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self { guard: PasswordGuard::default(), now: clock::now() }
    }

    /// The rigs of two fleets that were built together.
    fn two() -> [Self; 2] {
        let trials = SharedTrials::default();
        [(); 2].map(|()| Self { guard: trials.join(None), now: clock::now() })
    }

    fn ask(&mut self, slot: usize) {
        self.ask_for(slot, b"secret");
    }

    fn ask_for(&mut self, slot: usize, password: &[u8]) {
        let asker = Asker { slot, of: TrialOf::Login };
        self.guard.request(asker, UserPassword::new(c"deploy", password), self.now);
        self.guard.check(|_| true);
    }

    fn end(&mut self, slot: usize, end: TrialEnd) {
        let asker = Asker { slot, of: TrialOf::Login };
        self.guard.ended(asker, end, || format!("web{slot}").into(), self.now);
        self.guard.check(|_| true);
    }

    /// The answers so far, as `slot` or as `slot: hosts that have refused`.
    fn answers(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.guard.next_answer())
            .map(|(asker, permission)| match permission {
                Permission::Granted => asker.slot.to_string(),
                Permission::Withheld(hosts) => format!("{}: {}", asker.slot, hosts.join(", ")),
            })
            .collect()
    }
}

#[test]
fn an_accepted_password_is_free_for_all() {
    let mut rig = Rig::new();
    (0..4).for_each(|slot| rig.ask(slot));
    assert_eq!(rig.answers(), ["0"]);
    rig.end(0, Accepted);
    assert_eq!(rig.answers(), ["1", "2", "3"]);
    rig.end(1, Refused);
    rig.end(2, Refused);
    rig.ask(5);
    assert_eq!(rig.answers(), ["5"], "a host with another password is no reason to doubt this one");
}

#[test]
fn after_two_refusals_no_host_gets_the_password() {
    let mut rig = Rig::new();
    (0..5).for_each(|slot| rig.ask(slot));
    assert_eq!(rig.answers(), ["0"]);
    rig.end(0, Refused);
    assert_eq!(rig.answers(), ["1"]);
    rig.end(1, Refused);
    assert_eq!(rig.answers(), ["2: web0, web1", "3: web0, web1", "4: web0, web1"]);
    rig.ask(9);
    rig.ask_for(8, b"another");
    assert_eq!(rig.answers(), ["9: web0, web1", "8"]);
}

#[test]
fn a_host_that_was_not_tried_or_does_not_answer_passes_the_trial_on() {
    let mut rig = Rig::new();
    (0..6).for_each(|slot| rig.ask(slot));
    for slot in 0..4 {
        assert_eq!(rig.answers(), [slot.to_string()]);
        rig.end(slot, Unanswered);
    }
    rig.end(5, Unanswered);
    rig.end(4, Accepted);
    assert_eq!(rig.answers(), [""; 0], "4 has ended before it was told, and 5 has left the line");
    rig.ask(6);
    assert_eq!(rig.answers(), ["6"]);
}

#[test]
fn a_silent_host_holds_the_others_up_for_a_while_only() {
    let mut rig = Rig::new();
    (0..5).for_each(|slot| rig.ask(slot));
    assert_eq!(rig.answers(), ["0"]);
    let due = rig.now + limits::TRIAL_TIME;
    assert_eq!(rig.guard.next_deadline(rig.now), Some(due));
    rig.now = due - Duration::from_nanos(1);
    rig.guard.expire(rig.now);
    assert_eq!(rig.answers(), [""; 0]);
    rig.now = due;
    rig.guard.expire(rig.now);
    assert_eq!(rig.answers(), ["1"]);
    // If both refuse, the limit is reached. So no third trial begins beside them.
    assert_eq!(rig.guard.next_deadline(rig.now), None);
    rig.now += 10 * limits::TRIAL_TIME;
    rig.guard.expire(rig.now);
    assert_eq!(rig.answers(), [""; 0]);
    rig.end(0, Unanswered);
    assert_eq!(rig.answers(), ["2"], "1 is overdue as well");
    rig.end(1, Accepted);
    assert_eq!(rig.answers(), ["3", "4"]);
    rig.end(2, Refused);
}

#[test]
fn users_and_passwords_are_separate_secrets() {
    let mut rig = Rig::new();
    rig.ask_for(0, b"hunter");
    rig.ask_for(1, b"gatherer");
    let other = UserPassword::new(c"root", b"hunter");
    rig.guard.request(Asker { slot: 2, of: TrialOf::Login }, other, rig.now);
    assert_eq!(rig.answers(), ["0", "1", "2"]);
    let text = format!("{:?}", rig.guard);
    assert!(!text.contains("hunter") && !text.contains("[104, 117, 110"), "{text}");
}

/// Nobody waits for ever, and at most two hosts refuse, whatever happens in whatever order.
#[test]
fn in_any_order_of_events_the_limit_holds_and_the_line_moves() {
    use crate::session::Jitter;
    for seed in 0..2_000 {
        let (mut rig, mut random) = (Rig::new(), Jitter::new(seed));
        let mut below = |bound: u64| random.next() % bound;
        let (mut refusals, mut is_accepted) = (0, false);
        let mut waiting: Vec<usize> = Vec::new();
        let mut trying: Vec<usize> = Vec::new();
        let is_right = seed % 3 == 0;
        for step in 0..200 {
            match below(4) {
                0 => {
                    rig.ask(step);
                    waiting.push(step);
                }
                1 if !waiting.is_empty() => {
                    let slot = waiting.swap_remove(below(waiting.len() as u64) as usize);
                    rig.end(slot, Unanswered);
                }
                2 if !trying.is_empty() => {
                    let slot = trying.swap_remove(below(trying.len() as u64) as usize);
                    let end = match below(3) {
                        0 => Unanswered,
                        _ if is_right => Accepted,
                        _ => Refused,
                    };
                    refusals += usize::from(end == Refused);
                    is_accepted |= end == Accepted;
                    rig.end(slot, end);
                }
                _ => {
                    rig.now += Duration::from_secs(below(7));
                    rig.guard.expire(rig.now);
                }
            }
            while let Some((asker, permission)) = rig.guard.next_answer() {
                waiting.retain(|slot| *slot != asker.slot);
                match permission {
                    Permission::Granted => trying.push(asker.slot),
                    Permission::Withheld(hosts) => assert_eq!(hosts.len(), refusals),
                }
            }
            assert!(is_accepted || trying.len() + refusals <= limits::REFUSALS, "seed {seed}");
            assert!(waiting.is_empty() || !trying.is_empty(), "seed {seed}: the line stands still");
        }
    }
}

#[test]
fn fleets_that_were_built_together_count_refusals_together() {
    let [mut one, mut two] = Rig::two();
    one.ask(0);
    two.ask(0);
    two.ask(1);
    assert_eq!((one.answers(), two.answers()), (vec!["0".to_owned()], vec![]));
    one.end(0, Refused);
    assert_eq!(two.answers(), ["0"]);
    two.end(0, Refused);
    assert_eq!(two.answers(), ["1: web0, web0"]);
    one.ask(1);
    assert_eq!(one.answers(), ["1: web0, web0"]);
}

#[test]
fn a_fleet_that_is_dropped_passes_its_trials_on() {
    let [mut one, mut two] = Rig::two();
    one.ask(0);
    one.ask(1);
    two.ask(0);
    assert_eq!((one.answers(), two.answers()), (vec!["0".to_owned()], vec![]));
    drop(one);
    two.guard.expire(two.now);
    assert_eq!(two.answers(), ["0"]);
    two.end(0, Accepted);
    two.ask(1);
    assert_eq!(two.answers(), ["1"]);
}
