//! [`HandlerThread`]: the shared state of a thread that runs handlers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::JobContext;
use crate::model::Reservation;

/// Identifies a thread of a worker, never reused.
pub(super) type HandlerThreadId = u64;

/// A thread that runs handlers, as other threads see it.
pub(super) struct HandlerThread {
    pub(super) id: HandlerThreadId,
    /// The handler that has its turn, and the start of the turn.
    turn: Mutex<Option<HandlerTurn>>,
    /// True if its actors must end.
    retired: AtomicBool,
    /// The number of actors that have not ended.
    slots: AtomicUsize,
}

#[derive(Clone, Copy)]
struct HandlerTurn {
    reservation: Reservation,
    deadline: Option<Instant>,
    since: Instant,
}

impl HandlerThread {
    pub(super) fn new(id: HandlerThreadId, slots: usize) -> Self {
        Self {
            id,
            turn: Mutex::new(None),
            retired: AtomicBool::new(false),
            slots: AtomicUsize::new(slots),
        }
    }

    /// Begins the turn of a handler.
    pub(super) fn enter(&self, context: &JobContext) {
        let (reservation, deadline) = (context.reservation(), context.deadline());
        let turn = HandlerTurn { reservation, deadline, since: Instant::now() };
        *self.turn.lock() = Some(turn);
    }

    /// Ends the turn.
    pub(super) fn leave(&self) {
        *self.turn.lock() = None;
    }

    /// Returns the attempt that has held the thread for `stuck_after`, and as long beyond its own
    /// time, or beyond the time at which it was `given_up`.
    pub(super) fn stuck(
        &self,
        now: Instant,
        stuck_after: Duration,
        given_up: impl Fn(Reservation) -> Option<Instant>,
    ) -> Option<Reservation> {
        let turn = (*self.turn.lock())?;
        let late = |from: Instant| now.saturating_duration_since(from) >= stuck_after;
        if !late(turn.since) {
            return None;
        }
        let ends = turn.deadline.into_iter().chain(given_up(turn.reservation)).min()?;
        late(ends).then_some(turn.reservation)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.load(Ordering::Acquire) == 0
    }

    /// Removes an actor; returns true if it was the last.
    pub(super) fn handler_ended(&self) -> bool {
        self.slots.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
