//! [`WorkPlan`]: the task of a worker.

use std::time::Duration;

use super::program::Program;
use crate::Blob;
use crate::config::QueueConfig;

/// The task of a worker.
#[derive(Debug)]
pub(super) struct WorkPlan {
    pub(super) topic: Blob,
    pub(super) program: Program,
    pub(super) concurrency: u32,
    pub(super) visibility: Duration,
    /// The number of jobs after which it ends.
    pub(super) jobs_max: u64,
    /// Run one job, and exit as its command did.
    pub(super) once: bool,
    /// End when no job is ready.
    pub(super) drain: bool,
    /// How long running commands may continue after a signal.
    pub(super) grace: Duration,
    /// Limits of the server.
    pub(super) queue: QueueConfig,
}
