//! Limits of workers that cannot be configured; [`HandlerOptions`](crate::work::HandlerOptions) has the
//! others.

use std::time::Duration;

/// Maximum number of jobs that one worker handles at once.
pub(crate) const CONCURRENCY_MAX: usize = 65_536;

/// Maximum number of jobs that one worker handles at once if each has a thread.
pub(crate) const THREADS_MAX: usize = 1_024;

/// Maximum number of jobs that one request reserves, settles or touches, unless the queue names a smaller
/// limit of its own.
pub(crate) const BATCH_JOBS_MAX: usize = 1_024;

/// Size of outcomes at which a request to settle ends, plus one outcome; halved if a frame of the server
/// holds less.
pub(crate) const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Size at which an error of a handler is truncated before it is sent; the queue keeps less.
pub(crate) const ERROR_BYTES_MAX: usize = 64 * 1024;

/// The names of those limits of the queue.
pub(crate) const BATCH_LIMITS: [&str; 2] = ["queue.credits_max", "queue.push_jobs_max"];

/// Maximum number of concurrent requests for jobs: one that waits for a few, and one for handlers that
/// became free since.
pub(crate) const NEXTS_MAX: usize = 2;

/// Maximum number of concurrent requests to settle; jobs done meanwhile are settled by the next one.
pub(crate) const SETTLES_MAX: usize = 4;

/// Number of jobs that a handler's actor does in one turn before the other futures of its thread are polled.
pub(crate) const TURN_JOBS: usize = 64;

/// Shortest interval at which a worker checks for due work: short enough for short timeouts.
pub(crate) const LOOK_MIN: Duration = Duration::from_millis(5);
/// Longest interval at which a worker checks for due work.
pub(crate) const LOOK_MAX: Duration = Duration::from_millis(500);

/// Longest pause after the first error of a queue; doubles with each further error.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause after any error.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest time that a storage may take for one batch of results.
pub(crate) const STORAGE_TIMEOUT: Duration = Duration::from_secs(30);
