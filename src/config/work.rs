//! Bounds of workers that no one has wanted to turn yet; the others are
//! [`HandlerOptions`](crate::work::HandlerOptions).

use std::time::Duration;

/// Most jobs that one worker handles at once.
pub(crate) const CONCURRENCY_MAX: usize = 65_536;

/// Most of them where each has a thread.
pub(crate) const THREADS_MAX: usize = 1_024;

/// Most jobs that are asked for, settled or held on to in one request, as long as the queue does not
/// name a smaller limit of its own.
pub(crate) const BATCH_JOBS_MAX: usize = 1_024;

/// Bytes of outcomes after which a request to settle ends, one outcome more; halved where a frame of
/// the server holds less.
pub(crate) const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Errors of handlers are cut off after this many bytes before they are sent; the queue keeps less.
pub(crate) const ERROR_BYTES_MAX: usize = 64 * 1024;

/// What those limits are called.
pub(crate) const BATCH_LIMITS: [&str; 2] = ["queue.credits_max", "queue.push_jobs_max"];

/// Most requests for jobs at once: one that waits for few, and one for those free since.
pub(crate) const NEXTS_MAX: usize = 2;

/// Most requests to settle at once: what is done meanwhile goes with the next.
pub(crate) const SETTLES_MAX: usize = 4;

/// Jobs that one handler's actor does in one turn before the other futures of its thread are polled.
pub(crate) const TURN_JOBS: usize = 64;

/// Bounds of how often a worker looks for what is due: often enough for short timeouts, seldom
/// enough to cost nothing.
pub(crate) const LOOK_MIN: Duration = Duration::from_millis(5);
/// See [`LOOK_MIN`].
pub(crate) const LOOK_MAX: Duration = Duration::from_millis(500);

/// Longest pause after the first error of a queue, doubled with each one that follows.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause after any.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest time that a storage may take for one batch of results.
pub(crate) const STORAGE_TIMEOUT: Duration = Duration::from_secs(30);
