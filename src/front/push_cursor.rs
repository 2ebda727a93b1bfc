//! [`PushCursor`]: a batch of a stream, and the position up to which it is written.

use crate::buffered::Buffered;
use crate::watch::{EventBatch, WatchDelivery};

/// A batch, and the position up to which it is written.
pub(crate) struct PushCursor {
    batch: Buffered<EventBatch>,
    delivery: usize,
    /// Events of the current delivery that are already written.
    event: usize,
    /// True for a batch that the connection itself made, unknown to the store.
    own: bool,
}

/// The effects of a push on the connection.
pub(crate) struct WrittenPush {
    /// Credit of the stream that it uses up.
    pub(crate) bytes: usize,
    /// The watch that ended with it.
    pub(crate) ended: Option<u64>,
    /// True if it was the last push of the stream, which must be closed.
    pub(crate) closes: bool,
}

impl PushCursor {
    pub(super) fn new(batch: Buffered<EventBatch>) -> Self {
        Self { batch, delivery: 0, event: 0, own: false }
    }

    /// Returns the cursor of a batch that the connection itself made.
    pub(super) fn own(batch: EventBatch) -> Self {
        Self { own: true, ..Self::new(Buffered::uncounted(batch)) }
    }

    /// Notes whether the rest of the batch waits for credit.
    pub(super) fn set_uncredited(&mut self, is_uncredited: bool) {
        self.batch.set_uncredited(is_uncredited);
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Removes the unwritten deliveries of the watches that `keep` rejects.
    pub(super) fn keep(&mut self, mut keep: impl FnMut(u64) -> bool) {
        let (at, mut place) = (self.delivery, 0);
        let begun = self.batch.deliveries.get(at).map(|delivery| delivery.watch_id);
        if begun.is_some_and(|watch_id| !keep(watch_id)) {
            self.event = 0;
        }
        self.batch.deliveries.retain(|delivery| {
            place += 1;
            place <= at || keep(delivery.watch_id)
        });
    }

    /// Returns true if everything is written.
    pub(super) fn is_done(&self) -> bool {
        self.delivery >= self.batch.deliveries.len()
    }

    /// Returns the batch.
    pub(crate) fn batch(&self) -> &EventBatch {
        &self.batch
    }

    /// Returns the next delivery to write, which may be partly written.
    pub(crate) fn next(&self) -> Option<&WatchDelivery> {
        self.batch.deliveries.get(self.delivery)
    }

    /// Returns the index of that delivery in the batch, and the number of its events already written.
    pub(crate) fn at(&self) -> (usize, usize) {
        (self.delivery, self.event)
    }

    /// Notes that everything before `delivery`, and `events` of `delivery`, are written.
    pub(crate) fn advance_to(&mut self, delivery: usize, events: usize) {
        (self.delivery, self.event) = (delivery, events);
    }
}
