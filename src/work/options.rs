//! [`HandlerOptions`]: how the jobs of a topic are handled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Storage;
use super::storage::Keep;
use crate::config::work::{CONCURRENCY_MAX, THREADS_MAX};
use crate::error::{Error, ErrorCode};

/// How the jobs of a topic are handled by one worker.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// Most handlers that run at once, 1 to 65 536 (1 024 where each has a thread).
    pub concurrency: usize,
    /// How long an attempt may take; after that it has failed. [`Duration::MAX`] for ever.
    pub attempt_timeout: Duration,
    /// How long the queue holds a job for this worker without a sign of life, of which it gives one
    /// every third of it: how soon others take over if this process hangs.
    pub visibility: Duration,
    /// Where the handlers run.
    pub thread: Thread,
    /// Whether the threads of the handlers compute only when no other thread of the machine would
    /// (Linux: `SCHED_IDLE`). `None`: if the store is in this process, which is never held up then.
    /// A busy machine may leave them next to nothing; a worker in a process of its own has its share.
    pub background: Option<bool>,
    /// How long after its time a handler that blocks its thread is waited for, before another thread
    /// takes its place.
    pub stuck_after: Duration,
    /// Most threads that are stuck at once; with one more the worker waits for one of them.
    pub stuck_max: usize,
    /// How long a handler may go on whose job was cancelled or lost.
    pub cancel_grace: Duration,
    /// How long one request for jobs waits.
    pub wait: Duration,
    /// Where results are kept besides: a job is done only when that has its result, else it has
    /// failed.
    pub storage: Option<Recorder>,
}

/// A [`Storage`], whatever its type, for [`HandlerOptions::storage`].
#[derive(Clone)]
pub struct Recorder(pub(super) Arc<dyn Keep>);

impl Recorder {
    /// Has results kept in `storage`.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }
}

/// Where handlers run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Thread {
    /// All on one thread of the worker's own. One that computes for long holds up the others of its
    /// topic, and nothing else.
    #[default]
    Own,
    /// On the arbiter that the worker is started on: for handlers that need what lives there, and
    /// never compute. One that blocks it is not noticed.
    Here,
    /// Each on a thread of its own: for handlers that compute or block.
    Blocking,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            concurrency: 16,
            attempt_timeout: Duration::from_secs(30),
            visibility: Duration::from_secs(30),
            thread: Thread::Own,
            background: None,
            stuck_after: Duration::from_secs(1),
            stuck_max: 4,
            cancel_grace: Duration::from_secs(1),
            wait: Duration::from_secs(30),
            storage: None,
        }
    }
}

impl HandlerOptions {
    /// The same, with results kept in `storage` too.
    #[must_use]
    pub fn with_storage(self, storage: impl Storage) -> Self {
        Self { storage: Some(Recorder::new(storage)), ..self }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let most = if self.thread == Thread::Blocking { THREADS_MAX } else { CONCURRENCY_MAX };
        if self.concurrency == 0 || self.concurrency > most {
            return refuse(format!("concurrency must be 1 to {most}, not {}", self.concurrency));
        }
        if self.visibility < Duration::from_millis(1) || self.attempt_timeout.is_zero() {
            return refuse("visibility must be 1 ms at least, attempt_timeout above 0".to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}
