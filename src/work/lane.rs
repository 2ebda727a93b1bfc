//! [`Lane`]: what is known from outside of a thread that handlers run on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::JobContext;
use crate::model::Reservation;

/// Names a thread of a worker, never given twice.
pub(super) type LaneId = u64;

/// A thread that handlers run on, as seen from others.
pub(super) struct Lane {
    pub(super) id: LaneId,
    /// Whose turn it is, and since when.
    turn: Mutex<Option<Turn>>,
    /// Its actors are to end.
    retired: AtomicBool,
    /// Actors that have not ended.
    seats: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Turn {
    reservation: Reservation,
    deadline: Option<Instant>,
    since: Instant,
}

impl Lane {
    pub(super) fn new(id: LaneId, seats: usize) -> Self {
        Self {
            id,
            turn: Mutex::new(None),
            retired: AtomicBool::new(false),
            seats: AtomicUsize::new(seats),
        }
    }

    /// A handler has its turn.
    pub(super) fn enter(&self, context: &JobContext) {
        let (reservation, deadline) = (context.reservation(), context.deadline());
        let turn = Turn { reservation, deadline, since: Instant::now() };
        *self.turn.lock() = Some(turn);
    }

    /// Its turn is over.
    pub(super) fn leave(&self) {
        *self.turn.lock() = None;
    }

    /// The attempt that has held the thread for `stuck_after`, and beyond its own time, or the one
    /// when it is `given_up`, by as much.
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
        self.seats.load(Ordering::Acquire) == 0
    }

    /// One actor less; tells whether it was the last.
    pub(super) fn stand_up(&self) -> bool {
        self.seats.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
