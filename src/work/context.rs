//! [`JobContext`]: information for a handler about its attempt, and its way to report progress.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::error::Error;
use crate::model::{Blob, JobId, Reservation, ReservedJob, UnixMillis};

/// One attempt at a job. Cheap to clone, so that tasks started by the handler can have it too.
#[derive(Clone)]
pub struct JobContext {
    shared: Arc<AttemptState>,
}

struct AttemptState {
    job: ReservedJob,
    deadline: Option<Instant>,
    notes: Arc<dyn Notes>,
    /// The number of a [`Cancelled`], once set.
    cancelled: AtomicU8,
    told: Notify,
    /// True if the attempt must end now, regardless of its handler.
    given_up: AtomicBool,
    attempt: AtomicWaker,
}

/// The reason why the outcome of an attempt is no longer awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was cancelled, or is held by another worker.
    Revoked,
    /// `attempt_timeout` has passed.
    TimedOut,
    /// The worker stops, and its grace period is over.
    Stopping,
}

/// Receives progress notes.
pub(super) trait Notes: Send + Sync {
    fn note(&self, reservation: Reservation, note: Blob) -> BoxFuture<'static, Result<(), Error>>;
}

struct NoNotes;

impl Notes for NoNotes {
    fn note(&self, _: Reservation, _: Blob) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

impl JobContext {
    pub(super) fn new(job: ReservedJob, deadline: Option<Instant>, notes: Arc<dyn Notes>) -> Self {
        let shared = AttemptState {
            job,
            deadline,
            notes,
            cancelled: AtomicU8::new(0),
            told: Notify::new(),
            given_up: AtomicBool::new(false),
            attempt: AtomicWaker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the context of a job that is called rather than handed out by a queue: its progress
    /// is not observable.
    pub(crate) fn called(job: ReservedJob, deadline: Option<Instant>) -> Self {
        Self::new(job, deadline, Arc::new(NoNotes))
    }

    /// Returns the reservation of the job. Its epoch fences external effects: a system that records
    /// the highest epoch seen can refuse a worker that has lost the job without knowing.
    pub fn reservation(&self) -> Reservation {
        self.shared.job.reservation
    }

    /// Returns the job.
    pub fn id(&self) -> JobId {
        self.shared.job.reservation.id
    }

    /// Returns its topic.
    pub fn topic(&self) -> &Blob {
        &self.shared.job.topic
    }

    /// Returns its payload, not decoded.
    pub fn payload(&self) -> &Blob {
        &self.shared.job.payload
    }

    /// Returns its index, as pushed.
    pub fn index(&self) -> Option<&Blob> {
        self.shared.job.index.as_ref()
    }

    /// Returns its order key, as pushed.
    pub fn order_key(&self) -> Option<&Blob> {
        self.shared.job.order_key.as_ref()
    }

    /// Returns the number of earlier failures.
    pub fn failures(&self) -> u32 {
        self.shared.job.failures
    }

    /// Returns the number of earlier losses of a worker.
    pub fn losses(&self) -> u32 {
        self.shared.job.losses
    }

    /// Returns the time it was pushed.
    pub fn pushed(&self) -> UnixMillis {
        self.shared.job.pushed
    }

    /// Returns the time at which the attempt ends, done or not; `None` for no limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.deadline
    }

    /// Reports progress; queries of the job show the last note.
    ///
    /// Errors: `StaleReservation` if the job is no longer held; `LimitExceeded` if the note is too
    /// long; those of the queue.
    pub async fn progress(&self, note: impl Into<Blob>) -> Result<(), Error> {
        self.shared.notes.note(self.reservation(), note.into()).await
    }

    /// Waits until the outcome is no longer awaited.
    ///
    /// A handler whose job is [`Revoked`](Cancelled::Revoked) has `cancel_grace` to end by itself;
    /// in the other cases it is dropped after one last turn, so that this is useful only for tasks
    /// that it started elsewhere. Cancel: harmless.
    pub async fn cancelled(&self) -> Cancelled {
        loop {
            let told = self.shared.told.notified();
            tokio::pin!(told);
            // Registers before the check, so that no notification in between is missed.
            told.as_mut().enable();
            if let Some(why) = self.is_cancelled() {
                return why;
            }
            told.await;
        }
    }

    /// Returns the reason why the outcome is no longer awaited, if so; for handlers that do not
    /// await.
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        match self.shared.cancelled.load(Ordering::Acquire) {
            1 => Some(Cancelled::Revoked),
            2 => Some(Cancelled::TimedOut),
            3 => Some(Cancelled::Stopping),
            _ => None,
        }
    }

    /// Notifies the handler; the first reason stays.
    pub(crate) fn cancel(&self, why: Cancelled) {
        let number = match why {
            Cancelled::Revoked => 1,
            Cancelled::TimedOut => 2,
            Cancelled::Stopping => 3,
        };
        let order = Ordering::AcqRel;
        if self.shared.cancelled.compare_exchange(0, number, order, Ordering::Relaxed).is_ok() {
            self.shared.told.notify_waiters();
        }
    }

    /// Notifies the handler, and has its future dropped.
    pub(super) fn give_up(&self, why: Cancelled) {
        self.cancel(why);
        self.shared.given_up.store(true, Ordering::Release);
        self.shared.attempt.wake();
    }

    /// Returns true if the attempt was given up; otherwise `waker` is woken when it is.
    pub(super) fn poll_given_up(&self, waker: &std::task::Waker) -> bool {
        self.shared.attempt.register(waker);
        self.shared.given_up.load(Ordering::Acquire)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job", &self.shared.job)
            .field("deadline", &self.shared.deadline)
            .finish_non_exhaustive()
    }
}
