//! [`Queue`]: the source of a worker's jobs; implement it for another broker.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::model::{Blob, PushOptions, Pushed, Reservation, ReservedJob, Settlement};

/// The jobs of one topic, handed out to one worker after another. [`TopicQueue`](super::TopicQueue)
/// is a topic of a Wakeful, [`MemoryQueue`](super::MemoryQueue) stands alone; implement this trait
/// for another broker, and run [`conformance::queue`](super::conformance::queue) on it.
///
/// Requests come in batches, so that one round trip serves many jobs. No method may block its
/// thread. Dropping a future gives up its answer only: jobs that were handed out to a dropped
/// [`next`](Self::next) are handed out again.
///
/// Errors: after a [retryable](Error::retryable) one the worker tries again after a pause; after a
/// `LimitExceeded` that names `queue.credits_max` or `queue.push_jobs_max` in its details it never
/// again asks for more than that in one request.
pub trait Queue: Send + Sync + 'static {
    /// Adds jobs, all or none of them; returns one answer per job, in order.
    ///
    /// Errors: `Full`; `InvalidArgument` for an option that this queue does not support.
    fn push(&self, jobs: Vec<NewJob>) -> impl Future<Output = Result<Vec<Pushed>, Error>> + Send;

    /// Takes up to `credits` jobs, at least one, or none after `wait`.
    ///
    /// The reservation of each lasts for `visibility` from now or from the last
    /// [`touch`](Self::touch); then the job is handed out again, which counts as a loss.
    fn next(&self, next: Next) -> impl Future<Output = Result<Vec<ReservedJob>, Error>> + Send;

    /// Settles jobs, each independently; returns one answer per job, in order, `None` for success.
    ///
    /// Errors per job: `StaleReservation` if the job is not held by this reservation; after any
    /// error, nothing has changed for that job.
    fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// Extends reservations by another `visibility`; returns one answer per job, like
    /// [`settle`](Self::settle).
    fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// Waits until reservations end that the worker neither settled nor gave up: for example, the
    /// job was cancelled. May return reservations of other workers too. The default never returns:
    /// a worker then learns of the end by its next touch.
    fn revoked(&self) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send {
        std::future::pending()
    }

    /// Records the progress of a job. The default ignores it.
    fn progress(
        &self,
        reservation: Reservation,
        note: Blob,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (reservation, note);
        async { Ok(()) }
    }

    /// Returns the number of jobs that wait to be handed out, now or later; held ones do not count.
    fn len(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Returns true if no job waits.
    fn is_empty(&self) -> impl Future<Output = Result<bool, Error>> + Send {
        async { Ok(self.len().await? == 0) }
    }

    /// Removes all waiting jobs; returns their number.
    fn clear(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Closes this handle of the queue: `push` and `next` are refused with `Unavailable`, and
    /// pending ones end at once. Held jobs can still be settled and touched. Closing twice is
    /// harmless.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns true if no more jobs will come: this handle is closed, or its service has ended for
    /// good.
    fn is_closed(&self) -> bool;
}

/// A job to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The payload for the handler.
    pub payload: Blob,
    /// The options of the push.
    pub options: PushOptions,
}

/// A request for jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Maximum number of jobs, at least 1.
    pub credits: u32,
    /// How long to wait for the first; zero means not at all.
    pub wait: Duration,
    /// How long a job is held without a touch.
    pub visibility: Duration,
}

impl NewJob {
    /// Returns a job with the queue's default options.
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
