//! [`Keyspace`]: every key that exists, and every deleted one that history still speaks of.
//!
//! A hash index finds one key in constant time; two ordered indexes, of keys that exist and of
//! those that do not any more, serve ranges now and at past revisions.

use std::sync::Arc;

use crate::environment::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::history::Trail;
use super::order::{Bounds, Found, Order};
use crate::model::{Blob, KeyRange, KeyValue, Revision};

/// What is known of one key.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Blob,
    /// The key as it is now; `None` for one that only history speaks of.
    pub(crate) current: Option<Arc<KeyValue>>,
    /// Its events.
    pub(crate) trail: Trail,
}

#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    records: Slab<Record>,
    index: HashTable<u32>,
    hasher: RandomState,
    live: Order,
    dead: Order,
    bytes: u64,
    /// The ordered indexes are left out, to be made at once.
    unordered: bool,
}

impl Keyspace {
    /// Leaves the ordered indexes out until [`order`](Self::order).
    pub(super) fn unorder(&mut self) {
        self.unordered = true;
    }

    /// Makes the ordered indexes: in bulk, which is faster than key by key, and denser. `changed`
    /// returns the revision of a key's last event.
    pub(super) fn order(&mut self, changed: impl Fn(&Trail) -> Revision) {
        self.unordered = false;
        let of = |live: bool| {
            let records = self.records.iter().filter(|(_, it)| it.current.is_some() == live);
            let keys = records.map(|(slot, it)| (it.key.clone(), slot as u32, changed(&it.trail)));
            Order::build(keys.collect())
        };
        (self.live, self.dead) = (of(true), of(false));
    }

    /// The keys that have a lease, and which.
    pub(super) fn leased(&self) -> impl Iterator<Item = (u32, u64)> {
        self.records.iter().filter_map(|(slot, record)| {
            let lease = record.current.as_ref()?.lease;
            (lease != 0).then_some((slot as u32, lease))
        })
    }

    /// Keys that exist.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Keys that exist or that history speaks of.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Every record is in a place before this one.
    pub(super) fn places(&self) -> usize {
        self.records.capacity()
    }

    /// Makes room for so many records at once.
    pub(super) fn reserve(&mut self, records: usize) {
        self.records.reserve_exact(records);
        // None is there yet that could need another place.
        self.index.reserve(records, |_| 0);
    }

    /// Whether there is no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of the keys that exist and their values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |slot| self.is_key(*slot, key)).copied()
    }

    /// Where `key` probably is, without looking at the key itself: right all but one time in 128.
    pub(super) fn guess(&self, key: &[u8]) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |_| true).copied()
    }

    pub(crate) fn record(&self, slot: u32) -> Option<&Record> {
        self.records.get(slot as usize)
    }

    pub(crate) fn record_mut(&mut self, slot: u32) -> Option<&mut Record> {
        self.records.get_mut(slot as usize)
    }

    /// The key as it is now, if it exists.
    pub(crate) fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.record(self.find(key)?)?.current.as_ref()
    }

    /// A record for `key`, which has none; [`put`](Self::put) gives it its first state.
    pub(crate) fn insert(&mut self, key: &Blob) -> u32 {
        let record = Record { key: key.clone(), current: None, trail: Trail::default() };
        let slot = self.records.insert(record) as u32;
        let (records, hasher) = (&self.records, &self.hasher);
        let rehash = |slot: &u32| {
            records.get(*slot as usize).map_or(0, |record| hasher.hash_one(&*record.key))
        };
        self.index.insert_unique(hasher.hash_one(&**key), slot, rehash);
        slot
    }

    /// Puts `kv` in the place of the record's current state, which it returns.
    pub(crate) fn put(&mut self, slot: u32, kv: Arc<KeyValue>) -> Option<Arc<KeyValue>> {
        let record = self.records.get_mut(slot as usize)?;
        self.bytes += kv.bytes() as u64;
        let before = record.current.replace(kv);
        match &before {
            Some(before) => self.bytes -= before.bytes() as u64,
            None if self.unordered => {}
            None => {
                let key = record.key.clone();
                // Only what history speaks of is among the dead; a new key is not.
                if !record.trail.is_empty() {
                    self.dead.remove(&key);
                }
                self.live.insert(key, slot, 0);
            }
        }
        before
    }

    /// Takes the record's current state away, at `revision`.
    pub(crate) fn take(&mut self, slot: u32, revision: Revision) -> Option<Arc<KeyValue>> {
        let record = self.records.get_mut(slot as usize)?;
        let before = record.current.take()?;
        self.bytes -= before.bytes() as u64;
        let key = record.key.clone();
        if !self.unordered {
            self.live.remove(&key);
            self.dead.insert(key, slot, revision);
        }
        Some(before)
    }

    /// Forgets a record that has no current state.
    pub(crate) fn forget(&mut self, slot: u32) {
        let Some(record) = self.records.try_remove(slot as usize) else { return };
        debug_assert!(record.current.is_none(), "only deleted keys are forgotten");
        let hash = self.hasher.hash_one(&*record.key);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        if !self.unordered {
            self.dead.remove(&record.key);
        }
    }

    /// The keys of `range` that exist, ascending.
    pub(crate) fn live_in(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = u32> {
        self.live.within(range.bounds()).map(|found| found.slot)
    }

    /// The keys within `bounds` that exist, ascending.
    pub(super) fn live_within(&self, bounds: Bounds) -> impl DoubleEndedIterator<Item = Found<'_>> {
        self.live.within(bounds)
    }

    /// Counts the keys within `bounds` that exist, and the steps that this takes.
    pub(super) fn count_live(&self, bounds: &Bounds) -> (u64, usize) {
        self.live.count(bounds)
    }

    /// The keys within `bounds` that may have existed after `revision`, in order: those that do
    /// now, and those that were deleted since.
    pub(super) fn all_since<'a>(
        &'a self,
        bounds: &'a Bounds,
        revision: Revision,
        descending: bool,
    ) -> impl Iterator<Item = Found<'a>> {
        let mut live = self.live.within(bounds.clone());
        let mut dead = self.dead.changed_within(bounds, revision, descending);
        let mut step = move |from_dead: bool| match (from_dead, descending) {
            (true, _) => dead.next(),
            (false, true) => live.next_back(),
            (false, false) => live.next(),
        };
        let mut heads = (step(false), step(true));
        std::iter::from_fn(move || {
            let take_dead = match (&heads.0, &heads.1) {
                (Some(live), Some(dead)) => (dead.key < live.key) != descending,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => return None,
            };
            let head = if take_dead { &mut heads.1 } else { &mut heads.0 };
            std::mem::replace(head, step(take_dead))
        })
    }

    fn is_key(&self, slot: u32, key: &[u8]) -> bool {
        self.record(slot).is_some_and(|record| *record.key == *key)
    }
}
