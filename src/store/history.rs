//! [`History`]: every event since the last compaction, in order.
//!
//! The events form one queue and are numbered ([`EventSeq`]); a cursor into the history is such a number.
//! Each event links to the next event of its key; a key's [`Trail`] has its first one.

use std::collections::VecDeque;

use super::chunked_queue::ChunkedQueue;
use crate::config::StoreConfig;
use crate::model::{Event, Revision};

/// Number of an event, from 1; never reused. 0 stands for none.
pub(crate) type EventSeq = u64;

/// Approximate bytes of an event in addition to its key and value.
pub(super) const EVENT_OVERHEAD_BYTES: u64 = 192;

/// The number of events of a key between two marks on its trail.
const MARK_EVERY: u32 = 32;

#[derive(Debug)]
pub(crate) struct HistoryEntry {
    pub(crate) event: Event,
    /// The key's record in the keyspace.
    pub(crate) slot: u32,
    /// The next event of the key; 0 for none.
    pub(crate) next: EventSeq,
    revision: Revision,
    /// Bytes of all earlier events, compacted or not.
    offset: u64,
}

/// The position of the events of one key.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// The oldest event in memory; 0 for none.
    first: EventSeq,
    /// The newest event; 0 for none.
    last: EventSeq,
    /// Events since the last mark.
    unmarked: u32,
    /// Every [`MARK_EVERY`]th event, so that the history of a key can be searched by bisection. Boxed,
    /// because most keys have no marks and their records should stay small.
    #[expect(clippy::box_collection, reason = "8 bytes where nearly every key has none")]
    marks: Option<Box<VecDeque<EventSeq>>>,
}

#[derive(Debug)]
pub(crate) struct History {
    entries: ChunkedQueue<HistoryEntry>,
    /// Sequence number of the first entry.
    base: EventSeq,
    /// The first event that is not compacted.
    readable: EventSeq,
    /// The first event that must stay in memory even if compacted, if any.
    pinned: Option<EventSeq>,
    /// The first event that is not visible yet.
    visible_end: EventSeq,
    /// Bytes of all events ever pushed.
    pushed: u64,
    oldest: Revision,
}

impl Trail {
    /// Returns whether the key has no event in memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.first == 0
    }

    fn push(&mut self, seq: EventSeq) {
        if self.first == 0 {
            self.first = seq;
        }
        self.last = seq;
        self.unmarked += 1;
        if self.unmarked == MARK_EVERY {
            self.unmarked = 0;
            self.marks.get_or_insert_default().push_back(seq);
        }
    }

    /// Removes the first event; `next` is the one after it.
    pub(crate) fn pop(&mut self, next: EventSeq) {
        let gone = std::mem::replace(&mut self.first, next);
        if next == 0 {
            *self = Self::default();
        } else if let Some(marks) = &mut self.marks
            && marks.front() == Some(&gone)
        {
            marks.pop_front();
        }
    }
}

impl History {
    pub(crate) fn new(oldest: Revision) -> Self {
        Self {
            entries: ChunkedQueue::default(),
            base: 1,
            readable: 1,
            pinned: None,
            visible_end: 1,
            pushed: 0,
            oldest,
        }
    }

    /// Returns the oldest readable revision.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Returns the number of the first event that is not visible, or does not exist, yet.
    pub(crate) fn end(&self) -> EventSeq {
        self.visible_end
    }

    /// Returns the number of the next event.
    pub(crate) fn applied_end(&self) -> EventSeq {
        self.base + self.entries.len() as u64
    }

    /// Makes the events up to `revision` visible.
    pub(super) fn show(&mut self, revision: Revision) {
        while self.revision_of(self.visible_end).is_some_and(|at| at <= revision) {
            self.visible_end += 1;
        }
    }

    /// Returns the events that are not visible yet.
    pub(super) fn pending(&self) -> impl ExactSizeIterator<Item = &Event> {
        let first = usize::try_from(self.visible_end - self.base).unwrap_or(usize::MAX);
        self.entries.range_from(first).map(|entry| &entry.event)
    }

    /// Returns whether the newest event of a key is not visible yet.
    pub(super) fn is_pending(&self, trail: &Trail) -> bool {
        trail.last >= self.visible_end
    }

    /// Returns the revision of the newest event, visible or not; 0 if there is none.
    pub(super) fn newest(&self) -> Revision {
        self.entries.back().map_or(0, |entry| entry.revision)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the bytes of the events in memory, compacted or not.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_from(self.base)
    }

    /// Returns the event with this number; `None` if it is compacted or not visible yet.
    pub(crate) fn get(&self, seq: EventSeq) -> Option<&HistoryEntry> {
        if seq < self.readable || seq >= self.visible_end {
            return None;
        }
        self.entries.get(usize::try_from(seq - self.base).ok()?)
    }

    /// Returns whether the event is the last one of its revision.
    pub(crate) fn ends_revision(&self, seq: EventSeq) -> bool {
        match (self.get(seq), self.get(seq + 1)) {
            (Some(this), Some(next)) => this.revision != next.revision,
            _ => true,
        }
    }

    /// Returns the first event of `revision` or a later one; [`end`](Self::end) if there is none.
    pub(crate) fn first_of(&self, revision: Revision) -> EventSeq {
        let first = self.entries.partition_point(|entry| entry.revision < revision);
        (self.base + first as u64).min(self.visible_end)
    }

    /// Returns the revision of a key's newest event; 0 if there is none.
    pub(super) fn last_change(&self, trail: &Trail) -> Revision {
        self.revision_of(trail.last).unwrap_or(0)
    }

    /// Returns the first event of a key after a readable `revision`, 0 if there is none, and the number
    /// of steps that the search took.
    pub(crate) fn first_after(&self, trail: &Trail, revision: Revision) -> (EventSeq, usize) {
        let is_later = |seq: EventSeq| self.revision_of(seq).is_some_and(|at| at > revision);
        if !is_later(trail.last) {
            return (0, 0);
        }
        let before = trail.marks.as_ref().and_then(|marks| {
            let not_later = marks.partition_point(|mark| !is_later(*mark));
            marks.get(not_later.checked_sub(1)?).copied()
        });
        let (mut at, mut steps) = (before.unwrap_or(trail.first), 0);
        while at != 0 && !is_later(at) {
            at = self.entry(at).map_or(0, |entry| entry.next);
            steps += 1;
        }
        (at, steps)
    }

    /// Appends an event of the key in `slot`.
    pub(crate) fn push(&mut self, event: Event, slot: u32, trail: &mut Trail) {
        let seq = self.applied_end();
        if let Some(entry) = self.entry_mut(trail.last) {
            entry.next = seq;
        }
        trail.push(seq);
        let (revision, offset) = (event.revision(), self.pushed);
        self.pushed += EVENT_OVERHEAD_BYTES + event.kv.bytes() as u64;
        self.entries.push_back(HistoryEntry { event, slot, next: 0, revision, offset });
    }

    /// Compacts the history before `revision`; [`pop_compacted`](Self::pop_compacted) frees its memory.
    pub(crate) fn compact(&mut self, revision: Revision) {
        if revision <= self.oldest {
            return;
        }
        self.oldest = revision;
        // Each write compacts one revision, usually of one event: a binary search is not worth it.
        let is_readable = |seq: &EventSeq| self.revision_of(*seq).is_some_and(|at| at >= revision);
        let near = [self.readable, self.readable + 1].into_iter().find(is_readable);
        self.readable = near.unwrap_or_else(|| self.first_of(revision));
    }

    /// Compacts until at most `revisions_max` revisions up to `current`, and at most `bytes_max` bytes,
    /// remain readable; the current revision always does.
    pub(crate) fn compact_to(&mut self, current: Revision, revisions_max: u64, bytes_max: u64) {
        let by_count = (current + 1).saturating_sub(revisions_max);
        self.compact(by_count.min(current));
        // A large write may compact many small ones; the cost of each is paid once per event pushed.
        while self.bytes_from(self.readable) > bytes_max && self.oldest < current {
            self.compact(self.oldest + 1);
        }
    }

    /// Removes one compacted event; returns `None` if there is none.
    pub(crate) fn pop_compacted(&mut self) -> Option<HistoryEntry> {
        if !self.has_compacted() {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.base += 1;
        Some(entry)
    }

    /// Returns whether compacted events are still in memory.
    pub(crate) fn has_compacted(&self) -> bool {
        self.base < self.readable.min(self.pinned.unwrap_or(EventSeq::MAX))
            && !self.entries.is_empty()
    }

    /// Keeps all events from `seq` on in memory; `None` releases them.
    pub(super) fn pin(&mut self, seq: Option<EventSeq>) {
        self.pinned = seq;
    }

    /// Returns the first event that must stay in memory.
    pub(super) fn pinned(&self) -> EventSeq {
        self.pinned.unwrap_or(self.readable)
    }

    /// Returns the bytes of compacted events that must stay in memory.
    pub(super) fn pinned_bytes(&self) -> u64 {
        match self.pinned {
            Some(pinned) if pinned < self.readable => {
                self.bytes_from(pinned) - self.bytes_from(self.readable)
            }
            _ => 0,
        }
    }

    /// Touches the newest event of a key, to which the next one will be linked.
    pub(super) fn prefetch_last(&self, trail: &Trail) -> u8 {
        self.entry(trail.last).map_or(0, |entry| entry.slot as u8)
    }

    /// Returns whether the next write will compact.
    pub(super) fn is_nearly_full(&self, config: &StoreConfig) -> bool {
        self.has_compacted()
            || self.len() as u64 >= config.history_revisions_max
            || self.bytes() >= config.history_bytes_max
    }

    /// Returns the events that will be compacted first.
    pub(super) fn oldest_entries(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.entries.range_from(0)
    }

    /// Returns the event with this number, visible or not, if it is in memory.
    pub(crate) fn entry(&self, seq: EventSeq) -> Option<&HistoryEntry> {
        self.entries.get(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    fn entry_mut(&mut self, seq: EventSeq) -> Option<&mut HistoryEntry> {
        self.entries.get_mut(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    /// Returns the bytes of this event and the later ones.
    fn bytes_from(&self, seq: EventSeq) -> u64 {
        self.entry(seq).map_or(0, |entry| self.pushed - entry.offset)
    }

    fn revision_of(&self, seq: EventSeq) -> Option<Revision> {
        self.entry(seq).map(|entry| entry.revision)
    }
}
