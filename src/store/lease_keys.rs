//! [`LeaseKeys`]: the keys of a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use smallvec::SmallVec;

use super::keyspace::Keyspace;
use crate::model::Blob;

/// Up to this many keys, a linear search is faster than a tree.
const FEW_MAX: usize = 32;

/// The keys of a lease. Most leases have one or two; the largest keep theirs in order, so that neither
/// listing nor ending the lease must sort them.
#[derive(Debug)]
pub(crate) struct LeaseKeys {
    slots: LeaseSlots,
    /// The number of the last binding of a key to this lease, among all bindings; 0 if there was none.
    last_bound: u64,
}

#[derive(Debug)]
enum LeaseSlots {
    /// Unordered.
    Few(SmallVec<[u32; 2]>),
    Many(Box<OrderedSlots>),
}

/// The keys of a lease in the order of the keys, and in the order in which they were bound.
#[derive(Debug, Default)]
struct OrderedSlots {
    by_key: BTreeMap<Blob, LeaseBinding>,
    by_binding: BTreeSet<LeaseBinding>,
}

/// The position of a key among the keys of its lease, in the order in which they were bound. A key that
/// is bound later, also to another lease with the same id, has a higher one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeaseBinding {
    /// The number of the binding among all bindings; for a key that was bound while the keys were few,
    /// that of the latest one then.
    number: u64,
    slot: u32,
}

impl Default for LeaseKeys {
    fn default() -> Self {
        Self { slots: LeaseSlots::Few(SmallVec::new()), last_bound: 0 }
    }
}

impl OrderedSlots {
    fn insert(&mut self, key: Blob, binding: LeaseBinding) {
        self.by_key.insert(key, binding);
        self.by_binding.insert(binding);
    }
}

impl LeaseKeys {
    pub(crate) fn len(&self) -> usize {
        match &self.slots {
            LeaseSlots::Few(slots) => slots.len(),
            LeaseSlots::Many(slots) => slots.by_key.len(),
        }
    }

    /// Adds a key, which must not be there yet, by the binding `number`, which is higher than that of
    /// every earlier binding.
    pub(super) fn insert(&mut self, slot: u32, key: &Blob, number: u64, keys: &Keyspace) {
        self.last_bound = number;
        match &mut self.slots {
            LeaseSlots::Few(slots) if slots.len() < FEW_MAX => slots.push(slot),
            LeaseSlots::Few(slots) => {
                let mut many = Box::<OrderedSlots>::default();
                for slot in slots.iter().copied() {
                    if let Some(record) = keys.record(slot) {
                        many.insert(record.key.clone(), LeaseBinding { number, slot });
                    }
                }
                many.insert(key.clone(), LeaseBinding { number, slot });
                self.slots = LeaseSlots::Many(many);
            }
            LeaseSlots::Many(slots) => slots.insert(key.clone(), LeaseBinding { number, slot }),
        }
    }

    /// Removes a key; returns `false` if it was not there.
    pub(super) fn remove(&mut self, slot: u32, key: &Blob) -> bool {
        match &mut self.slots {
            LeaseSlots::Few(slots) => match slots.iter().position(|other| *other == slot) {
                Some(place) => {
                    slots.swap_remove(place);
                    true
                }
                None => false,
            },
            LeaseSlots::Many(slots) => match slots.by_key.remove(key) {
                Some(binding) => slots.by_binding.remove(&binding),
                None => false,
            },
        }
    }

    /// Removes and returns the first `count` slots in the order of their keys; all of them, if they are
    /// few.
    pub(super) fn take_first(&mut self, count: usize, keys: &Keyspace) -> Vec<u32> {
        match &mut self.slots {
            LeaseSlots::Few(_) => std::mem::take(self).in_order(keys).collect(),
            LeaseSlots::Many(slots) => {
                let first = std::iter::from_fn(|| slots.by_key.pop_first()).take(count);
                let taken: Vec<LeaseBinding> = first.map(|(_, binding)| binding).collect();
                for binding in &taken {
                    slots.by_binding.remove(binding);
                }
                taken.into_iter().map(|binding| binding.slot).collect()
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
        let (few, many) = match &self.slots {
            LeaseSlots::Few(slots) => {
                let mut slots = slots.clone();
                let key_of = |slot: &u32| keys.record(*slot).map(|record| &record.key);
                slots.retain(|slot| key_of(&*slot).is_some_and(|key| key > after));
                slots.sort_unstable_by(|a, b| key_of(a).cmp(&key_of(b)));
                (slots, None)
            }
            LeaseSlots::Many(slots) => {
                let above =
                    slots.by_key.range::<Blob, _>((Bound::Excluded(after), Bound::Unbounded));
                (SmallVec::new(), Some(above.map(|(_, binding)| binding.slot)))
            }
        };
        few.into_iter().chain(many.into_iter().flatten())
    }

    /// Returns the slots that were bound after `after`, in the order in which they were bound. While
    /// the keys are few, a new one makes the others follow `after` again.
    pub(super) fn bound_after(
        &self,
        after: LeaseBinding,
    ) -> impl Iterator<Item = (LeaseBinding, u32)> {
        let (few, many) = match &self.slots {
            LeaseSlots::Few(slots) => {
                let number = self.last_bound;
                let all = slots.iter().map(|slot| LeaseBinding { number, slot: *slot });
                let mut later: SmallVec<[LeaseBinding; FEW_MAX]> =
                    all.filter(|binding| *binding > after).collect();
                later.sort_unstable();
                (later, None)
            }
            LeaseSlots::Many(slots) => {
                let later = (Bound::Excluded(after), Bound::Unbounded);
                (SmallVec::new(), Some(slots.by_binding.range(later).copied()))
            }
        };
        let bindings = few.into_iter().chain(many.into_iter().flatten());
        bindings.map(|binding| (binding, binding.slot))
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
            let bound: BTreeSet<u32> =
                lease.bound_after(LeaseBinding::default()).map(|(_, slot)| slot).collect();
            assert!(bound.iter().eq(model.iter().map(|(_, slot)| slot).collect::<BTreeSet<_>>()));
        };
        for (number, slot) in (0..).zip(&slots) {
            let last = lease.bound_after(LeaseBinding::default()).last();
            lease.insert(*slot, &name(number), u64::from(number) + 1, &keys);
            model.insert((name(number), *slot));
            check(&lease, &model);
            let after = last.map(|(binding, _)| binding).unwrap_or_default();
            let later: Vec<u32> = lease.bound_after(after).map(|(_, slot)| slot).collect();
            assert!(later.contains(slot));
            assert!(later.len() == 1 || number as usize <= FEW_MAX, "only few are judged again");
        }
        for (number, slot) in (0..).zip(&slots) {
            assert!(lease.remove(*slot, &name(number)));
            assert!(!lease.remove(*slot, &name(number)));
            model.remove(&(name(number), *slot));
            check(&lease, &model);
        }
    }
}
