//! A journal without a disk: everything is durable at once.

use std::time::Duration;

use super::{
    Batch, Journal, JournalError, JournalStats, Part, Progress, Report, Seq, SnapshotInfo,
};
use crate::config::Durability;

/// Reports from within the call; keeps nothing.
pub(crate) struct MemoryJournal {
    report: Report,
    durability: Durability,
    stats: JournalStats,
}

impl MemoryJournal {
    /// With no record yet.
    pub(crate) fn new(durability: Durability, report: Report) -> Self {
        Self { report, durability, stats: JournalStats::default() }
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, batch: &mut Batch) -> Seq {
        if batch.is_empty() {
            return self.stats.written;
        }
        self.stats.written += batch.records();
        self.stats.records += batch.records();
        self.stats.bytes += batch.bytes() as u64;
        self.stats.commits += 1;
        batch.clear();
        match self.durability {
            Durability::Interval => (self.report)(Progress::Written(self.stats.written)),
            Durability::Fsync => self.sync(),
        }
        self.stats.written
    }

    fn sync(&mut self) {
        if self.stats.synced < self.stats.written {
            self.stats.synced = self.stats.written;
            (self.report)(Progress::Synced(self.stats.synced));
        }
    }

    fn begin_snapshot(&mut self) {}

    fn add_to_snapshot(&mut self, batch: &mut Batch, _: Duration) {
        batch.clear();
        (self.report)(Progress::SnapshotTaken);
    }

    fn finish_snapshot(&mut self) {
        let info = SnapshotInfo { seq: self.stats.written, bytes: 0 };
        (self.report)(Progress::Snapshot(info));
    }

    fn abandon_snapshot(&mut self) {}

    fn read_snapshot(&mut self, part: Part) {
        (part.done)(Ok(Vec::new()));
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn stats(&self) -> JournalStats {
        self.stats
    }

    fn close(mut self: Box<Self>) -> Result<(), JournalError> {
        self.sync();
        Ok(())
    }
}
