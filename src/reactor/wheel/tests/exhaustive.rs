//! Every sequence of up to six operations on a wheel of two levels of four slots, which spans 16
//! ticks.

use super::model::{Model, Op, When};
use super::*;

const DEPTH: usize = if cfg!(miri) { 2 } else { 6 };

/// The distances reach the current slot, level 0, level 1 and beyond the span; picks are the first
/// two timers, live or not.
const ALPHABET: [Op; 14] = [
    Op::Arm(When::Before(ms(2))),
    Op::Arm(When::After(ms(1))),
    Op::Arm(When::After(ms(6))),
    Op::Arm(When::After(ms(17))),
    Op::Arm(When::SameAs(0)),
    Op::Disarm(0),
    Op::Disarm(1),
    Op::Rearm(0, When::After(ms(7))),
    Op::Rearm(0, When::SameAs(1)),
    Op::Advance(ms(1)),
    Op::Advance(ms(6)),
    Op::Advance(ms(16)),
    Op::AdvanceToNext(Duration::ZERO),
    Op::NextDeadline,
];

fn extend(model: &Model<2, 4>, depth: usize, visited: &mut u64) {
    *visited += 1;
    if depth < DEPTH {
        for op in ALPHABET {
            let mut longer = model.clone();
            longer.apply(op);
            extend(&longer, depth + 1, visited);
        }
    }
    // Last, because asking for the deadline changes the cache, which the sequences must control.
    model.wheel.assert_consistent();
    model.check_next_deadline();
}

#[test]
fn all_sequences_of_six_operations() {
    let origin = origin();
    let mut visited = 0;
    extend(&Model::new(origin, end_of_time(origin)), 0, &mut visited);
    assert_eq!(visited, (0..=DEPTH as u32).map(|n| (ALPHABET.len() as u64).pow(n)).sum::<u64>());
}
