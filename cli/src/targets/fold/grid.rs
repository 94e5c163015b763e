//! Folding names with several numbers: `r[1-2]n[01-40]`.
//!
//! The result is that of ClusterShell's `RangeSetND`, which compares each vector with each other.
//! Here, a table finds the vectors that can be merged, so that the time is about linear in names.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use super::index::Index;

/// A product of sets of indexes, one for each dimension.
pub type Block = Vec<Vec<Index>>;

/// Merges points of `dimensions` indexes each into blocks, in ClusterShell's order.
pub fn fold(points: &[Index], dimensions: usize) -> Vec<Block> {
    let mut folding = Folding::new();
    let distinct: HashSet<&[Index]> = points.chunks_exact(dimensions).collect();
    for point in distinct {
        let row = point.iter().map(|index| folding.sets.of_one(*index)).collect();
        folding.rows.push(Some(row));
    }
    // First, neighbours are merged, until that changes nothing; then each is compared with all.
    let mut whole = false;
    loop {
        folding.sort();
        let changed = if whole { folding.merge_all() } else { folding.merge_neighbours() };
        if !changed {
            if whole {
                break;
            }
            whole = true;
        }
    }
    let Folding { sets, rows } = folding;
    let block = |row: Row| row.iter().map(|set| sets.all[*set as usize].indexes.clone()).collect();
    rows.into_iter().flatten().map(block).collect()
}

/// The number of a set in [`Sets`].
type SetId = u32;

/// A block, by its sets.
type Row = Box<[SetId]>;

/// The id of a set that no row has.
const UNKNOWN: SetId = SetId::MAX;

/// Marks the dimension that a bucket leaves open.
const OPEN: SetId = SetId::MAX - 1;

/// Sums of keyed hashes: equal sums mean equal sets, but for a chance of about 2⁻¹⁰⁰.
type Sum = u128;

#[derive(Debug)]
struct Set {
    /// Sorted.
    indexes: Vec<Index>,
    sum: Sum,
}

/// Each set of indexes once.
struct Sets {
    keys: [RandomState; 2],
    all: Vec<Set>,
    by_sum: HashMap<Sum, SetId>,
}

impl Sets {
    fn of_one(&mut self, index: Index) -> SetId {
        let [high, low] = [0, 1].map(|half: usize| u128::from(self.keys[half].hash_one(index)));
        self.add(vec![index], high << 64 | low)
    }

    fn add(&mut self, mut indexes: Vec<Index>, sum: Sum) -> SetId {
        *self.by_sum.entry(sum).or_insert_with(|| {
            indexes.sort_unstable();
            self.all.push(Set { indexes, sum });
            (self.all.len() - 1) as SetId
        })
    }

    fn find(&self, sum: Sum) -> SetId {
        self.by_sum.get(&sum).copied().unwrap_or(UNKNOWN)
    }
}

/// A row that grows. What it takes is disjoint from it, as all rows are from each other.
struct Growing {
    /// [`UNKNOWN`] where the set is not that of any row.
    row: Row,
    sums: Vec<Sum>,
    /// The new sets, unsorted.
    grown: Vec<Option<Vec<Index>>>,
}

impl Growing {
    fn new(row: Row, sets: &Sets) -> Self {
        let sums = row.iter().map(|set| sets.all[*set as usize].sum).collect();
        let grown = vec![None; row.len()];
        Self { row, sums, grown }
    }

    /// The dimension in which `other` differs; `None` if there are several.
    fn only_difference(&self, other: &Row) -> Option<usize> {
        let mut differing = (0..self.row.len()).filter(|at| self.row[*at] != other[*at]);
        differing.next().filter(|_| differing.next().is_none())
    }

    fn take(&mut self, dimension: usize, other: &Row, sets: &Sets) {
        let own = self.row[dimension];
        let more = &sets.all[other[dimension] as usize];
        self.grown[dimension]
            .get_or_insert_with(|| sets.all[own as usize].indexes.clone())
            .extend_from_slice(&more.indexes);
        self.sums[dimension] = self.sums[dimension].wrapping_add(more.sum);
        self.row[dimension] = sets.find(self.sums[dimension]);
    }

    fn finish(mut self, sets: &mut Sets) -> Row {
        for (dimension, grown) in self.grown.into_iter().enumerate() {
            if let Some(indexes) = grown {
                self.row[dimension] = sets.add(indexes, self.sums[dimension]);
            }
        }
        self.row
    }
}

struct Folding {
    sets: Sets,
    /// `None` was merged into another row.
    rows: Vec<Option<Row>>,
}

impl Folding {
    fn new() -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        let sets = Sets { keys, all: Vec::new(), by_sum: HashMap::new() };
        Self { sets, rows: Vec::new() }
    }

    /// Large blocks first, then those with large sets, then by the texts of the first and the last
    /// index.
    fn sort(&mut self) {
        let sets = &self.sets.all;
        self.rows.retain(Option::is_some);
        self.rows.sort_by_cached_key(|row| {
            let sets = row.iter().flatten().map(|set| sets[*set as usize].indexes.as_slice());
            let size = sets.clone().map(|indexes| indexes.len() as u64).product::<u64>();
            (Reverse(size), sets.filter_map(SetOrder::of).collect::<Box<[SetOrder]>>())
        });
    }

    /// Merges each row with those after it, up to the first that does not fit.
    fn merge_neighbours(&mut self) -> bool {
        let mut changed = false;
        let mut at = 0;
        while at < self.rows.len() {
            let start = at;
            at += 1;
            let Some(row) = self.rows[start].take() else { continue };
            let mut growing = Growing::new(row, &self.sets);
            while let Some(Some(next)) = self.rows.get(at) {
                let Some(dimension) = growing.only_difference(next) else { break };
                growing.take(dimension, next, &self.sets);
                self.rows[at] = None;
                changed = true;
                at += 1;
            }
            self.rows[start] = Some(growing.finish(&mut self.sets));
        }
        changed
    }

    /// Merges each row with all after it that fit, in their order.
    fn merge_all(&mut self) -> bool {
        let mut buckets = Buckets::new(&self.rows);
        let mut changed = false;
        for start in 0..self.rows.len() {
            let Some(row) = self.rows[start].take() else { continue };
            buckets.remove(&row, start);
            let mut growing = Growing::new(row, &self.sets);
            let mut after = start;
            while let Some((at, dimension)) = buckets.next(&growing.row, after) {
                let Some(next) = self.rows[at].take() else { break };
                buckets.remove(&next, at);
                growing.take(dimension, &next, &self.sets);
                changed = true;
                after = at;
            }
            self.rows[start] = Some(growing.finish(&mut self.sets));
        }
        changed
    }
}

/// How a set is ordered among those of other rows in the same dimension.
#[derive(PartialEq, Eq)]
struct SetOrder {
    len: usize,
    first: Index,
    last: Index,
}

impl SetOrder {
    fn of(indexes: &[Index]) -> Option<Self> {
        let (first, last) = (*indexes.first()?, *indexes.last()?);
        Some(Self { len: indexes.len(), first, last })
    }
}

impl Ord for SetOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_len = other.len.cmp(&self.len);
        by_len.then(self.first.cmp_text(other.first)).then(self.last.cmp_text(other.last))
    }
}

impl PartialOrd for SetOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The rows that have not been merged, by all sets but one.
struct Buckets {
    rows: HashMap<Row, BTreeSet<usize>>,
}

impl Buckets {
    fn new(rows: &[Option<Row>]) -> Self {
        let mut buckets: HashMap<Row, BTreeSet<usize>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            for dimension in 0..row.as_ref().map_or(0, |row| row.len()) {
                let Some(mut key) = row.clone() else { continue };
                key[dimension] = OPEN;
                buckets.entry(key).or_default().insert(at);
            }
        }
        Self { rows: buckets }
    }

    fn remove(&mut self, row: &Row, at: usize) {
        let mut key = row.clone();
        for dimension in 0..row.len() {
            key[dimension] = OPEN;
            if let Some(bucket) = self.rows.get_mut(&key) {
                bucket.remove(&at);
            }
            key[dimension] = row[dimension];
        }
    }

    /// The next row that differs in one dimension only, and the dimension.
    fn next(&self, row: &Row, after: usize) -> Option<(usize, usize)> {
        let mut key = row.clone();
        let mut found: Option<(usize, usize)> = None;
        for dimension in 0..row.len() {
            key[dimension] = OPEN;
            let next = self.rows.get(&key).and_then(|bucket| bucket.range(after + 1..).next());
            if let Some(&at) = next.filter(|at| found.is_none_or(|(best, _)| **at < best)) {
                found = Some((at, dimension));
            }
            key[dimension] = row[dimension];
        }
        found
    }
}
