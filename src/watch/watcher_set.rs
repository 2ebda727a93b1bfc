//! [`WatcherSet`]: the watchers of one key, prefix or range.

use crate::environment::RandomState;
use hashbrown::HashSet;

/// The caller's number for a watcher.
pub(crate) type WatcherIndex = u32;

/// The number of watchers that fit, with their count, in the 16 bytes that the set takes anyway.
const FEW_MAX: usize = 3;

/// A table this many times larger than its watchers need is shrunk.
const SLACK_MAX: usize = 8;

/// The watchers of one key, prefix or range, each once.
///
/// Most keys have one watcher and some have a million: a few need no allocation, and adding or removing
/// one of many is O(1) amortised.
#[derive(Debug)]
pub(crate) enum WatcherSet {
    /// The first `len` of `watchers`.
    Few { len: u8, watchers: [WatcherIndex; FEW_MAX] },
    /// Any number down to `FEW_MAX`: a set that alternates around the limit allocates only once.
    Many(Box<HashSet<WatcherIndex, RandomState>>),
}

impl WatcherSet {
    /// Makes a set of one watcher.
    pub(crate) fn of(watcher: WatcherIndex) -> Self {
        Self::Few { len: 1, watchers: [watcher; FEW_MAX] }
    }

    /// Returns whether the set is empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few { len, .. } => *len == 0,
            Self::Many(watchers) => watchers.is_empty(),
        }
    }

    /// Returns whether the set contains `watcher`.
    pub(crate) fn contains(&self, watcher: WatcherIndex) -> bool {
        match self {
            Self::Few { len, watchers } => few(*len, watchers).contains(&watcher),
            Self::Many(watchers) => watchers.contains(&watcher),
        }
    }

    /// Adds `watcher`; returns `false` if the set already contains it.
    pub(crate) fn insert(&mut self, watcher: WatcherIndex) -> bool {
        match self {
            Self::Few { len, watchers } => {
                if few(*len, watchers).contains(&watcher) {
                    return false;
                }
                if let Some(free) = watchers.get_mut(usize::from(*len)) {
                    *free = watcher;
                    *len += 1;
                } else {
                    let many = watchers.iter().copied().chain([watcher]).collect();
                    *self = Self::Many(Box::new(many));
                }
                true
            }
            Self::Many(watchers) => watchers.insert(watcher),
        }
    }

    /// Removes `watcher`; returns `false` if the set does not contain it.
    pub(crate) fn remove(&mut self, watcher: WatcherIndex) -> bool {
        match self {
            Self::Few { len, watchers } => {
                let Some(place) = few(*len, watchers).iter().position(|one| *one == watcher) else {
                    return false;
                };
                *len -= 1;
                watchers.swap(place, usize::from(*len));
                true
            }
            Self::Many(watchers) => {
                let removed = watchers.remove(&watcher);
                let held = watchers.allocation_size() / size_of::<WatcherIndex>();
                if watchers.len() < FEW_MAX {
                    let mut few = Self::Few { len: 0, watchers: [0; FEW_MAX] };
                    for watcher in watchers.iter() {
                        few.insert(*watcher);
                    }
                    *self = few;
                } else if held / SLACK_MAX > watchers.len() + SLACK_MAX {
                    watchers.shrink_to(2 * watchers.len());
                }
                removed
            }
        }
    }

    /// Calls `f` with each watcher, in no particular order.
    pub(crate) fn for_each(&self, f: impl FnMut(WatcherIndex)) {
        match self {
            Self::Few { len, watchers } => few(*len, watchers).iter().copied().for_each(f),
            Self::Many(watchers) => watchers.iter().copied().for_each(f),
        }
    }
}

fn few(len: u8, watchers: &[WatcherIndex; FEW_MAX]) -> &[WatcherIndex] {
    watchers.get(..usize::from(len)).unwrap_or(watchers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_sixteen_bytes() {
        assert_eq!(size_of::<WatcherSet>(), 16);
    }

    proptest! {
        #[test]
        fn holds_what_an_ordered_set_holds(
            first in 0..10u32,
            steps in vec((any::<bool>(), 0..10u32), 0..100),
        ) {
            let mut set = WatcherSet::of(first);
            let mut model = BTreeSet::from([first]);
            for (insert, watcher) in steps {
                if insert {
                    prop_assert_eq!(set.insert(watcher), model.insert(watcher));
                } else {
                    prop_assert_eq!(set.remove(watcher), model.remove(&watcher));
                }
                prop_assert_eq!(set.contains(watcher), model.contains(&watcher));
                prop_assert_eq!(set.is_empty(), model.is_empty());
                let mut watchers = Vec::new();
                set.for_each(|watcher| watchers.push(watcher));
                watchers.sort_unstable();
                prop_assert!(watchers.iter().eq(&model));
            }
        }
    }

    #[test]
    fn gives_memory_back_while_many_go() {
        let mut set = WatcherSet::of(0);
        for watcher in 1..100_000 {
            set.insert(watcher);
        }
        for watcher in 0..99_900 {
            set.remove(watcher);
        }
        let WatcherSet::Many(watchers) = &set else { panic!("a hundred are left") };
        assert!(watchers.allocation_size() < 4_096, "{}", watchers.allocation_size());
        for watcher in 99_900..99_999 {
            set.remove(watcher);
        }
        assert!(matches!(set, WatcherSet::Few { len: 1, watchers: [99_999, ..] }));
    }
}
