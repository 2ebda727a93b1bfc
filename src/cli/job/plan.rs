//! [`Plan`]: what a worker does.

use std::time::Duration;

use super::child::Program;
use crate::Blob;

/// What a worker does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topic: Blob,
    pub(super) program: Program,
    pub(super) concurrency: u32,
    pub(super) visibility: Duration,
    /// Jobs after which it ends.
    pub(super) jobs_max: u64,
    /// How long what runs may go on after a signal.
    pub(super) grace: Duration,
}
