//! [`KeyOrder`]: keys in order, counted in chunks.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

use crate::model::{Blob, Revision};

/// The most keys in a chunk. A count walks the two chunks at the ends of its range and adds up those
/// between, so counting ten million keys costs about as much as counting a thousand.
const CHUNK_MAX: usize = 1024;

/// A chunk with fewer keys is merged with its neighbour if both fit well into one.
const CHUNK_MIN: usize = CHUNK_MAX / 4;

/// The number of chunks that can be skipped at the cost of one step: each is an entry of a small map.
const CHUNKS_PER_STEP: usize = 16;

pub(crate) type KeyBounds = (Bound<Blob>, Bound<Blob>);

/// Keys in order, each with the slot of its record.
///
/// Counting a range, and skipping the keys of a range that have not changed recently, costs a step per
/// chunk instead of a step per key.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    keys: BTreeMap<Blob, u32>,
    /// The chunks by their lower bounds, inclusive; the first one begins with the empty key.
    chunks: BTreeMap<Blob, Chunk>,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    keys: usize,
    /// The latest revision at which a key of the chunk may have changed.
    newest: Revision,
}

/// The next key of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundKey<'a> {
    pub(super) key: &'a Blob,
    pub(super) slot: u32,
    /// The steps taken to find it.
    pub(super) steps: usize,
}

impl KeyOrder {
    /// Builds the order of `keys`, each with its slot and the revision of its last change.
    pub(super) fn build(mut keys: Vec<(Blob, u32, Revision)>) -> Self {
        keys.sort_unstable();
        let mut chunks = BTreeMap::new();
        for part in keys.chunks(CHUNK_MAX / 2) {
            let newest = part.iter().map(|(_, _, revision)| *revision).max().unwrap_or(0);
            let first = if chunks.is_empty() { None } else { part.first() };
            let start = first.map(|(key, ..)| key.clone()).unwrap_or_default();
            chunks.insert(start, Chunk { keys: part.len(), newest });
        }
        Self { keys: keys.into_iter().map(|(key, slot, _)| (key, slot)).collect(), chunks }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a key that changed at `revision`; the key must not be in the order yet.
    pub(super) fn insert(&mut self, key: Blob, slot: u32, revision: Revision) {
        let up_to = (Bound::Unbounded, Bound::Included(&*key));
        let full = match self.chunks.range_mut::<[u8], _>(up_to).next_back() {
            Some((start, chunk)) => {
                chunk.keys += 1;
                chunk.newest = chunk.newest.max(revision);
                (chunk.keys > CHUNK_MAX).then(|| start.clone())
            }
            None => {
                self.chunks.insert(Blob::default(), Chunk { keys: 1, newest: revision });
                None
            }
        };
        self.keys.insert(key, slot);
        if let Some(start) = full {
            self.split(&start);
        }
    }

    /// Splits the chunk that begins with `start` in two.
    fn split(&mut self, start: &Blob) {
        let Some(chunk) = self.chunks.get_mut(start) else { return };
        let left = chunk.keys / 2;
        let from = (Bound::Included(&**start), Bound::Unbounded);
        let Some((middle, _)) = self.keys.range::<[u8], _>(from).nth(left) else { return };
        let right = Chunk { keys: chunk.keys - left, ..*chunk };
        chunk.keys = left;
        self.chunks.insert(middle.clone(), right);
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        if self.keys.remove(key).is_none() {
            return;
        }
        let up_to = (Bound::Unbounded, Bound::Included(key));
        let mut before = self.chunks.range_mut::<[u8], _>(up_to).rev();
        let Some((start, chunk)) = before.next() else { return };
        chunk.keys -= 1;
        if chunk.keys >= CHUNK_MIN {
            return;
        }
        let (start, small) = (start.clone(), *chunk);
        let Some((_, neighbour)) = before.next() else { return };
        if small.keys == 0 || neighbour.keys + small.keys <= CHUNK_MAX / 2 {
            neighbour.keys += small.keys;
            neighbour.newest = neighbour.newest.max(small.newest);
            self.chunks.remove(&*start);
        }
    }

    /// Returns the keys within `bounds`, ascending.
    pub(super) fn within(
        &self,
        bounds: KeyBounds,
    ) -> impl DoubleEndedIterator<Item = FoundKey<'_>> {
        self.keys.range(bounds).map(|(key, slot)| FoundKey { key, slot: *slot, steps: 1 })
    }

    /// Counts the keys within `bounds`; also returns the number of steps taken.
    pub(super) fn count(&self, bounds: &KeyBounds) -> (u64, usize) {
        let (mut count, mut walked, mut whole) = (0, 0, 0);
        let mut parts = self.parts(bounds);
        while let Some(part) = parts.next(false) {
            if part.is_whole {
                count += part.chunk.keys as u64;
                whole += 1;
            } else {
                let keys = self.keys.range::<[u8], _>(part.bounds).count();
                count += keys as u64;
                walked += keys;
            }
        }
        (count, 1 + walked + whole / CHUNKS_PER_STEP)
    }

    /// Returns the keys within `bounds` from chunks in which a key changed after `revision`.
    pub(super) fn changed_within<'a>(
        &'a self,
        bounds: &'a KeyBounds,
        revision: Revision,
        descending: bool,
    ) -> impl Iterator<Item = FoundKey<'a>> {
        let mut parts = self.parts(bounds);
        let mut skipped = 0;
        let changed = std::iter::from_fn(move || {
            loop {
                let part = parts.next(descending)?;
                if part.chunk.newest > revision {
                    return Some((part, std::mem::take(&mut skipped) / CHUNKS_PER_STEP));
                }
                skipped += 1;
            }
        });
        changed.flat_map(move |(part, skipped)| {
            let mut keys = self.keys.range::<[u8], _>(part.bounds);
            let mut extra = skipped;
            std::iter::from_fn(move || {
                let (key, slot) = if descending { keys.next_back() } else { keys.next() }?;
                let steps = 1 + std::mem::take(&mut extra);
                Some(FoundKey { key, slot: *slot, steps })
            })
        })
    }

    /// Returns the chunks that `bounds` touch.
    fn parts<'a>(&'a self, bounds: &'a KeyBounds) -> ChunkParts<'a> {
        let (Bound::Included(start) | Bound::Excluded(start)) = &bounds.0 else {
            return ChunkParts::new(self.chunks.range::<[u8], _>(as_slices(bounds)), bounds);
        };
        let up_to = (Bound::Unbounded, Bound::Included(&**start));
        let first = self.chunks.range::<[u8], _>(up_to).next_back().map(|(start, _)| &**start);
        let from = (Bound::Included(first.unwrap_or_default()), as_slice(&bounds.1));
        ChunkParts::new(self.chunks.range::<[u8], _>(from), bounds)
    }
}

/// The chunks that some bounds touch, taken from either end.
struct ChunkParts<'a> {
    rest: Range<'a, Blob, Chunk>,
    /// The next chunk from the front, taken ahead.
    front: Option<(&'a Blob, &'a Chunk)>,
    /// The end of the last remaining chunk; `None` at the end of all keys.
    end: Option<&'a Blob>,
    bounds: &'a KeyBounds,
}

/// The part of a chunk that lies within some bounds.
#[derive(Clone, Copy)]
struct ChunkPart<'a> {
    chunk: Chunk,
    is_whole: bool,
    bounds: (Bound<&'a [u8]>, Bound<&'a [u8]>),
}

impl<'a> ChunkParts<'a> {
    fn new(mut rest: Range<'a, Blob, Chunk>, bounds: &'a KeyBounds) -> Self {
        Self { front: rest.next(), rest, end: None, bounds }
    }

    fn next(&mut self, descending: bool) -> Option<ChunkPart<'a>> {
        if descending {
            let (start, chunk) = self.rest.next_back().or_else(|| self.front.take())?;
            let end = self.end.replace(start);
            return Some(self.part(start, end, *chunk));
        }
        let (start, chunk) = self.front.take()?;
        self.front = self.rest.next();
        let end = self.front.map(|(start, _)| start);
        Some(self.part(start, end, *chunk))
    }

    fn part(&self, start: &'a Blob, end: Option<&'a Blob>, chunk: Chunk) -> ChunkPart<'a> {
        let (from, to) = as_slices(self.bounds);
        let (from_start, from) = match from {
            Bound::Included(from) if **start < *from => (false, Bound::Included(from)),
            Bound::Excluded(from) if **start <= *from => (false, Bound::Excluded(from)),
            _ => (true, Bound::Included(&**start)),
        };
        let (to_end, to) = match (to, end) {
            (Bound::Unbounded, None) => (true, Bound::Unbounded),
            (Bound::Included(to) | Bound::Excluded(to), Some(end)) if **end <= *to => {
                (true, Bound::Excluded(&**end))
            }
            (Bound::Unbounded, Some(end)) => (true, Bound::Excluded(&**end)),
            (to, _) => (false, to),
        };
        ChunkPart { chunk, is_whole: from_start && to_end, bounds: (from, to) }
    }
}

fn as_slice(bound: &Bound<Blob>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn as_slices(bounds: &KeyBounds) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (as_slice(&bounds.0), as_slice(&bounds.1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::KeyRange;

    /// Operations on enough keys for several chunks, inserted and removed in runs.
    #[derive(Debug, Clone)]
    enum Step {
        Insert { from: u32, keys: u32, stride: u32, revision: Revision },
        Remove { from: u32, keys: u32, stride: u32 },
    }

    const KEYS: u32 = 8_000;

    fn key(number: u32) -> Blob {
        Blob::from(format!("{:05}", number % KEYS))
    }

    fn step() -> impl Strategy<Value = Step> {
        let run = || (0..KEYS, 1..3_000u32, 1..5u32);
        prop_oneof![
            3 => (run(), 1..20u64).prop_map(|((from, keys, stride), revision)| Step::Insert {
                from,
                keys,
                stride,
                revision,
            }),
            2 => run().prop_map(|(from, keys, stride)| Step::Remove { from, keys, stride }),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound<Blob>> {
        prop_oneof![
            Just(Bound::Unbounded),
            (0..KEYS).prop_map(|at| Bound::Included(key(at))),
            (0..KEYS).prop_map(|at| Bound::Excluded(key(at))),
        ]
    }

    fn are_ordered((from, to): &KeyBounds) -> bool {
        match (from, to) {
            (Bound::Included(from), Bound::Included(to)) => from <= to,
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from < to,
            _ => true,
        }
    }

    fn run(order: &mut KeyOrder, model: &mut BTreeMap<Blob, (u32, Revision)>, step: Step) {
        match step {
            Step::Insert { from, keys, stride, revision } => {
                for number in (from..).step_by(stride as usize).take(keys as usize) {
                    let key = key(number);
                    if !model.contains_key(&key) {
                        model.insert(key.clone(), (number, revision));
                        order.insert(key, number, revision);
                    }
                }
            }
            Step::Remove { from, keys, stride } => {
                for number in (from..).step_by(stride as usize).take(keys as usize) {
                    model.remove(&key(number));
                    order.remove(&key(number));
                }
            }
        }
    }

    fn assert_is_chunked(order: &KeyOrder) {
        let keys: usize = order.chunks.values().map(|chunk| chunk.keys).sum();
        assert_eq!(keys, order.len());
        assert!(order.chunks.values().all(|chunk| chunk.keys <= CHUNK_MAX));
        assert!(order.chunks.first_key_value().is_none_or(|(start, _)| start.is_empty()));
    }

    proptest! {
        #![proptest_config(crate::store::tests::cases(60))]

        #[test]
        fn s10_a_count_is_that_of_a_walk_and_costs_less(
            steps in vec(step(), 1..12),
            bounds in vec((bound(), bound()), 20),
            since in 0..20u64,
            rebuilt in any::<bool>(),
        ) {
            let (mut order, mut model) = (KeyOrder::default(), BTreeMap::new());
            for step in steps {
                run(&mut order, &mut model, step);
                assert_is_chunked(&order);
            }
            if rebuilt {
                let all = model.iter().map(|(key, (slot, at))| (key.clone(), *slot, *at)).collect();
                order = KeyOrder::build(all);
                assert_is_chunked(&order);
            }
            for bounds in bounds.into_iter().filter(are_ordered) {
                let (count, steps) = order.count(&bounds);
                prop_assert_eq!(count, model.range(bounds.clone()).count() as u64);
                prop_assert!(steps <= 2 * CHUNK_MAX + 2);
                for descending in [false, true] {
                    let found = order.changed_within(&bounds, since, descending);
                    let found: Vec<u32> = found.map(|found| found.slot).collect();
                    let mut all: Vec<_> = model.range(bounds.clone()).map(|(_, it)| *it).collect();
                    if descending {
                        all.reverse();
                    }
                    // Every changed key is found; others only because they share a chunk with one.
                    let changed = all.iter().filter(|(_, at)| *at > since).map(|(slot, _)| *slot);
                    let mut rest = found.iter();
                    for slot in changed {
                        prop_assert!(rest.any(|found| *found == slot));
                    }
                    let mut rest = all.iter();
                    for slot in &found {
                        prop_assert!(rest.any(|(known, _)| known == slot));
                    }
                }
            }
        }
    }

    #[test]
    fn s10_keys_that_have_not_changed_for_long_are_passed_over() {
        let mut order = KeyOrder::default();
        for number in 0..100_000 {
            order.insert(Blob::from(format!("{number:06}")), number, Revision::from(number));
        }
        let bounds = KeyRange::all().bounds();
        let steps: usize =
            order.changed_within(&bounds, 99_990, false).map(|found| found.steps).sum();
        assert!(steps <= CHUNK_MAX + 100_000 / CHUNK_MIN / CHUNKS_PER_STEP, "{steps}");
        let last = order.changed_within(&bounds, 99_990, true).next().map(|found| found.slot);
        assert_eq!(last, Some(99_999));
    }

    #[test]
    fn chunks_of_keys_that_are_gone_are_gone() {
        let mut order = KeyOrder::default();
        for number in 0..100_000 {
            order.insert(key_of(number), number, 1);
        }
        for number in 0..99_000 {
            order.remove(&key_of(number));
        }
        assert_is_chunked(&order);
        assert!(order.chunks.len() <= 1 + 2 * 1_000 / CHUNK_MIN, "{}", order.chunks.len());
    }

    fn key_of(number: u32) -> Blob {
        Blob::from(format!("{number:06}"))
    }
}
