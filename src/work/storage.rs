//! [`Storage`]: where results are kept beside the queue's own record of them.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId};

/// Keeps results. The queue keeps them too, for a while; this is for those who want them elsewhere
/// or for longer. [`MemoryStorage`](super::MemoryStorage) stands alone,
/// [`KeyStorage`](super::KeyStorage) keeps them as keys of a Wakeful, and so in its journal; implement
/// it for another place, and run [`conformance::storage`](super::conformance::storage) over that.
///
/// No method may block its thread.
pub trait Storage: Send + Sync + 'static {
    /// Keeps results; each replaces the one with its id, as the same job may be done twice. One
    /// answer for each, in order, `None` for kept.
    ///
    /// Errors of each: `StaleReservation` if there is a result of a later hand-out, under a higher
    /// epoch: a worker that has lost the job without knowing replaces nothing.
    fn put(
        &self,
        results: Vec<StoredResult>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send;

    /// The result of a job; `None` if it is not kept.
    fn get(
        &self,
        key: ResultKey,
    ) -> impl Future<Output = Result<Option<StoredResult>, Error>> + Send;

    /// Removes a result; tells whether it was there.
    fn remove(&self, key: ResultKey) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Results with ids above `after`, at most `limit` (at least 1), in order of id; none at the end.
    fn range(
        &self,
        after: JobId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<StoredResult>, Error>> + Send;

    /// How many are kept.
    fn len(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Whether none is kept.
    fn is_empty(&self) -> impl Future<Output = Result<bool, Error>> + Send {
        async { Ok(self.len().await? == 0) }
    }

    /// Removes all; tells how many.
    fn clear(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Ends this end of it: `put` is refused with `Unavailable`, what is kept stays and can be read.
    /// Closing twice is harmless.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// The job.
    pub id: JobId,
    /// Which hand-out of it the result came from.
    pub epoch: u32,
    /// Its index, as pushed.
    pub index: Option<Blob>,
    /// What its handler made, encoded.
    pub output: Blob,
    /// How often it had failed before.
    pub failures: u32,
}

/// Which result is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResultKey {
    /// That of this job.
    Id(JobId),
    /// The one kept last of those with this index.
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

/// Why a result is not kept.
pub(super) fn outrun(id: JobId, epoch: u32) -> Error {
    let message = format!("a result of job {id} is kept that is later than that of epoch {epoch}");
    Error::new(ErrorCode::StaleReservation, message)
}

/// The part of a storage that a worker needs, whatever its type.
pub(super) trait Keep: Send + Sync {
    fn keep(&self, results: Vec<StoredResult>) -> BoxFuture<'_, Result<Vec<Option<Error>>, Error>>;
}

impl<S: Storage> Keep for S {
    fn keep(&self, results: Vec<StoredResult>) -> BoxFuture<'_, Result<Vec<Option<Error>>, Error>> {
        self.put(results).boxed()
    }
}
