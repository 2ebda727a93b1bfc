//! [`Plan`]: what a worker does.

use std::time::Duration;

use super::program::Program;
use crate::Blob;
use crate::config::QueueConfig;

/// What a worker does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topic: Blob,
    pub(super) program: Program,
    pub(super) concurrency: u32,
    pub(super) visibility: Duration,
    /// Jobs after which it ends.
    pub(super) jobs_max: u64,
    /// It does one job, and exits as the command of that job did.
    pub(super) once: bool,
    /// It ends when no job is ready.
    pub(super) drain: bool,
    /// How long what runs may go on after a signal.
    pub(super) grace: Duration,
    /// Limits of the server.
    pub(super) queue: QueueConfig,
}
