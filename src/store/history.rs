//! [`History`]: every event since the last compaction, in order.
//!
//! Events stand in one queue and are named by their sequence number ([`Seq`]); a cursor into
//! history is such a number. The events of one key are linked both ways, and backwards also by
//! the jump pointers of a skew-binary list (E. Myers, "An applicative random-access stack",
//! 1983), so that a key's state at any revision is found in logarithmic time.

use std::collections::VecDeque;

use crate::model::{Event, Revision};

/// Number of an event, from 1; never used again.
pub(crate) type Seq = u64;

/// Bytes an event costs beyond its key and value, roughly.
const EVENT_OVERHEAD_BYTES: u64 = 192;

/// One event and its neighbours on the same key; 0 for none.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    /// The key's record in the keyspace.
    pub(crate) slot: u32,
    /// The next event of the key.
    pub(crate) next: Seq,
    previous: Seq,
    jump: Seq,
    /// Length of the chain behind `jump` pointers.
    depth: u32,
}

#[derive(Debug)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    /// Sequence number of the first entry.
    base: Seq,
    bytes: u64,
    oldest: Revision,
}

impl History {
    pub(crate) fn new(oldest: Revision) -> Self {
        Self { entries: VecDeque::new(), base: 1, bytes: 0, oldest }
    }

    /// The oldest revision that can be read.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// The number that the next event will get.
    pub(crate) fn end(&self) -> Seq {
        self.base + self.entries.len() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The event with this number; `None` when it is compacted or not there yet.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Entry> {
        let entry = self.entries.get(usize::try_from(seq.checked_sub(self.base)?).ok()?)?;
        (entry.event.revision() >= self.oldest).then_some(entry)
    }

    /// Whether the last event of its revision is this one.
    pub(crate) fn ends_revision(&self, seq: Seq) -> bool {
        match (self.get(seq), self.get(seq + 1)) {
            (Some(this), Some(next)) => this.event.revision() != next.event.revision(),
            _ => true,
        }
    }

    /// The first event of `revision` or a later one; [`end`](Self::end) if there is none.
    pub(crate) fn first_of(&self, revision: Revision) -> Seq {
        let before = self.entries.partition_point(|entry| entry.event.revision() < revision);
        self.base + before as u64
    }

    /// The first event after `revision` of the key whose newest event is `last`; 0 if there is
    /// none.
    pub(crate) fn first_after(&self, last: Seq, revision: Revision) -> Seq {
        let later = |seq: Seq| self.get(seq).filter(|entry| entry.event.revision() > revision);
        let (mut found, mut at) = match later(last) {
            Some(entry) => (last, entry),
            None => return 0,
        };
        loop {
            if let Some(entry) = later(at.jump) {
                (found, at) = (at.jump, entry);
            } else if let Some(entry) = later(at.previous) {
                (found, at) = (at.previous, entry);
            } else {
                return found;
            }
        }
    }

    /// Appends an event of the key in `slot`, whose newest event so far is `previous`.
    pub(crate) fn push(&mut self, event: Event, slot: u32, previous: Seq) -> Seq {
        let seq = self.end();
        let (jump, depth) = self.jump_from(previous);
        if let Some(entry) = self.entry_mut(previous) {
            entry.next = seq;
        }
        self.bytes += event_bytes(&event);
        self.entries.push_back(Entry { event, slot, next: 0, previous, jump, depth });
        seq
    }

    /// Gives up the history before `revision`; the room is given back by
    /// [`pop_compacted`](Self::pop_compacted).
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.oldest = self.oldest.max(revision);
    }

    /// Compacts so far that at most `revisions_max` revisions up to `current` remain, and as far
    /// as `bytes_max` asks for by one revision: called at every write, that is enough.
    pub(crate) fn compact_to(&mut self, current: Revision, revisions_max: u64, bytes_max: u64) {
        let by_count = (current + 1).saturating_sub(revisions_max);
        self.compact(by_count.min(current));
        if self.bytes > bytes_max && self.oldest < current {
            self.compact(self.oldest + 1);
        }
    }

    /// Takes out one compacted event; `None` when there is none left.
    pub(crate) fn pop_compacted(&mut self) -> Option<(Seq, Entry)> {
        if self.entries.front()?.event.revision() >= self.oldest {
            return None;
        }
        let entry = self.entries.pop_front()?;
        let seq = self.base;
        self.base += 1;
        self.bytes -= event_bytes(&entry.event);
        Some((seq, entry))
    }

    /// Whether compacted events still take room.
    pub(crate) fn has_compacted(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.event.revision() < self.oldest)
    }

    fn entry_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    /// Jump pointer and depth of an event behind `previous`.
    fn jump_from(&self, previous: Seq) -> (Seq, u32) {
        let Some(parent) = self.get(previous) else { return (0, 0) };
        let depth = parent.depth.saturating_add(1);
        let Some(first) = self.get(parent.jump) else { return (previous, depth) };
        let Some(second) = self.get(first.jump) else { return (previous, depth) };
        if parent.depth - first.depth == first.depth - second.depth {
            (first.jump, depth)
        } else {
            (previous, depth)
        }
    }
}

fn event_bytes(event: &Event) -> u64 {
    EVENT_OVERHEAD_BYTES + event.kv.bytes() as u64
}
