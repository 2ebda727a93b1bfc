//! [`Storage`]: a place for results besides the queue's own record of them.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId};

/// Stores results. The queue stores them too, for a while; use this to have them elsewhere or for
/// longer. [`MemoryStorage`](super::MemoryStorage) stands alone, [`KeyStorage`](super::KeyStorage)
/// stores them as keys of a Wakeful, and so in its journal; implement it for another place, and run
/// [`conformance::storage`](super::conformance::storage) on it.
///
/// No method may block its thread.
pub trait Storage: Send + Sync + 'static {
    /// Stores results; each replaces the one with its id, since a job may run twice. Returns one
    /// answer per result, in order, `None` for success.
    ///
    /// Errors per result: `StaleReservation` if a result of a later reservation, with a higher
    /// epoch, is stored: a worker that has lost the job without knowing replaces nothing.
    fn put(
        &self,
        results: Vec<StoredResult>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// Returns the result of a job; `None` if it is not stored.
    fn get(
        &self,
        key: ResultKey,
    ) -> impl Future<Output = Result<Option<StoredResult>, Error>> + Send;

    /// Removes a result; returns true if it was stored.
    fn remove(&self, key: ResultKey) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Returns up to `limit` results (at least 1) with ids above `after`, in order of id; none at
    /// the end.
    fn range(
        &self,
        after: JobId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<StoredResult>, Error>> + Send;

    /// Returns the number of results.
    fn len(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Returns true if no result is stored.
    fn is_empty(&self) -> impl Future<Output = Result<bool, Error>> + Send {
        async { Ok(self.len().await? == 0) }
    }

    /// Removes all results; returns their number.
    fn clear(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Closes this handle: `put` is refused with `Unavailable`; stored results stay and can be
    /// read. Closing twice is harmless.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// The job.
    pub id: JobId,
    /// The epoch of the reservation that produced the result.
    pub epoch: u32,
    /// The index of the job, as pushed.
    pub index: Option<Blob>,
    /// The encoded result of its handler.
    pub output: Blob,
    /// The number of earlier failures.
    pub failures: u32,
}

/// The selection of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResultKey {
    /// The result of this job.
    Id(JobId),
    /// The result stored last for this index.
    Index(Blob),
}

impl<S: Storage> Storage for Arc<S> {
    fn put(
        &self,
        results: Vec<StoredResult>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        (**self).put(results)
    }

    fn get(
        &self,
        key: ResultKey,
    ) -> impl Future<Output = Result<Option<StoredResult>, Error>> + Send {
        (**self).get(key)
    }

    fn remove(&self, key: ResultKey) -> impl Future<Output = Result<bool, Error>> + Send {
        (**self).remove(key)
    }

    fn range(
        &self,
        after: JobId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<StoredResult>, Error>> + Send {
        (**self).range(after, limit)
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
}

/// Returns the error for a result with an outdated epoch.
pub(super) fn outrun(id: JobId, epoch: u32) -> Error {
    let message = format!("a later result of job {id} than that of epoch {epoch} is stored");
    Error::new(ErrorCode::StaleReservation, message)
}

/// The part of a storage that a worker needs, independent of its type.
pub(super) trait ResultStore: Send + Sync {
    fn keep(&self, results: Vec<StoredResult>) -> BoxFuture<'_, Result<Vec<Option<Error>>, Error>>;
}

impl<S: Storage> ResultStore for S {
    fn keep(&self, results: Vec<StoredResult>) -> BoxFuture<'_, Result<Vec<Option<Error>>, Error>> {
        self.put(results).boxed()
    }
}
