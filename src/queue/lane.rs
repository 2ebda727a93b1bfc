//! [`Lane`]: the jobs of one order key.

use std::collections::BTreeSet;

use super::Slot;
use crate::model::JobId;

/// The jobs of one order key: so many of them may be ready, run, or wait for their next run.
///
/// The others wait here, in the order of their pushes. Whoever gets a free place goes behind all
/// that are ready then: so keys take turns, however much one of them has to do.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Places taken.
    pub(super) busy: u32,
    pub(super) waiting: BTreeSet<(JobId, Slot)>,
}

impl Lane {
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0 && self.waiting.is_empty()
    }
}
