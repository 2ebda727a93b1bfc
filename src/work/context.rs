//! [`JobContext`]: what a handler may know of the attempt it makes, and say about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::error::Error;
use crate::model::{Blob, JobId, Reservation, ReservedJob, UnixMillis};

/// One attempt at a job. Cheap to clone, so that what the handler starts can have it too.
#[derive(Clone)]
pub struct JobContext {
    shared: Arc<Shared>,
}

struct Shared {
    job: ReservedJob,
    deadline: Option<Instant>,
    notes: Arc<dyn Notes>,
    /// A [`Cancelled`] by its number, once there is one.
    cancelled: AtomicU8,
    told: Notify,
    /// The attempt is to end now, whatever its handler makes of it.
    given_up: AtomicBool,
    attempt: AtomicWaker,
}

/// Why nobody waits for the outcome of an attempt any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was cancelled, or is another worker's by now.
    Revoked,
    /// `attempt_timeout` is over.
    TimedOut,
    /// The worker stops, and its grace is over.
    Stopping,
}

/// Takes note of progress.
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
        let shared = Shared {
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

    /// Of a job that somebody calls, and no queue has handed out: nobody asks for its progress.
    pub(crate) fn called(job: ReservedJob, deadline: Option<Instant>) -> Self {
        Self::new(job, deadline, Arc::new(NoNotes))
    }

    /// The job, and which hand-out of it this is. Its epoch fences outside effects: whoever keeps
    /// the highest seen can refuse a worker that has lost the job without knowing.
    pub fn reservation(&self) -> Reservation {
        self.shared.job.reservation
    }

    /// The job.
    pub fn id(&self) -> JobId {
        self.shared.job.reservation.id
    }

    /// Its topic.
    pub fn topic(&self) -> &Blob {
        &self.shared.job.topic
    }

    /// Its payload, not decoded.
    pub fn payload(&self) -> &Blob {
        &self.shared.job.payload
    }

    /// Its index, as pushed.
    pub fn index(&self) -> Option<&Blob> {
        self.shared.job.index.as_ref()
    }

    /// Its order key, as pushed.
    pub fn order_key(&self) -> Option<&Blob> {
        self.shared.job.order_key.as_ref()
    }

    /// How often it failed before.
    pub fn failures(&self) -> u32 {
        self.shared.job.failures
    }

    /// How often a worker was lost with it before.
    pub fn losses(&self) -> u32 {
        self.shared.job.losses
    }

    /// When it was pushed.
    pub fn pushed(&self) -> UnixMillis {
        self.shared.job.pushed
    }

    /// When the attempt ends, done or not; `None` if it may take any time.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.deadline
    }

    /// Tells how far the job is; whoever asks for the job sees the last note.
    ///
    /// Errors: `StaleReservation` if the job is not held any more; `LimitExceeded` if the note is
    /// too long; those of the queue.
    pub async fn progress(&self, note: impl Into<Blob>) -> Result<(), Error> {
        self.shared.notes.note(self.reservation(), note.into()).await
    }

    /// Waits until nobody waits for the outcome any more.
    ///
    /// A handler whose job is [`Revoked`](Cancelled::Revoked) has `cancel_grace` to end by itself;
    /// in the other cases it is dropped after one last turn, so that only what it has started
    /// elsewhere has a use for this. Cancel: harmless.
    pub async fn cancelled(&self) -> Cancelled {
        loop {
            let told = self.shared.told.notified();
            tokio::pin!(told);
            // Before looking: what is told between the look and the wait is not missed.
            told.as_mut().enable();
            if let Some(why) = self.is_cancelled() {
                return why;
            }
            told.await;
        }
    }

    /// Whether nobody waits for the outcome any more: for handlers that do not await.
    pub fn is_cancelled(&self) -> Option<Cancelled> {
        match self.shared.cancelled.load(Ordering::Acquire) {
            1 => Some(Cancelled::Revoked),
            2 => Some(Cancelled::TimedOut),
            3 => Some(Cancelled::Stopping),
            _ => None,
        }
    }

    /// Tells the handler; the first reason stays.
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

    /// Tells the handler, and has its future dropped.
    pub(super) fn give_up(&self, why: Cancelled) {
        self.cancel(why);
        self.shared.given_up.store(true, Ordering::Release);
        self.shared.attempt.wake();
    }

    /// Whether it is given up; if not, `waker` is woken when it is.
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
