//! Reads of [`StoreState`]: one key or a page of keys, at the current or at a past revision.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::keyspace::KeyRecord;
use super::order::{FoundKey, KeyBounds};
use super::{EventSeq, StepBudget, StoreError, StoreState};
use crate::config::record::key_value_bytes_max;
use crate::model::{
    Blob, GetReply, KeyRange, KeyValue, RangeOrder, RangeReply, RangeRequest, Revision,
};

/// One key of a walk.
pub(crate) struct VisitedKey<'a> {
    pub(crate) key: &'a Blob,
    /// The key at the revision of the walk; `None` if it did not exist.
    pub(crate) kv: Option<&'a Arc<KeyValue>>,
    /// The steps taken to look at it.
    pub(crate) steps: usize,
}

/// The remaining capacity for the pages of one reply.
#[derive(Debug)]
pub(crate) struct PageCapacity {
    keys: usize,
    bytes: usize,
    /// Whether nothing was taken yet: then the first key fits, up to the size `largest`.
    whole: bool,
    /// The largest size of a first key that exceeds `bytes`.
    largest: usize,
}

impl PageCapacity {
    /// Returns the capacity of a page of a snapshot in which no key is larger than `largest`.
    pub(crate) fn of_snapshot(keys: usize, bytes: usize, largest: usize) -> Self {
        Self { keys, bytes, whole: true, largest }
    }

    pub(super) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.bytes || (self.whole && bytes <= self.largest)
    }

    pub(super) fn take(&mut self, keys: usize, bytes: usize) {
        self.keys = self.keys.saturating_sub(keys);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.whole &= bytes == 0;
    }
}

impl StoreState {
    /// Returns the full capacity for the pages of one reply.
    pub(super) fn page_capacity(&self) -> PageCapacity {
        PageCapacity {
            keys: self.config.range_keys_max,
            bytes: self.config.range_bytes_max,
            whole: true,
            largest: usize::MAX,
        }
    }

    /// Returns the capacity for a transaction, whose reply may have to fit in a record of the journal.
    /// A key that was written under larger limits, and would not fit, is not read.
    pub(super) fn txn_page_capacity(&self) -> PageCapacity {
        PageCapacity { largest: key_value_bytes_max(&self.config), ..self.page_capacity() }
    }

    pub(super) fn get(
        &self,
        key: &[u8],
        revision: Revision,
        steps: &mut StepBudget,
    ) -> Result<GetReply, StoreError> {
        if key.is_empty() {
            return Err(StoreError::InvalidArgument("the key is empty".to_owned()));
        }
        self.check_key(key.len())?;
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot));
        let kv = if revision == 0 && !self.is_open() {
            record.and_then(|record| record.current.as_ref())
        } else {
            if revision != 0 {
                self.check_readable(revision)?;
            }
            // A large write becomes visible as a whole.
            let revision = if revision == 0 { self.revision } else { revision };
            record.and_then(|record| {
                let (kv, taken) = self.at(record, revision);
                steps.take(taken);
                kv
            })
        };
        Ok(GetReply { revision: self.revision, kv: kv.cloned() })
    }

    /// Returns a page of keys, which ends early when the capacity or the steps are used up; or the
    /// count of the keys.
    pub(super) fn range(
        &self,
        request: &RangeRequest,
        room: &mut PageCapacity,
        steps: &mut StepBudget,
    ) -> Result<RangeReply, StoreError> {
        let limit = self.check_range_request(request)?.min(room.keys);
        let mut reply = RangeReply {
            revision: self.revision,
            kvs: Vec::new(),
            more: false,
            count: 0,
            next: None,
        };
        let Some(bounds) = page_bounds(request) else { return Ok(reply) };
        if request.count_only && self.is_now(request.revision) {
            let (count, taken) = self.keys.count_live(&bounds);
            steps.take(taken);
            return Ok(RangeReply { count, ..reply });
        }
        let descending = request.order == RangeOrder::Descending;
        let mut last = None;
        reply.more = self.walk(&bounds, request.revision, descending, |look| {
            // At least one key is looked at, so that every page makes progress.
            if last.is_some() && steps.are_used_up() {
                return ControlFlow::Break(());
            }
            steps.take(look.steps);
            if let Some(kv) = look.kv.filter(|_| !request.count_only) {
                let size = if request.keys_only { kv.key.len() } else { kv.bytes() };
                if reply.kvs.len() == limit || !room.fits(size) {
                    return ControlFlow::Break(());
                }
                room.take(1, size);
                let kv = if request.keys_only { Arc::new(kv.without_value()) } else { kv.clone() };
                reply.kvs.push(kv);
            }
            reply.count += u64::from(look.kv.is_some());
            last = Some(look.key);
            ControlFlow::Continue(())
        });
        if reply.more {
            reply.next = last.or(request.after.as_ref()).cloned();
        }
        Ok(reply)
    }

    /// Returns a page for a range request. A page without any key, or a partial count, would give the
    /// caller no key to continue after: that needs a [`Scan`](crate::KvRequest::Scan).
    pub(super) fn whole_range(
        &self,
        request: &RangeRequest,
        steps: &mut StepBudget,
    ) -> Result<RangeReply, StoreError> {
        let reply = self.range(request, &mut self.page_capacity(), steps)?;
        if reply.more && (request.count_only || reply.kvs.is_empty()) {
            let what = "the range looks at too many keys that are deleted or did not exist at \
                        that revision; use a scan, or read the current revision";
            return Err(steps.refusal(what));
        }
        Ok(reply)
    }

    /// Checks everything about a range that does not depend on its keys; returns the page size.
    pub(super) fn check_range_request(&self, request: &RangeRequest) -> Result<usize, StoreError> {
        self.check_range(&request.range)?;
        if request.revision != 0 {
            self.check_readable(request.revision)?;
        }
        self.page_limit(request.limit)
    }

    pub(crate) fn page_limit(&self, limit: usize) -> Result<usize, StoreError> {
        let max = self.config.range_keys_max;
        match limit {
            0 => Ok(max),
            limit if limit > max => {
                let what = "the page is too long; read several pages";
                Err(StoreError::limit("store.range_keys_max", max, what))
            }
            limit => Ok(limit),
        }
    }

    /// Returns the oldest readable revision: the current one is readable even if its events are
    /// compacted.
    pub(super) fn oldest_readable(&self) -> Revision {
        self.history.oldest().min(self.visible)
    }

    /// Returns the size of the current version of the key.
    pub(crate) fn key_bytes(&self, key: &[u8]) -> Option<usize> {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot))?;
        record.current.as_ref().map(|kv| kv.key.len() + kv.value.len())
    }

    /// Checks that `revision` is neither compacted nor in the future.
    pub(crate) fn check_readable(&self, revision: Revision) -> Result<(), StoreError> {
        let (oldest, current) = (self.oldest_readable(), self.visible);
        if revision < oldest {
            return Err(StoreError::Compacted { asked: revision, oldest, current });
        }
        if revision > current {
            return Err(StoreError::Future { asked: revision, oldest, current });
        }
        Ok(())
    }

    /// Returns whether the state after a readable `revision` is the current one. In the middle of a
    /// large write, the current revision is already in the past.
    fn is_now(&self, revision: Revision) -> bool {
        revision == 0 || (revision == self.revision && self.history.newest() <= revision)
    }

    /// Walks the keys within `bounds` as they were after a readable `revision` (0 for now), in order,
    /// until `look` breaks; returns whether it did.
    pub(crate) fn walk<'a>(
        &'a self,
        bounds: &KeyBounds,
        revision: Revision,
        descending: bool,
        mut look: impl FnMut(VisitedKey<'a>) -> ControlFlow<()>,
    ) -> bool {
        if !self.is_now(revision) {
            let mut found = self.keys.all_since(bounds, revision, descending);
            return found.any(|found| {
                let Some(record) = self.keys.record(found.slot) else { return false };
                let (kv, steps) = self.at(record, revision);
                look(VisitedKey { key: &record.key, kv, steps: found.steps + steps }).is_break()
            });
        }
        let mut look_at = |found: FoundKey<'_>| {
            let Some(record) = self.keys.record(found.slot) else { return false };
            let kv = record.current.as_ref();
            look(VisitedKey { key: &record.key, kv, steps: found.steps }).is_break()
        };
        let mut found = self.keys.live_within(bounds.clone());
        if descending { found.rev().any(look_at) } else { found.any(&mut look_at) }
    }

    /// Returns the key as it was after a readable `revision`, and the number of steps taken.
    pub(super) fn at<'a>(
        &'a self,
        record: &'a KeyRecord,
        revision: Revision,
    ) -> (Option<&'a Arc<KeyValue>>, usize) {
        let (first, steps) = self.history.first_after(&record.trail, revision);
        let kv = match self.history.entry(first) {
            Some(entry) => entry.event.previous.as_ref(),
            None => record.current.as_ref(),
        };
        (kv, steps)
    }

    /// Returns the visible version of the key in `slot`, and the number of steps taken.
    pub(crate) fn shown_in(&self, slot: u32) -> (Option<&Arc<KeyValue>>, usize) {
        self.keys.record(slot).map_or((None, 0), |record| self.at(record, self.visible))
    }

    /// Returns the visible version of the key.
    pub(crate) fn shown(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.shown_in(self.keys.find(key)?).0
    }

    /// Counts the existing keys of `range`, visible or not.
    pub(crate) fn count_applied(&self, range: &KeyRange) -> u64 {
        let (count, steps) = self.keys.count_live(&range.bounds());
        self.count_steps(steps);
        count
    }

    /// Returns the current version of the key.
    pub(crate) fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.current(key)
    }

    /// Returns the first event of `key` after a readable `revision`; 0 for none.
    pub(crate) fn first_event_after(&self, key: &[u8], revision: Revision) -> EventSeq {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot));
        let first = record.map_or(0, |record| self.history.first_after(&record.trail, revision).0);
        if first < self.history.end() { first } else { 0 }
    }
}

/// Returns the bounds of the page within the range; `None` if nothing is left.
fn page_bounds(request: &RangeRequest) -> Option<KeyBounds> {
    let (mut start, mut end) = request.range.bounds();
    if let Some(after) = &request.after {
        match request.order {
            RangeOrder::Ascending if is_before(&start, after) => {
                start = Bound::Excluded(after.clone());
            }
            RangeOrder::Descending if is_after(&end, after) => {
                end = Bound::Excluded(after.clone());
            }
            _ => {}
        }
    }
    // `BTreeMap::range` panics on bounds in the wrong order; a page beyond the end is simply empty.
    let empty = match (&start, &end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        _ => false,
    };
    (!empty).then_some((start, end))
}

fn is_before(start: &Bound<Blob>, key: &Blob) -> bool {
    match start {
        Bound::Included(start) | Bound::Excluded(start) => start <= key,
        Bound::Unbounded => true,
    }
}

fn is_after(end: &Bound<Blob>, key: &Blob) -> bool {
    match end {
        Bound::Included(end) | Bound::Excluded(end) => key <= end,
        Bound::Unbounded => true,
    }
}

impl StoreState {
    /// Returns a page of a snapshot: the keys of `range` as of `revision`, from after `after` on, up to
    /// the capacity and the steps.
    pub(crate) fn snapshot_page(
        &self,
        range: &KeyRange,
        revision: Revision,
        after: Option<Blob>,
        mut room: PageCapacity,
        steps: &mut StepBudget,
    ) -> Result<RangeReply, StoreError> {
        let page = RangeRequest { revision, after, ..RangeRequest::new(range.clone()) };
        self.range(&page, &mut room, steps)
    }
}
