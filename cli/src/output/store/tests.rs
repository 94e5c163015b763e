use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn content(store: &Store, at: Position) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.content(at).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn equal_outputs_are_kept_once_in_whatever_pieces_they_arrive() {
    let mut store = Store::new(MEMORY_BYTES);
    let output = b"one\ntwo\nthree\n";
    let mut ends = BTreeSet::new();
    for size in 1..=output.len() {
        let mut at = Position::default();
        for piece in output.chunks(size) {
            at = store.append(at, piece).unwrap();
        }
        ends.insert((at.node, at.offset));
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(store.len(), output.len() as u64);
}

#[test]
fn outputs_part_where_they_differ_and_stay_whole() {
    let mut store = Store::new(MEMORY_BYTES);
    let start = Position::default();
    let a = store.append(start, b"uptime 5 days").unwrap();
    let b = store.append(start, b"uptime 7 days").unwrap();
    let short = store.append(start, b"uptime").unwrap();
    let a_longer = store.append(a, b", 2 users").unwrap();
    let b_longer = store.append(b, b", 2 users").unwrap();
    let shown = |at| String::from_utf8(content(&store, at)).unwrap();
    assert_eq!(
        [a, b, short, a_longer, b_longer].map(shown),
        ["uptime 5 days", "uptime 7 days", "uptime", "uptime 5 days, 2 users", "uptime 7 days, 2 users"]
    );
    assert_eq!(store.nodes.len(), 2);
}

#[test]
fn output_beyond_the_bound_is_in_a_file() {
    let mut store = Store::new(128 * 1024);
    let output: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut ends = [Position::default(); 3];
    for piece in output.chunks(40_000) {
        for at in &mut ends {
            *at = store.append(*at, piece).unwrap();
        }
    }
    let other = store.append(Position::default(), &output[..1_000_000]).unwrap();
    let other = store.append(other, b"other").unwrap();
    assert_eq!(ends, [ends[0]; 3]);
    assert_eq!(content(&store, ends[0]), output);
    assert_eq!(content(&store, other), [&output[..1_000_000], b"other"].concat());
    assert_eq!(store.len(), output.len() as u64 + 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Outputs of few fragments, so that many begin alike, in random pieces that are interleaved.
    #[test]
    fn a_position_stands_for_its_output_and_for_no_other(
        appended in vec((0..6_usize, "[ab]{0,5}|common text that is longer\n"), 0..60),
        memory in prop_oneof![Just(0), Just(100), Just(MEMORY_BYTES)],
    ) {
        let mut store = Store::new(memory);
        let mut outputs: BTreeMap<usize, (Position, Vec<u8>)> = BTreeMap::new();
        for (host, text) in &appended {
            let (at, output) = outputs.entry(*host).or_default();
            *at = store.append(*at, text.as_bytes()).unwrap();
            output.extend_from_slice(text.as_bytes());
        }
        let different: BTreeSet<&[u8]> = outputs.values().map(|(_, output)| &**output).collect();
        prop_assert!(store.nodes.len() <= different.len().max(1));
        for (at, output) in outputs.values() {
            prop_assert_eq!(&content(&store, *at), output);
            for (other_at, other) in outputs.values() {
                prop_assert_eq!(at == other_at, output == other);
                prop_assert_eq!(store.compare(*at, *other_at).unwrap(), output.cmp(other));
            }
        }
    }
}
