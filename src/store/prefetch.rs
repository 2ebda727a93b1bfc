//! Warms the cache for a batch of requests.
//!
//! A look-up in a large store is a chain of dependent cache misses: index, record, key, version, value.
//! The chains of different keys are independent, so walking them side by side, one step of all keys at
//! a time, waits for memory about once per step instead of once per step and key. After S. Chen et al.,
//! "Improving hash join performance through prefetching" (2004), group prefetching; with plain reads,
//! because the processor overlaps those of a short loop by itself.

use std::hint::black_box;
use std::sync::Arc;

use smallvec::SmallVec;

use super::StoreState;
use super::history::HistoryEntry;
use super::keyspace::KeyRecord;
use crate::model::KeyValue;

/// The most keys warmed at once: more chains than a processor follows side by side, and few enough that
/// none is cold again when its request is executed.
const GROUP: usize = 64;

type PrefetchGroup<T> = SmallVec<[T; GROUP]>;

impl StoreState {
    /// Reads the memory that the requests about `keys` will read, and that `writes` writes will write.
    ///
    /// Changes nothing. Useful for two keys or more; looks at up to [`GROUP`].
    pub(crate) fn prefetch<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        writes: usize,
    ) {
        let reads = keys.len().saturating_sub(writes);
        let slots: PrefetchGroup<u32> =
            keys.take(GROUP).filter_map(|key| self.keys.guess(key)).collect();
        let records: PrefetchGroup<&KeyRecord> =
            slots.iter().filter_map(|slot| self.keys.record(*slot)).collect();
        let mut seen = 0;
        let versions: PrefetchGroup<&Arc<KeyValue>> =
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
                seen ^= self.history.prefetch_last(&record.trail);
            }
            seen ^= self.prefetch_reclaim(writes.min(GROUP));
        }
        black_box(seen);
    }

    /// Reads the memory that freeing the oldest events will touch.
    fn prefetch_reclaim(&self, events: usize) -> u8 {
        if !self.history.is_nearly_full(&self.config) {
            return 0;
        }
        let entries: PrefetchGroup<&HistoryEntry> =
            self.history.oldest_entries().take(events).collect();
        let mut seen = 0;
        for entry in &entries {
            seen ^= whole(&entry.event.kv);
        }
        let previous: PrefetchGroup<&Arc<KeyValue>> =
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

/// Reads all cache lines of a version.
fn whole(version: &KeyValue) -> u8 {
    version.key.len() as u8
        ^ version.value.len() as u8
        ^ version.version as u8
        ^ version.lease as u8
}

/// Reads both ends: short bytes lie in one or two cache lines; the processor prefetches long ones by
/// itself.
fn ends(bytes: &[u8]) -> u8 {
    bytes.first().copied().unwrap_or(0) ^ bytes.last().copied().unwrap_or(0)
}
