//! [`LeaseKeys`]: the keys of a lease.

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use super::keyspace::Keyspace;
use crate::model::Blob;

/// Up to this many keys, a linear search is faster than a tree.
const FEW_MAX: usize = 32;

/// The slots of a lease's keys. Most leases have one or two; the largest keep theirs in order, so that
/// neither listing nor ending the lease must sort them.
#[derive(Debug)]
pub(crate) enum LeaseKeys {
    /// Unordered.
    Few(SmallVec<[u32; 2]>),
    Many(BTreeMap<Blob, u32>),
}

impl Default for LeaseKeys {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl LeaseKeys {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(slots) => slots.len(),
            Self::Many(slots) => slots.len(),
        }
    }

    /// Adds a key, which must not be there yet.
    pub(super) fn insert(&mut self, slot: u32, key: &Blob, keys: &Keyspace) {
        match self {
            Self::Few(slots) if slots.len() < FEW_MAX => slots.push(slot),
            Self::Few(slots) => {
                let key_of = |slot: &u32| Some((keys.record(*slot)?.key.clone(), *slot));
                let mut many: BTreeMap<Blob, u32> = slots.iter().filter_map(key_of).collect();
                many.insert(key.clone(), slot);
                *self = Self::Many(many);
            }
            Self::Many(slots) => {
                slots.insert(key.clone(), slot);
            }
        }
    }

    /// Removes a key; returns `false` if it was not there.
    pub(super) fn remove(&mut self, slot: u32, key: &Blob) -> bool {
        match self {
            Self::Few(slots) => match slots.iter().position(|other| *other == slot) {
                Some(place) => {
                    slots.swap_remove(place);
                    true
                }
                None => false,
            },
            Self::Many(slots) => slots.remove(key).is_some(),
        }
    }

    /// Removes and returns the first `count` slots in the order of their keys; all of them, if they are
    /// few.
    pub(super) fn take_first(&mut self, count: usize, keys: &Keyspace) -> Vec<u32> {
        match self {
            Self::Few(_) => std::mem::take(self).in_order(keys).collect(),
            Self::Many(slots) => {
                let first = std::iter::from_fn(|| slots.pop_first());
                first.take(count).map(|(_, slot)| slot).collect()
            }
        }
    }

    /// Returns the slots in the order of their keys.
    pub(super) fn in_order(&self, keys: &Keyspace) -> impl Iterator<Item = u32> {
        self.after(&Blob::default(), keys)
    }

    /// Returns the slots of keys above `after`, in the order of their keys.
    pub(super) fn after<'a>(
        &'a self,
        after: &Blob,
        keys: &Keyspace,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let (few, many) = match self {
            Self::Few(slots) => {
                let mut slots = slots.clone();
                let key_of = |slot: &u32| keys.record(*slot).map(|record| &record.key);
                slots.retain(|slot| key_of(&*slot).is_some_and(|key| key > after));
                slots.sort_unstable_by(|a, b| key_of(a).cmp(&key_of(b)));
                (slots, None)
            }
            Self::Many(slots) => {
                let above = slots.range::<Blob, _>((Bound::Excluded(after), Bound::Unbounded));
                (SmallVec::new(), Some(above.map(|(_, slot)| *slot)))
            }
        };
        few.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn many_keys_come_and_go_like_few() {
        let mut keys = Keyspace::default();
        let name = |number: u32| Blob::from(format!("{:04}", number * 7 % 1_000));
        let slots: Vec<u32> = (0..1_000).map(|number| keys.insert(&name(number))).collect();
        let (mut lease, mut model) = (LeaseKeys::default(), BTreeSet::new());
        let check = |lease: &LeaseKeys, model: &BTreeSet<(Blob, u32)>| {
            assert_eq!(lease.len(), model.len());
            assert!(lease.in_order(&keys).eq(model.iter().map(|(_, slot)| *slot)));
            let middle = Blob::from("0500");
            let above = model.iter().filter(|(key, _)| *key > middle).map(|(_, slot)| *slot);
            assert!(lease.after(&middle, &keys).eq(above));
        };
        for (number, slot) in (0..).zip(&slots) {
            lease.insert(*slot, &name(number), &keys);
            model.insert((name(number), *slot));
            check(&lease, &model);
        }
        for (number, slot) in (0..).zip(&slots) {
            assert!(lease.remove(*slot, &name(number)));
            assert!(!lease.remove(*slot, &name(number)));
            model.remove(&(name(number), *slot));
            check(&lease, &model);
        }
    }
}
