//! [`HandlerOptions`]: how a worker handles the jobs of a topic.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Storage;
use super::storage::ResultStore;
use crate::config::work::{CONCURRENCY_MAX, THREADS_MAX};
use crate::error::{Error, ErrorCode};

/// The options of one worker for the jobs of a topic.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// Maximum number of concurrent handlers, 1 to 65 536 (1 024 if each has a thread).
    pub concurrency: usize,
    /// Maximum time of an attempt, after which it fails. [`Duration::MAX`] means no limit.
    pub attempt_timeout: Duration,
    /// How long the queue waits for a sign of life of this worker before it takes a job back: how
    /// soon others take over if this process hangs. The worker gives a sign every third of this
    /// time. Limited by the queue's maximum.
    pub visibility: Duration,
    /// The threads of the handlers.
    pub thread: Thread,
    /// Whether the handlers' threads run only when the machine is idle (Linux: `SCHED_IDLE`).
    /// `None` means yes if the store is in this process, which handlers then never delay. A busy
    /// machine may leave such threads next to no time; a worker in its own process gets its share.
    pub background: Option<bool>,
    /// How long a handler may block its thread beyond its time before another thread takes its
    /// place. Its attempt then fails with an error that says so.
    pub stuck_after: Duration,
    /// Maximum number of stuck threads; with one more the worker waits for one of them, keeps the
    /// job, and reports the stuck state in its progress note.
    pub stuck_max: usize,
    /// How long a handler may continue after its job was cancelled or lost.
    pub cancel_grace: Duration,
    /// Maximum wait of one request for jobs; limited by the queue's maximum.
    pub wait: Duration,
    /// An additional storage for results: a job is done only when the storage has its result;
    /// otherwise it has failed.
    pub storage: Option<ResultSink>,
}

/// A [`Storage`] of any type, for [`HandlerOptions::storage`].
#[derive(Clone)]
pub struct ResultSink(pub(super) Arc<dyn ResultStore>);

impl ResultSink {
    /// Stores results in `storage`.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }
}

/// The threads that run handlers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Thread {
    /// One thread of the worker's own. A handler that computes for long delays the others of its
    /// topic, and nothing else.
    #[default]
    Own,
    /// The arbiter on which the worker is started: for handlers that need its thread-local objects,
    /// and never compute. A handler that blocks it is not detected.
    Here,
    /// A thread for each handler: for handlers that compute or block.
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
    /// Returns the same options, with results also stored in `storage`.
    #[must_use]
    pub fn with_storage(self, storage: impl Storage) -> Self {
        Self { storage: Some(ResultSink::new(storage)), ..self }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let most = if self.thread == Thread::Blocking { THREADS_MAX } else { CONCURRENCY_MAX };
        if self.concurrency == 0 || self.concurrency > most {
            return refuse(format!("concurrency must be 1 to {most}, not {}", self.concurrency));
        }
        if self.visibility < Duration::from_millis(1) || self.attempt_timeout.is_zero() {
            return refuse("visibility must be at least 1 ms, attempt_timeout above 0".to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for ResultSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResultSink")
    }
}
