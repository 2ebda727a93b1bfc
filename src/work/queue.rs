//! [`Queue`]: where a worker has its jobs from; what to implement for another broker.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::model::{Blob, PushOptions, Pushed, Reservation, ReservedJob, Settlement};

/// The jobs of one topic, handed out to one worker after another. [`TopicQueue`](super::TopicQueue)
/// is a topic of a Wakeful, [`MemoryQueue`](super::MemoryQueue) stands alone; implement it for
/// another broker, and run [`conformance::queue`](super::conformance::queue) over that.
///
/// Everything is in batches, so that a round trip is paid once for many jobs. No method may block
/// its thread. Dropping a future gives up the answer, and nothing else: jobs that were handed out to
/// a dropped [`next`](Self::next) are handed out again.
///
/// Errors: with a [retryable](Error::retryable) one the worker tries again after a pause; with
/// `LimitExceeded` that names `queue.credits_max` or `queue.push_jobs_max` in its details it asks for
/// no more than that in one request from then on.
pub trait Queue: Send + Sync + 'static {
    /// Adds jobs, all or none of them; one answer for each, in order.
    ///
    /// Errors: `Full`; `InvalidArgument` for an option that this queue does not have.
    fn push(&self, jobs: Vec<NewJob>) -> impl Future<Output = Result<Vec<Pushed>, Error>> + Send;

    /// Takes up to `credits` jobs, at least one, or none after `wait`.
    ///
    /// Each is held, by its reservation, for `visibility` from now or from the last
    /// [`touch`](Self::touch); then it is handed out again, which counts as a loss.
    fn next(&self, next: Next) -> impl Future<Output = Result<Vec<ReservedJob>, Error>> + Send;

    /// Says what becomes of jobs, each by itself; one answer for each, in order, `None` for done.
    ///
    /// Errors of each: `StaleReservation` if the job is not held by this reservation; any error of
    /// one means that nothing has changed for that job.
    fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// Holds on to jobs for another `visibility`; one answer for each, as of
    /// [`settle`](Self::settle).
    fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// Waits until reservations end that were neither settled nor given up by the worker: the job
    /// was cancelled, say. May give some of other workers too. Never, unless implemented: a worker
    /// then learns it by its next touch.
    fn revoked(&self) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send {
        std::future::pending()
    }

    /// Takes note of how far a job is. Forgotten, unless implemented.
    fn progress(
        &self,
        reservation: Reservation,
        note: Blob,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (reservation, note);
        async { Ok(()) }
    }

    /// How many jobs wait to be handed out, now or later; those that are held do not count.
    fn len(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Whether no job waits.
    fn is_empty(&self) -> impl Future<Output = Result<bool, Error>> + Send {
        async { Ok(self.len().await? == 0) }
    }

    /// Removes all jobs that wait; tells how many.
    fn clear(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Ends this end of the queue: `push` and `next` are refused with `Unavailable`, one that waits
    /// ends at once. Jobs that are held can still be settled and touched. Closing twice is harmless.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether no job will come any more: it is closed, or what is behind it has ended for good.
    fn is_closed(&self) -> bool;
}

/// A job to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What the handler gets.
    pub payload: Blob,
    /// How it is to be done.
    pub options: PushOptions,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// At most so many, at least 1.
    pub credits: u32,
    /// How long to wait for the first; zero: not at all.
    pub wait: Duration,
    /// How long they are held without a touch.
    pub visibility: Duration,
}

impl NewJob {
    /// A job with the queue's own options.
    pub fn new(payload: impl Into<Blob>) -> Self {
        Self { payload: payload.into(), options: PushOptions::default() }
    }
}

impl<Q: Queue> Queue for Arc<Q> {
    fn push(&self, jobs: Vec<NewJob>) -> impl Future<Output = Result<Vec<Pushed>, Error>> + Send {
        (**self).push(jobs)
    }

    fn next(&self, next: Next) -> impl Future<Output = Result<Vec<ReservedJob>, Error>> + Send {
        (**self).next(next)
    }

    fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        (**self).settle(settlements)
    }

    fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        (**self).touch(reservations, visibility)
    }

    fn revoked(&self) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send {
        (**self).revoked()
    }

    fn progress(
        &self,
        reservation: Reservation,
        note: Blob,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).progress(reservation, note)
    }

    fn len(&self) -> impl Future<Output = Result<u64, Error>> + Send {
        (**self).len()
    }

    fn clear(&self) -> impl Future<Output = Result<u64, Error>> + Send {
        (**self).clear()
    }

    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).close()
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }
}
