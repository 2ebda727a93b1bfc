//! [`ToldAnswers`]: the answers that clients of a server got, against which its restart is checked.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::jobs::ToldJobs;
use crate::{Event, LeaseId, Revision};

/// Number of events remembered for comparison with history.
const SHOWN_MAX: usize = 4_096;

/// The answers that clients got.
#[derive(Debug, Default, Clone)]
pub(super) struct ToldAnswers {
    pub(super) writers: Vec<TortureWriter>,
    /// The highest revision that an answer or an event carried.
    pub(super) revision: Revision,
    /// Granted leases, each with whether its key was set.
    pub(super) leases: BTreeMap<LeaseId, bool>,
    /// Events since the last start, oldest first, up to a maximum.
    pub(super) shown: VecDeque<ShownEvent>,
    pub(super) acknowledged: u64,
    pub(super) events: u64,
    pub(super) jobs: ToldJobs,
}

/// A writer that increments two keys in one transaction after another.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TortureWriter {
    /// The last count sent.
    pub(super) attempted: u64,
    /// The last count acknowledged.
    pub(super) acknowledged: u64,
}

/// An event as a watcher was shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownEvent {
    pub(super) revision: Revision,
    pub(super) key: String,
    pub(super) value: String,
}

impl ToldAnswers {
    pub(super) fn new(writers: usize) -> Self {
        Self { writers: vec![TortureWriter::default(); writers], ..Self::default() }
    }

    pub(super) fn attempt(&mut self, writer: usize) -> u64 {
        self.writers.get_mut(writer).map_or(0, |writer| {
            writer.attempted = writer.acknowledged + 1;
            writer.attempted
        })
    }

    pub(super) fn acknowledge(&mut self, writer: usize, revision: Revision) {
        self.revision = self.revision.max(revision);
        self.acknowledged += 1;
        if let Some(writer) = self.writers.get_mut(writer) {
            writer.acknowledged = writer.attempted;
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        self.revision = self.revision.max(event.revision());
        self.events += 1;
        if self.shown.len() == SHOWN_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back(ShownEvent::of(event));
    }
}

impl ShownEvent {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            revision: event.revision(),
            key: event.kv.key.to_string(),
            value: event.kv.value.to_string(),
        }
    }
}

impl fmt::Display for ToldAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "highest revision reported: {}", self.revision)?;
        for (number, writer) in self.writers.iter().enumerate() {
            let TortureWriter { attempted, acknowledged } = writer;
            writeln!(f, "writer {number}: acknowledged {acknowledged}, attempted {attempted}")?;
        }
        writeln!(f, "leases: {:?}", self.leases)?;
        writeln!(f, "jobs: {:?}", self.jobs)?;
        writeln!(f, "last events shown:")?;
        for shown in self.shown.iter().skip(self.shown.len().saturating_sub(50)) {
            writeln!(f, "  {} {} = {}", shown.revision, shown.key, shown.value)?;
        }
        Ok(())
    }
}
