//! [`WatcherRegistry`]: finds the watchers of a key.

use std::ops::Bound;

use crate::environment::RandomState;
use hashbrown::HashMap;

use super::interval_tree::IntervalTree;
use super::watcher_set::{WatcherIndex, WatcherSet};
use crate::model::{Blob, KeyRange};

/// Distinct prefix lengths that are looked up by hash: each costs one look-up per changed key that is
/// at least as long.
const PREFIX_LENGTHS_MAX: usize = 32;

/// A table this many times larger than its entries need is shrunk.
const SLACK_MAX: usize = 8;

type WatcherMap = HashMap<Blob, WatcherSet, RandomState>;

/// Finds the watchers of a key: a set of pairs of a [`KeyRange`] and a watcher.
///
/// The cost of a changed key does not depend on the number of watchers of other keys and other
/// prefixes: one look-up among keys and one for each length of prefix. Other ranges, and prefixes of
/// lengths beyond [`PREFIX_LENGTHS_MAX`], add a search in a tree.
///
/// Keys are shared with the ranges that they came from, and nothing is kept for a range without
/// watchers.
#[derive(Debug, Default)]
pub(crate) struct WatcherRegistry {
    keys: WatcherMap,
    /// Prefixes of all lengths together: equal bytes have equal lengths.
    prefixes: WatcherMap,
    /// The lengths of `prefixes`, ascending.
    prefix_lengths: Vec<PrefixLength>,
    /// Prefixes that were registered when there were [`PREFIX_LENGTHS_MAX`] other lengths. They stay
    /// when a length becomes free, so a prefix may be here, in `prefixes`, or in both with different
    /// watchers. Separate from `ranges`, which may contain a range with the same bounds.
    further_prefixes: IntervalTree<WatcherSet>,
    ranges: IntervalTree<WatcherSet>,
}

#[derive(Debug)]
struct PrefixLength {
    length: usize,
    /// The number of distinct prefixes of this length.
    prefixes: usize,
}

impl WatcherRegistry {
    /// Returns the number of pairs.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let mut pairs = 0;
        let maps = self.keys.values().chain(self.prefixes.values());
        let trees = self.further_prefixes.values().chain(self.ranges.values());
        for watchers in maps.chain(trees) {
            watchers.for_each(|_| pairs += 1);
        }
        pairs
    }

    /// Registers `watcher` for `range`; returns `false` if it already was. O(1) amortised for a key or
    /// prefix, O(log n) for other ranges.
    pub(crate) fn insert(&mut self, range: &KeyRange, watcher: WatcherIndex) -> bool {
        match range {
            KeyRange::Key(key) => add_to_map(&mut self.keys, key, watcher),
            KeyRange::Prefix(prefix) => self.insert_prefix(prefix, range, watcher),
            KeyRange::Range { .. } => add_to_tree(&mut self.ranges, range, watcher),
        }
    }

    /// Undoes [`insert`](Self::insert), at the same cost however many watchers have the same range;
    /// returns `false` if `watcher` was not registered for `range`.
    pub(crate) fn remove(&mut self, range: &KeyRange, watcher: WatcherIndex) -> bool {
        match range {
            KeyRange::Key(key) => remove_from_map(&mut self.keys, key, watcher),
            KeyRange::Prefix(prefix) => {
                self.remove_prefix(prefix, watcher)
                    || remove_from_tree(&mut self.further_prefixes, range, watcher)
            }
            KeyRange::Range { .. } => remove_from_tree(&mut self.ranges, range, watcher),
        }
    }

    /// Calls `f` with the watcher of every pair whose range contains `key`, in no particular order:
    /// once per such range if a watcher is registered for several.
    pub(crate) fn for_each(&self, key: &[u8], mut f: impl FnMut(WatcherIndex)) {
        if let Some(watchers) = self.keys.get(key) {
            watchers.for_each(&mut f);
        }
        for PrefixLength { length, .. } in &self.prefix_lengths {
            let Some(start) = key.get(..*length) else { break };
            if let Some(watchers) = self.prefixes.get(start) {
                watchers.for_each(&mut f);
            }
        }
        for tree in [&self.further_prefixes, &self.ranges] {
            tree.for_each_containing(key, |watchers| watchers.for_each(&mut f));
        }
    }

    fn insert_prefix(&mut self, prefix: &Blob, range: &KeyRange, watcher: WatcherIndex) -> bool {
        let place = self.prefix_length(prefix);
        if place.is_err() && self.prefix_lengths.len() >= PREFIX_LENGTHS_MAX {
            return add_to_tree(&mut self.further_prefixes, range, watcher);
        }
        if is_in_tree(&self.further_prefixes, range, watcher) {
            return false;
        }
        let before = self.prefixes.len();
        let added = add_to_map(&mut self.prefixes, prefix, watcher);
        let new = self.prefixes.len() - before;
        match place {
            Ok(place) => {
                if let Some(length) = self.prefix_lengths.get_mut(place) {
                    length.prefixes += new;
                }
            }
            Err(place) => {
                let length = PrefixLength { length: prefix.len(), prefixes: new };
                self.prefix_lengths.insert(place, length);
            }
        }
        added
    }

    fn remove_prefix(&mut self, prefix: &Blob, watcher: WatcherIndex) -> bool {
        let before = self.prefixes.len();
        let removed = remove_from_map(&mut self.prefixes, prefix, watcher);
        if self.prefixes.len() < before
            && let Ok(place) = self.prefix_length(prefix)
            && let Some(length) = self.prefix_lengths.get_mut(place)
        {
            length.prefixes -= 1;
            if length.prefixes == 0 {
                self.prefix_lengths.remove(place);
            }
        }
        removed
    }

    /// Returns the position of the length of `prefix` in `prefix_lengths`, or where to insert it.
    fn prefix_length(&self, prefix: &[u8]) -> Result<usize, usize> {
        self.prefix_lengths.binary_search_by_key(&prefix.len(), |one| one.length)
    }
}

fn add_to_map(map: &mut WatcherMap, key: &Blob, watcher: WatcherIndex) -> bool {
    if let Some(watchers) = map.get_mut(&**key) {
        return watchers.insert(watcher);
    }
    map.insert(key.clone(), WatcherSet::of(watcher));
    true
}

fn remove_from_map(map: &mut WatcherMap, key: &[u8], watcher: WatcherIndex) -> bool {
    let Some(watchers) = map.get_mut(key) else { return false };
    let removed = watchers.remove(watcher);
    if watchers.is_empty() {
        map.remove(key);
        let held = map.allocation_size() / size_of::<(Blob, WatcherSet)>();
        if held / SLACK_MAX > map.len() + SLACK_MAX {
            map.shrink_to(2 * map.len());
        }
    }
    removed
}

fn add_to_tree(
    tree: &mut IntervalTree<WatcherSet>,
    range: &KeyRange,
    watcher: WatcherIndex,
) -> bool {
    let (from, to) = interval(range);
    if let Some(watchers) = tree.get_mut(&from, &to) {
        return watchers.insert(watcher);
    }
    tree.insert(from, to, WatcherSet::of(watcher));
    true
}

fn remove_from_tree(
    tree: &mut IntervalTree<WatcherSet>,
    range: &KeyRange,
    watcher: WatcherIndex,
) -> bool {
    if tree.is_empty() {
        return false;
    }
    let (from, to) = interval(range);
    let Some(watchers) = tree.get_mut(&from, &to) else { return false };
    let removed = watchers.remove(watcher);
    if watchers.is_empty() {
        tree.remove(&from, &to);
    }
    removed
}

fn is_in_tree(tree: &IntervalTree<WatcherSet>, range: &KeyRange, watcher: WatcherIndex) -> bool {
    if tree.is_empty() {
        return false;
    }
    let (from, to) = interval(range);
    tree.get(&from, &to).is_some_and(|watchers| watchers.contains(watcher))
}

/// Returns the bounds of a prefix or range, with an empty end for none.
fn interval(range: &KeyRange) -> (Blob, Blob) {
    let blob = |bound| match bound {
        Bound::Included(blob) | Bound::Excluded(blob) => blob,
        Bound::Unbounded => Blob::default(),
    };
    let (from, to) = range.bounds();
    (blob(from), blob(to))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(KeyRange, WatcherIndex),
        Remove(KeyRange, WatcherIndex),
        /// Removes a pair that exists.
        RemoveNth(usize),
    }

    /// Short keys that collide and nest.
    fn short() -> impl Strategy<Value = Blob> {
        vec(select(vec![0, b'a', b'b', 0xff]), 0..4).prop_map(Blob::from)
    }

    /// Long keys that are prefixes of each other, of more lengths than are hashed.
    fn long() -> impl Strategy<Value = Blob> {
        (0..40usize, any::<bool>()).prop_map(|(length, other_end)| {
            let mut bytes = vec![b'a'; length];
            bytes.extend(other_end.then_some(0xff));
            Blob::from(bytes)
        })
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        prop_oneof![
            2 => short().prop_map(KeyRange::Key),
            2 => short().prop_map(KeyRange::Prefix),
            4 => long().prop_map(KeyRange::Prefix),
            2 => (short(), short()).prop_map(|(from, to)| KeyRange::Range { from, to }),
            // A range with the bounds of a prefix.
            1 => long().prop_map(|prefix| {
                let (from, to) = interval(&KeyRange::Prefix(prefix));
                KeyRange::Range { from, to }
            }),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (range(), 0..6u32).prop_map(|(range, watcher)| Step::Insert(range, watcher)),
            1 => (range(), 0..6u32).prop_map(|(range, watcher)| Step::Remove(range, watcher)),
            3 => any::<usize>().prop_map(Step::RemoveNth),
        ];
        vec(step, 0..400)
    }

    fn watchers(registry: &WatcherRegistry, key: &[u8]) -> Vec<WatcherIndex> {
        let mut found = Vec::new();
        registry.for_each(key, |watcher| found.push(watcher));
        found.sort_unstable();
        found
    }

    fn assert_holds_nothing(registry: &WatcherRegistry) {
        assert_eq!(registry.len(), 0);
        assert!(registry.keys.is_empty() && registry.prefixes.is_empty());
        assert!(registry.prefix_lengths.is_empty());
        assert!(registry.further_prefixes.is_empty() && registry.ranges.is_empty());
    }

    fn prefix_of(length: usize) -> KeyRange {
        KeyRange::prefix(vec![b'a'; length])
    }

    proptest! {
        #[test]
        fn finds_what_a_list_of_pairs_finds(
            steps in steps(),
            keys in vec(prop_oneof![short(), long()], 20),
        ) {
            let mut registry = WatcherRegistry::default();
            let mut model: Vec<(KeyRange, WatcherIndex)> = Vec::new();
            for step in steps {
                let (pair, insert) = match step {
                    Step::Insert(range, watcher) => ((range, watcher), true),
                    Step::Remove(range, watcher) => ((range, watcher), false),
                    Step::RemoveNth(_) if model.is_empty() => continue,
                    Step::RemoveNth(n) => (model[n % model.len()].clone(), false),
                };
                let place = model.iter().position(|one| *one == pair);
                if insert {
                    prop_assert_eq!(registry.insert(&pair.0, pair.1), place.is_none());
                    if place.is_none() {
                        model.push(pair);
                    }
                } else {
                    prop_assert_eq!(registry.remove(&pair.0, pair.1), place.is_some());
                    if let Some(place) = place {
                        model.swap_remove(place);
                    }
                }
                prop_assert_eq!(registry.len(), model.len());
                prop_assert!(registry.prefix_lengths.len() <= PREFIX_LENGTHS_MAX);
            }
            for key in keys {
                let mut expected: Vec<WatcherIndex> = model
                    .iter()
                    .filter(|(range, _)| range.contains(&key))
                    .map(|(_, watcher)| *watcher)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(watchers(&registry, &key), expected);
            }
            for (range, watcher) in model {
                prop_assert!(registry.remove(&range, watcher));
            }
            assert_holds_nothing(&registry);
        }
    }

    #[test]
    fn prefixes_of_further_lengths_are_found_wherever_they_were_put() {
        let mut registry = WatcherRegistry::default();
        for length in 0..PREFIX_LENGTHS_MAX {
            registry.insert(&prefix_of(length), 1);
        }
        let further = prefix_of(PREFIX_LENGTHS_MAX);
        assert!(registry.insert(&further, 2));
        assert_eq!(registry.further_prefixes.len(), 1);

        assert!(registry.remove(&prefix_of(7), 1));
        assert!(!registry.insert(&further, 2), "it is in the tree");
        assert!(registry.insert(&further, 3));
        assert_eq!(registry.prefix_lengths.len(), PREFIX_LENGTHS_MAX);
        let mut expected = vec![1; PREFIX_LENGTHS_MAX - 1];
        expected.extend([2, 3]);
        assert_eq!(watchers(&registry, &[b'a'; 40]), expected);

        assert!(registry.remove(&further, 2));
        assert!(registry.further_prefixes.is_empty());
        assert!(registry.remove(&further, 3));
        assert_eq!(registry.prefix_lengths.len(), PREFIX_LENGTHS_MAX - 1);
    }

    #[test]
    fn a_watcher_comes_up_once_for_each_of_its_ranges() {
        let mut registry = WatcherRegistry::default();
        let ranges = [
            KeyRange::key("ab"),
            KeyRange::prefix("a"),
            KeyRange::all(),
            KeyRange::range("a", "b"),
            KeyRange::range("", ""),
        ];
        for range in &ranges {
            assert!(registry.insert(range, 9));
            assert!(!registry.insert(range, 9));
        }
        assert_eq!(watchers(&registry, b"ab"), [9; 5]);
        assert_eq!(watchers(&registry, b"b"), [9; 2]);
    }

    #[test]
    fn a_watcher_of_its_own_key_costs_less_than_80_bytes() {
        for watchers in [1_000, 14_336, 14_337, 20_000, 28_672, 28_673, 100_000] {
            let mut registry = WatcherRegistry::default();
            for watcher in 0..watchers {
                registry.insert(&KeyRange::key(watcher.to_string()), watcher);
            }
            let each = registry.keys.allocation_size() as f64 / f64::from(watchers);
            assert!(each < 80.0, "{each} bytes each for {watchers}");
        }
    }

    #[test]
    fn gives_memory_back_while_watchers_go() {
        let mut registry = WatcherRegistry::default();
        let range = |n: u32| KeyRange::key(n.to_string());
        for watcher in 0..50_000 {
            registry.insert(&range(watcher), watcher);
        }
        for watcher in 0..49_900 {
            registry.remove(&range(watcher), watcher);
        }
        let held = registry.keys.allocation_size();
        assert!(held < 40_000, "{held} bytes for a hundred watchers");
        for watcher in 49_900..50_000 {
            assert_eq!(watchers(&registry, watcher.to_string().as_bytes()), [watcher]);
            registry.remove(&range(watcher), watcher);
        }
        assert_holds_nothing(&registry);
    }
}
