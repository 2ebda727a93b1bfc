//! [`Watcher`]: one parked wait, or one watch of a stream.

use std::sync::Arc;

use crate::buffered::BufferedBytes;
use crate::fair::ClientId;
use crate::model::{Blob, Event, EventKind, KeyRange, Revision, WaitCondition};
use crate::store::EventSeq;
use crate::time::Micros;

/// The owner of watchers: one per connection, and one for this process.
#[derive(Debug)]
pub(crate) struct WatchOwner {
    /// The number of the connection; 0 for this process, which has no limit of its own.
    pub(crate) id: u64,
    /// A name for operators.
    pub(crate) name: String,
    /// The client whose shares of bounded and remembered resources are used.
    pub(crate) client: ClientId,
    /// Counts the bytes that are kept until the owner takes them.
    pub(crate) buffered: Arc<BufferedBytes>,
}

impl WatchOwner {
    /// Makes an owner in this process without a limit on buffered bytes.
    pub(crate) fn unlimited(id: u64, name: String) -> Self {
        let buffered = Arc::new(BufferedBytes::unlimited());
        Self { id, name, client: ClientId::Process, buffered }
    }
}

/// Identifies a watcher or a stream; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WatcherHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl WatcherHandle {
    pub(super) const FIRST: Self = Self { index: 0, generation: 0 };
    pub(super) const LAST: Self = Self { index: u32::MAX, generation: u32::MAX };

    /// Returns a number that sorts by slot, the order in which watchers are listed.
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.generation)
    }

    pub(crate) fn from_u64(id: u64) -> Self {
        Self { index: (id >> 32) as u32, generation: id as u32 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher<P> {
    pub(super) generation: u32,
    pub(super) range: KeyRange,
    pub(super) role: WatcherRole<P>,
}

#[derive(Debug)]
pub(super) enum WatcherRole<P> {
    Wait(Wait<P>),
    Watch(StreamWatch),
}

/// A wait without an answer.
#[derive(Debug)]
pub(super) struct Wait<P> {
    pub(super) address: P,
    pub(super) owner: Arc<WatchOwner>,
    pub(super) condition: WaitCondition,
    pub(super) deadline: Micros,
    /// The rest to examine, and the number of keys if the condition depends on it. Boxed, because
    /// few waits search, and none for long.
    pub(super) search: Option<Box<WaitSearch>>,
}

/// The rest that a wait must examine before only new events concern it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WaitSearch {
    /// The visible keys of its range that follow `last`.
    Keys {
        last: Option<Blob>,
        /// The first event to examine after the keys; 0 for none.
        first: EventSeq,
    },
    Count(Count),
    Events(Events),
}

/// A count of the keys of a range that existed at a revision: the keys that exist, minus those created
/// since, plus those deleted since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    /// The revision.
    pub(super) at: Revision,
    /// Whether a count of 0 meets the condition.
    pub(super) is_state: bool,
    /// The first event after the revision, the next to examine, and the end of those to examine.
    pub(super) first: EventSeq,
    pub(super) next: EventSeq,
    pub(super) end: EventSeq,
    /// The keys that exist, corrected by the events examined so far.
    pub(super) live: i64,
}

/// A search of the history for the event that a wait asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Events {
    /// The next event to examine; for a single key, the key's next event. In the history, or compacted;
    /// 0 when all were examined.
    pub(super) cursor: EventSeq,
    /// When all were examined: the first event after them.
    pub(super) seen: EventSeq,
    /// `Absent` on a range: the number of keys that existed just before the cursor.
    pub(super) live: usize,
    /// `Absent` on a range: the first delete of a key of the range in the cursor's revision, before the
    /// cursor; 0 for none.
    pub(super) deleted: EventSeq,
}

/// One watch id of a stream.
#[derive(Debug)]
pub(super) struct StreamWatch {
    /// The index of the stream.
    pub(super) stream: u32,
    pub(super) watch_id: u64,
    pub(super) options: WatchOptions,
    /// The first event not yet shown; 0 when all are shown.
    pub(super) cursor: EventSeq,
    /// The events left out for newer ones since the last delivery.
    pub(super) skipped: u64,
    /// Whether the watch is in the registry: one that is behind need not be notified of further events.
    pub(super) registered: bool,
    /// Whether the watch is in its stream's queue.
    pub(super) queued: bool,
    /// A progress mark is due.
    pub(super) mark: bool,
    /// The interval of progress marks, and the time of the next one; 0 for none.
    pub(super) progress: Micros,
    pub(super) progress_due: Micros,
    /// The rest of the snapshot.
    pub(super) snapshot: Option<Box<WatchSnapshot>>,
    /// An operator ended the watch; it is removed once that is shown.
    pub(super) ended: bool,
}

#[derive(Debug)]
pub(super) struct WatchSnapshot {
    pub(super) revision: Revision,
    pub(super) after: Option<Blob>,
}

/// The events that a watch shows, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    pub(crate) puts: bool,
    pub(crate) deletes: bool,
    pub(crate) latest: bool,
    pub(crate) view: View,
}

/// The parts of an event that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) previous: bool,
    pub(crate) keys_only: bool,
}

impl WatchOptions {
    pub(super) fn shows(&self, event: &Event) -> bool {
        match event.kind() {
            EventKind::Put => self.puts,
            EventKind::Delete => self.deletes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_small() {
        // Together with the registry entry and the stream, this is what the documents promise as the
        // cost of a watch id.
        assert!(size_of::<Watcher<[usize; 3]>>() <= 120, "{}", size_of::<Watcher<[usize; 3]>>());
    }
}
