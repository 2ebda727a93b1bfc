//! [`Keyspace`]: every key that exists, and every deleted key that the history still contains.
//!
//! A hash index finds one key in constant time; two ordered indexes, of existing and of deleted keys,
//! serve ranges at the current and at past revisions.

use std::sync::Arc;

use crate::environment::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::history::Trail;
use super::order::{FoundKey, KeyBounds, KeyOrder};
use crate::model::{Blob, KeyRange, KeyValue, Revision};

/// The record of one key.
#[derive(Debug)]
pub(crate) struct KeyRecord {
    pub(crate) key: Blob,
    /// The current version; `None` for a key that only the history contains.
    pub(crate) current: Option<Arc<KeyValue>>,
    /// The events of the key.
    pub(crate) trail: Trail,
}

#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    records: Slab<KeyRecord>,
    index: HashTable<u32>,
    hasher: RandomState,
    live: KeyOrder,
    dead: KeyOrder,
    bytes: u64,
    /// The ordered indexes are left out and will be built in one go.
    unordered: bool,
}

impl Keyspace {
    /// Leaves the ordered indexes out until [`order`](Self::order) builds them.
    pub(super) fn unorder(&mut self) {
        self.unordered = true;
    }

    /// Builds the ordered indexes: in bulk, which is faster than key by key, and denser. `changed`
    /// returns the revision of a key's last event.
    pub(super) fn order(&mut self, changed: impl Fn(&Trail) -> Revision) {
        self.unordered = false;
        let of = |live: bool| {
            let records = self.records.iter().filter(|(_, it)| it.current.is_some() == live);
            let keys = records.map(|(slot, it)| (it.key.clone(), slot as u32, changed(&it.trail)));
            KeyOrder::build(keys.collect())
        };
        (self.live, self.dead) = (of(true), of(false));
    }

    /// Returns the keys that are bound to a lease, and their leases.
    pub(super) fn leased(&self) -> impl Iterator<Item = (u32, u64)> {
        self.records.iter().filter_map(|(slot, record)| {
            let lease = record.current.as_ref()?.lease;
            (lease != 0).then_some((slot as u32, lease))
        })
    }

    /// Returns the number of keys that exist.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Returns the number of keys that exist or that the history contains.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Returns a slot beyond those of all records.
    pub(super) fn places(&self) -> usize {
        self.records.capacity()
    }

    /// Reserves memory for this many records.
    pub(super) fn reserve(&mut self, records: usize) {
        self.records.reserve_exact(records);
        // The index is empty, so nothing is rehashed.
        self.index.reserve(records, |_| 0);
    }

    /// Returns whether there is no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the bytes of the current keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |slot| self.is_key(*slot, key)).copied()
    }

    /// Returns the probable slot of `key`, without reading the key itself: wrong in one case of 128.
    pub(super) fn guess(&self, key: &[u8]) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |_| true).copied()
    }

    pub(crate) fn record(&self, slot: u32) -> Option<&KeyRecord> {
        self.records.get(slot as usize)
    }

    pub(crate) fn record_mut(&mut self, slot: u32) -> Option<&mut KeyRecord> {
        self.records.get_mut(slot as usize)
    }

    /// Returns the current version of the key, if it exists.
    pub(crate) fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.record(self.find(key)?)?.current.as_ref()
    }

    /// Adds a record for `key`, which must have none; [`put`](Self::put) sets its first version.
    pub(crate) fn insert(&mut self, key: &Blob) -> u32 {
        let record = KeyRecord { key: key.clone(), current: None, trail: Trail::default() };
        let slot = self.records.insert(record) as u32;
        let (records, hasher) = (&self.records, &self.hasher);
        let rehash = |slot: &u32| {
            records.get(*slot as usize).map_or(0, |record| hasher.hash_one(&*record.key))
        };
        self.index.insert_unique(hasher.hash_one(&**key), slot, rehash);
        slot
    }

    /// Sets the current version of the record to `kv` and returns the previous one.
    pub(crate) fn put(&mut self, slot: u32, kv: Arc<KeyValue>) -> Option<Arc<KeyValue>> {
        let record = self.records.get_mut(slot as usize)?;
        self.bytes += kv.bytes() as u64;
        let before = record.current.replace(kv);
        match &before {
            Some(before) => self.bytes -= before.bytes() as u64,
            None if self.unordered => {}
            None => {
                let key = record.key.clone();
                // Only keys in the history are in the index of deleted keys; a new key is not.
                if !record.trail.is_empty() {
                    self.dead.remove(&key);
                }
                self.live.insert(key, slot, 0);
            }
        }
        before
    }

    /// Removes the record's current version, at `revision`.
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

    /// Removes a record that has no current version.
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

    /// Returns the existing keys of `range`, ascending.
    pub(crate) fn live_in(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = u32> {
        self.live.within(range.bounds()).map(|found| found.slot)
    }

    /// Returns the existing keys within `bounds`, ascending.
    pub(super) fn live_within(
        &self,
        bounds: KeyBounds,
    ) -> impl DoubleEndedIterator<Item = FoundKey<'_>> {
        self.live.within(bounds)
    }

    /// Counts the existing keys within `bounds`; also returns the number of steps taken.
    pub(super) fn count_live(&self, bounds: &KeyBounds) -> (u64, usize) {
        self.live.count(bounds)
    }

    /// Returns the keys within `bounds` that may have existed after `revision`, in order: those that
    /// exist now and those deleted since.
    pub(super) fn all_since<'a>(
        &'a self,
        bounds: &'a KeyBounds,
        revision: Revision,
        descending: bool,
    ) -> impl Iterator<Item = FoundKey<'a>> {
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
