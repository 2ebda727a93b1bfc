//! Reads of [`State`]: one key or a page of them, now or at a past revision.

use std::ops::Bound;
use std::sync::Arc;

use super::keyspace::Record;
use super::{Seq, State, StoreError};
use crate::config::record::key_value_bytes_max;
use crate::model::{
    Blob, GetReply, GetRequest, KeyRange, KeyValue, RangeOrder, RangeReply, RangeRequest, Revision,
};

/// What is left of the room for the pages of one reply.
#[derive(Debug)]
pub(super) struct PageRoom {
    keys: usize,
    bytes: usize,
    /// Nothing was taken yet: the first key has room however large it is.
    whole: bool,
    /// As long as it is no larger than this.
    largest: usize,
}

impl PageRoom {
    fn fits(&self, bytes: usize) -> bool {
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

    pub(super) fn get(&self, request: &GetRequest) -> Result<GetReply, StoreError> {
        if request.key.is_empty() {
            return Err(StoreError::InvalidArgument("the key is empty".to_owned()));
        }
        self.check_key(request.key.len())?;
        let record = self.keys.find(&request.key).and_then(|slot| self.keys.record(slot));
        let kv = if request.revision == 0 {
            record.and_then(|record| record.current.clone())
        } else {
            self.check_readable(request.revision)?;
            record.and_then(|record| self.at(record, request.revision)).cloned()
        };
        Ok(GetReply { revision: self.revision, kv })
    }

    /// A page of keys, ended early where there is no room for more.
    pub(super) fn range(
        &self,
        request: &RangeRequest,
        room: &mut PageRoom,
    ) -> Result<RangeReply, StoreError> {
        let limit = self.check_range_request(request)?.min(room.keys);
        let mut reply =
            RangeReply { revision: self.revision, kvs: Vec::new(), more: false, count: 0 };
        if request.count_only {
            reply.count = self.listed(request).count() as u64;
            return Ok(reply);
        }
        for kv in self.listed(request) {
            let size = if request.keys_only { kv.key.len() } else { kv.bytes() };
            if reply.kvs.len() == limit || !room.fits(size) {
                reply.more = true;
                break;
            }
            room.take(1, size);
            let kv = if request.keys_only { Arc::new(kv.without_value()) } else { kv.clone() };
            reply.kvs.push(kv);
        }
        reply.count = reply.kvs.len() as u64;
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

    /// That `revision` is neither compacted nor in the future.
    pub(crate) fn check_readable(&self, revision: Revision) -> Result<(), StoreError> {
        let (oldest, current) = (self.history.oldest(), self.visible);
        if revision < oldest {
            return Err(StoreError::Compacted { asked: revision, oldest, current });
        }
        if revision > current {
            return Err(StoreError::Future { asked: revision, oldest, current });
        }
        Ok(())
    }

    /// The keys that a page, if it had no end, would list; of a range that was checked.
    pub(super) fn listed(
        &self,
        request: &RangeRequest,
    ) -> Box<dyn Iterator<Item = &Arc<KeyValue>> + '_> {
        let Some(bounds) = page_bounds(request) else { return Box::new(std::iter::empty()) };
        let descending = request.order == RangeOrder::Descending;
        if request.revision == 0 {
            let slots = self.keys.live_within(bounds);
            let current =
                |slot: u32| self.keys.record(slot).and_then(|record| record.current.as_ref());
            return if descending {
                Box::new(slots.rev().filter_map(current))
            } else {
                Box::new(slots.filter_map(current))
            };
        }
        let revision = request.revision;
        let slots = self.keys.all_within(bounds, descending);
        Box::new(slots.filter_map(move |slot| self.at(self.keys.record(slot)?, revision)))
    }

    /// The key as it was after a readable `revision`.
    pub(super) fn at<'a>(
        &'a self,
        record: &'a Record,
        revision: Revision,
    ) -> Option<&'a Arc<KeyValue>> {
        match self.history.entry(self.history.first_after(&record.trail, revision)) {
            Some(entry) => entry.event.previous.as_ref(),
            None => record.current.as_ref(),
        }
    }

    /// How many keys of `range` existed after a readable `revision`; `None` if more than `max`
    /// would have to be looked at to tell.
    pub(crate) fn count_at(
        &self,
        range: &KeyRange,
        revision: Revision,
        max: usize,
    ) -> Option<usize> {
        let mut count = 0;
        for (looked_at, slot) in self.keys.all_within(range.bounds(), false).enumerate() {
            if looked_at == max {
                return None;
            }
            let record = self.keys.record(slot);
            count += usize::from(record.is_some_and(|record| self.at(record, revision).is_some()));
        }
        Some(count)
    }

    /// The key as it is now.
    pub(crate) fn current(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.current(key)
    }

    /// The keys of a range as they are now, in order.
    pub(crate) fn current_in(&self, range: &KeyRange) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.slots_in(range)
            .filter_map(|slot| self.keys.record(slot).and_then(|record| record.current.as_ref()))
    }

    /// The first event of `key` after a readable `revision`; 0 for none.
    pub(crate) fn first_event_after(&self, key: &[u8], revision: Revision) -> Seq {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot));
        let first = record.map_or(0, |record| self.history.first_after(&record.trail, revision));
        if first < self.history.end() { first } else { 0 }
    }
}

/// The part of the range that the page is looked for in; `None` when nothing is left of it.
fn page_bounds(request: &RangeRequest) -> Option<(Bound<Blob>, Bound<Blob>)> {
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
    /// A page of a snapshot: the keys of `range` after `revision`, from after `after` on.
    pub(crate) fn snapshot_page(
        &self,
        range: &KeyRange,
        revision: Revision,
        after: Option<Blob>,
        bytes_max: usize,
    ) -> Result<RangeReply, StoreError> {
        let page = RangeRequest { revision, after, ..RangeRequest::new(range.clone()) };
        let room = PageRoom { bytes: bytes_max, ..self.page_room() };
        self.range(&page, &mut { room })
    }
}
