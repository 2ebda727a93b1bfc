//! Warms the cache for a batch of requests.
//!
//! A look-up in a large store is a chain of cache misses, each of which needs the one before:
//! index, record, key, version, value. The chains of different keys do not need each other, so
//! walking them side by side, a step of all keys at a time, waits for memory about once a step
//! instead of once a step and key. After S. Chen et al., "Improving hash join performance through
//! prefetching" (2004), group prefetching; with plain reads, as the processor overlaps those of a
//! short loop by itself.

use std::hint::black_box;
use std::sync::Arc;

use smallvec::SmallVec;

use super::State;
use super::history::Entry;
use super::keyspace::Record;
use crate::model::KeyValue;

/// Keys warmed at once: more chains than a processor follows side by side, few enough that none
/// is cold again when its request is done.
const GROUP: usize = 64;

type Group<T> = SmallVec<[T; GROUP]>;

impl State {
    /// Reads what the requests about `keys` will read, and what as many `writes` will write.
    ///
    /// Changes nothing; of use for two keys or more, at most [`GROUP`] are looked at.
    pub(crate) fn warm<'a>(&self, keys: impl ExactSizeIterator<Item = &'a [u8]>, writes: usize) {
        let reads = keys.len().saturating_sub(writes);
        let slots: Group<u32> = keys.take(GROUP).filter_map(|key| self.keys.guess(key)).collect();
        let records: Group<&Record> =
            slots.iter().filter_map(|slot| self.keys.record(*slot)).collect();
        let mut seen = 0;
        let versions: Group<&Arc<KeyValue>> =
            records.iter().filter_map(|record| record.current.as_ref()).collect();
        for record in &records {
            seen ^= ends(&record.key);
        }
        for version in &versions {
            seen ^= whole(version);
        }
        if reads > 0 {
            for version in &versions {
                seen ^= ends(&version.value);
            }
        }
        if writes > 0 {
            for record in &records {
                seen ^= self.history.warm_last(&record.trail);
            }
            seen ^= self.warm_reclaim(writes.min(GROUP));
        }
        black_box(seen);
    }

    /// Reads what giving back the room of the oldest events will touch.
    fn warm_reclaim(&self, events: usize) -> u8 {
        if !self.history.is_nearly_full(&self.config) {
            return 0;
        }
        let entries: Group<&Entry> = self.history.oldest_entries().take(events).collect();
        let mut seen = 0;
        for entry in &entries {
            seen ^= whole(&entry.event.kv);
        }
        let previous: Group<&Arc<KeyValue>> =
            entries.iter().filter_map(|entry| entry.event.previous.as_ref()).collect();
        for version in &previous {
            seen ^= whole(version);
        }
        for version in &previous {
            seen ^= ends(&version.value);
        }
        for entry in &entries {
            seen ^= self.keys.record(entry.slot).map_or(0, |record| record.key.len() as u8);
        }
        seen
    }
}

/// Reads all cache lines of it.
fn whole(version: &KeyValue) -> u8 {
    version.key.len() as u8
        ^ version.value.len() as u8
        ^ version.version as u8
        ^ version.lease as u8
}

/// Reads both ends: short bytes lie in one or two cache lines, long ones are read ahead by the
/// processor itself.
fn ends(bytes: &[u8]) -> u8 {
    bytes.first().copied().unwrap_or(0) ^ bytes.last().copied().unwrap_or(0)
}
