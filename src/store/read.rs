//! Reads of [`State`]: one key or a page of them, now or at a past revision.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::keyspace::Record;
use super::order::{Bounds, Found};
use super::{Seq, State, Steps, StoreError};
use crate::config::record::key_value_bytes_max;
use crate::model::{
    Blob, GetReply, GetRequest, KeyRange, KeyValue, RangeOrder, RangeReply, RangeRequest, Revision,
};

/// A key that a walk looks at.
pub(crate) struct Look<'a> {
    pub(crate) key: &'a Blob,
    /// What it was at the revision of the walk; `None` if it was not there.
    pub(crate) kv: Option<&'a Arc<KeyValue>>,
    /// What the look has cost.
    pub(crate) steps: usize,
}

/// What is left of the room for the pages of one reply.
#[derive(Debug)]
pub(crate) struct PageRoom {
    keys: usize,
    bytes: usize,
    /// Nothing was taken yet: the first key has room however large it is.
    whole: bool,
    /// As long as it is no larger than this.
    largest: usize,
}

impl PageRoom {
    /// Makes room for a page of a snapshot, no key of which is larger than `largest`.
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

impl State {
    /// All the room there is for the pages of one reply.
    pub(super) fn page_room(&self) -> PageRoom {
        PageRoom {
            keys: self.config.range_keys_max,
            bytes: self.config.range_bytes_max,
            whole: true,
            largest: usize::MAX,
        }
    }

    /// The same for a transaction, whose reply may have to fit in a record of the journal: what
    /// larger limits let in is not read in one.
    pub(super) fn txn_page_room(&self) -> PageRoom {
        PageRoom { largest: key_value_bytes_max(&self.config), ..self.page_room() }
    }

    pub(super) fn get(
        &self,
        request: &GetRequest,
        steps: &mut Steps,
    ) -> Result<GetReply, StoreError> {
        if request.key.is_empty() {
            return Err(StoreError::InvalidArgument("the key is empty".to_owned()));
        }
        self.check_key(request.key.len())?;
        let record = self.keys.find(&request.key).and_then(|slot| self.keys.record(slot));
        let kv = if request.revision == 0 && !self.is_open() {
            record.and_then(|record| record.current.as_ref())
        } else {
            if request.revision != 0 {
                self.check_readable(request.revision)?;
            }
            // A large write becomes visible as a whole.
            let revision = if request.revision == 0 { self.revision } else { request.revision };
            record.and_then(|record| {
                let (kv, taken) = self.at(record, revision);
                steps.take(taken);
                kv
            })
        };
        Ok(GetReply { revision: self.revision, kv: kv.cloned() })
    }

    /// A page of keys, ended early where there is no room for more, or no step left; or what there
    /// is to count of them.
    pub(super) fn range(
        &self,
        request: &RangeRequest,
        room: &mut PageRoom,
        steps: &mut Steps,
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
            // One look at least, so that every page gets on.
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

    /// A page that has not a single key, or a part of a count, says nothing to whoever goes on after
    /// the last key: a [`Scan`](crate::KvRequest::Scan) is needed there.
    pub(super) fn whole_range(
        &self,
        request: &RangeRequest,
        steps: &mut Steps,
    ) -> Result<RangeReply, StoreError> {
        let reply = self.range(request, &mut self.page_room(), steps)?;
        if reply.more && (request.count_only || reply.kvs.is_empty()) {
            let what = "the range looks at too many keys that are deleted, or were not there at \
                        that revision; scan it, or read it as it is now";
            return Err(steps.refusal(what));
        }
        Ok(reply)
    }

    /// Everything about a range that does not depend on its keys; tells the limit of its page.
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
                let what = "a page cannot be so long; read more pages";
                Err(StoreError::limit("store.range_keys_max", max, what))
            }
            limit => Ok(limit),
        }
    }

    /// The oldest revision that can be read: the current one can, even if its events are given up.
    pub(super) fn oldest_readable(&self) -> Revision {
        self.history.oldest().min(self.visible)
    }

    /// The size of the key that is there now.
    pub(crate) fn key_bytes(&self, key: &Blob) -> Option<usize> {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot))?;
        record.current.as_ref().map(|kv| kv.key.len() + kv.value.len())
    }

    /// That `revision` is neither compacted nor in the future.
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

    /// Whether what was there after a readable `revision` is what there is now. In the middle of a
    /// write the current revision is past already.
    fn is_now(&self, revision: Revision) -> bool {
        revision == 0 || (revision == self.revision && self.history.newest() <= revision)
    }

    /// Looks at the keys within `bounds` as they were after a readable `revision`, 0 for now, in
    /// order, until `look` breaks; returns whether it did.
    pub(crate) fn walk<'a>(
        &'a self,
        bounds: &Bounds,
        revision: Revision,
        descending: bool,
        mut look: impl FnMut(Look<'a>) -> ControlFlow<()>,
    ) -> bool {
        if !self.is_now(revision) {
            let mut found = self.keys.all_since(bounds, revision, descending);
            return found.any(|found| {
                let Some(record) = self.keys.record(found.slot) else { return false };
                let (kv, steps) = self.at(record, revision);
                look(Look { key: &record.key, kv, steps: found.steps + steps }).is_break()
            });
        }
        let mut look_at = |found: Found<'_>| {
            let Some(record) = self.keys.record(found.slot) else { return false };
            let kv = record.current.as_ref();
            look(Look { key: &record.key, kv, steps: found.steps }).is_break()
        };
        let mut found = self.keys.live_within(bounds.clone());
        if descending { found.rev().any(look_at) } else { found.any(&mut look_at) }
    }

    /// The key as it was after a readable `revision`, and the steps that it took to find it.
    pub(super) fn at<'a>(
        &'a self,
        record: &'a Record,
        revision: Revision,
    ) -> (Option<&'a Arc<KeyValue>>, usize) {
        let (first, steps) = self.history.first_after(&record.trail, revision);
        let kv = match self.history.entry(first) {
            Some(entry) => entry.event.previous.as_ref(),
            None => record.current.as_ref(),
        };
        (kv, steps)
    }

    /// The key in `slot` as it is shown now, and the steps that it took to find it.
    pub(crate) fn shown_in(&self, slot: u32) -> (Option<&Arc<KeyValue>>, usize) {
        self.keys.record(slot).map_or((None, 0), |record| self.at(record, self.visible))
    }

    /// The key as it is shown now.
    pub(crate) fn shown(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.shown_in(self.keys.find(key)?).0
    }

    /// Counts the keys of `range` that exist, shown or not.
    pub(crate) fn count_applied(&self, range: &KeyRange) -> u64 {
        let (count, steps) = self.keys.count_live(&range.bounds());
        self.count_steps(steps);
        count
    }

    /// The key as it is now.
    pub(crate) fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.current(key)
    }

    /// The first event of `key` after a readable `revision`; 0 for none.
    pub(crate) fn first_event_after(&self, key: &[u8], revision: Revision) -> Seq {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot));
        let first = record.map_or(0, |record| self.history.first_after(&record.trail, revision).0);
        if first < self.history.end() { first } else { 0 }
    }
}

/// The part of the range that the page is looked for in; `None` when nothing is left of it.
fn page_bounds(request: &RangeRequest) -> Option<Bounds> {
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
    // A map's range panics on bounds in the wrong order; a page beyond the end is just empty.
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

impl State {
    /// Returns a page of a snapshot: the keys of `range` after `revision`, from after `after` on, as far
    /// as room and steps reach.
    pub(crate) fn snapshot_page(
        &self,
        range: &KeyRange,
        revision: Revision,
        after: Option<Blob>,
        mut room: PageRoom,
        steps: &mut Steps,
    ) -> Result<RangeReply, StoreError> {
        let page = RangeRequest { revision, after, ..RangeRequest::new(range.clone()) };
        self.range(&page, &mut room, steps)
    }
}
