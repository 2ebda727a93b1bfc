//! [`PushCursor`]: a batch of a stream, and how far it is written.

use crate::buffered::Buffered;
use crate::watch::{EventBatch, WatchDelivery};

/// A batch and how far it is written.
pub(crate) struct PushCursor {
    batch: Buffered<EventBatch>,
    delivery: usize,
    /// Events of that delivery already written.
    event: usize,
    /// The connection's own, of which the store knows nothing.
    own: bool,
}

/// What something that was pushed means to the connection.
pub(crate) struct WrittenPush {
    /// What it costs of the credit of its stream.
    pub(crate) bytes: usize,
    /// The watch that it ended.
    pub(crate) ended: Option<u64>,
    /// It was the last of the stream, which is to be closed.
    pub(crate) closes: bool,
}

impl PushCursor {
    pub(super) fn new(batch: Buffered<EventBatch>) -> Self {
        Self { batch, delivery: 0, event: 0, own: false }
    }

    /// One that the store does not wait for.
    pub(super) fn own(batch: EventBatch) -> Self {
        Self { own: true, ..Self::new(Buffered::uncounted(batch)) }
    }

    /// Notes whether what is left of it waits for credit.
    pub(super) fn set_uncredited(&mut self, is_uncredited: bool) {
        self.batch.set_uncredited(is_uncredited);
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Leaves out what is not written yet of the watches that are not to be kept.
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

    /// Whether everything is written.
    pub(super) fn is_done(&self) -> bool {
        self.delivery >= self.batch.deliveries.len()
    }

    /// What is being written.
    pub(crate) fn batch(&self) -> &EventBatch {
        &self.batch
    }

    /// The delivery that is to be written next, which may have been begun.
    pub(crate) fn next(&self) -> Option<&WatchDelivery> {
        self.batch.deliveries.get(self.delivery)
    }

    /// The place of that delivery in the batch, and how many of its events are written.
    pub(crate) fn at(&self) -> (usize, usize) {
        (self.delivery, self.event)
    }

    /// Notes that everything before `delivery`, and `events` of that, is written.
    pub(crate) fn advance_to(&mut self, delivery: usize, events: usize) {
        (self.delivery, self.event) = (delivery, events);
    }
}
