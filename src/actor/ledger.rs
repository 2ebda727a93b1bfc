//! [`Ledger`]: what was handed to the journal, and what waits for it to be durable.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;

use super::message::Later;
use super::withheld::{Answered, Until, Withheld};
use crate::config::{Durability, JournalConfig};
use crate::error::{Error, ErrorCode};
use crate::journal::{
    Batch, Journal, JournalError, Opened, Part, PartDone, Progress, Seq, SnapshotInfo,
};
use crate::model::{Reply, Request, Revision, StatusReply, TxnOp, TxnRequest};
use crate::store::{Mark, StoreError};

/// Most bytes of a snapshot's file in one answer: they wait in memory for a peer that does not read.
const PART_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Ledger {
    /// `None` once it is closed.
    journal: Option<Box<dyn Journal>>,
    config: JournalConfig,
    /// The last record handed over.
    appended: Seq,
    /// Where the state stood at the end of each hand-over that is not synced yet.
    marks: VecDeque<(Seq, Mark)>,
    /// The last record that may be shown, and the last that the disk is known to have.
    shown: Seq,
    synced: Seq,
    /// Answers that wait until what they show may be shown.
    withheld: Withheld,
    /// Answers that wait for more than that: until the disk has it.
    unsynced: Withheld,
    /// Why nothing is written any more.
    failed: Option<Error>,
    /// Tells the service so.
    failure: watch::Sender<Option<Error>>,
    /// Whether there is room for what grows.
    room: bool,
    /// Bytes of records behind the newest snapshot.
    log_bytes: u64,
    /// Of them, those before the snapshot under way.
    log_bytes_covered: u64,
    snapshot: Option<SnapshotInfo>,
    /// The newest revision that is synced.
    durable_revision: Revision,
}

impl Ledger {
    /// For a journal whose records, all of them durable, led to `revision`.
    pub(crate) fn new(
        opened: Opened,
        config: JournalConfig,
        revision: Revision,
        failure: watch::Sender<Option<Error>>,
    ) -> Self {
        Self {
            snapshot: opened.journal.stats().snapshot,
            journal: Some(opened.journal),
            config,
            appended: opened.last,
            log_bytes: opened.log_bytes,
            log_bytes_covered: 0,
            marks: VecDeque::new(),
            durable_revision: revision,
            // Whoever opens a journal syncs what is in it.
            shown: opened.last,
            synced: opened.last,
            withheld: Withheld::default(),
            unsynced: Withheld::default(),
            failed: None,
            failure,
            room: true,
        }
    }

    /// That what `request` changes can be written.
    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        if !changes(request) {
            return Ok(());
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let max = self.config.pending_bytes_max;
        if self.journal.as_ref().is_none_or(|journal| journal.pending_bytes() >= max) {
            let what = "the disk does not keep up with what is written; try again later";
            return Err(StoreError::limit("journal.pending_bytes_max", max, what).into());
        }
        if !self.room && grows(request) {
            let message = "there is no room for the next segment of the journal, on the disk or \
                           within journal.disk_bytes_max; delete and compact, or make room; \
                           nothing was changed";
            return Err(Error::new(ErrorCode::NoSpace, message));
        }
        Ok(())
    }

    /// Whether what is not durable yet never will be, as far as is known.
    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Hands records over; `mark` is where the state stands after them.
    pub(super) fn hand_over(&mut self, records: &mut Batch, mark: Mark) {
        let Some(journal) = &mut self.journal else { return };
        if !records.is_empty() {
            self.log_bytes += records.bytes() as u64;
            self.appended = journal.append(records);
            self.marks.push_back((self.appended, mark));
        }
    }

    /// The last record handed over.
    pub(super) fn appended(&self) -> Seq {
        self.appended
    }

    pub(super) fn config(&self) -> &JournalConfig {
        &self.config
    }

    pub(super) fn journal(&mut self) -> Option<&mut dyn Journal> {
        match &mut self.journal {
            Some(journal) => Some(&mut **journal),
            None => None,
        }
    }

    /// Bytes of records behind the newest snapshot.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Whether there is room for what grows.
    pub(super) fn has_room(&self) -> bool {
        self.room
    }

    /// Whether the log has grown so long that a snapshot should replace it.
    pub(super) fn is_long(&self) -> bool {
        let JournalConfig { snapshot_log_bytes, .. } = self.config;
        self.log_bytes >= snapshot_log_bytes.max(self.snapshot.map_or(0, |it| it.bytes))
    }

    /// The newest snapshot, if nothing has changed since.
    pub(super) fn newest_snapshot(&self) -> Option<SnapshotInfo> {
        self.snapshot.filter(|it| it.seq == self.appended)
    }

    /// Begins a snapshot of everything handed over so far; false once the journal is closed.
    pub(super) fn begin_snapshot(&mut self) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        journal.begin_snapshot();
        self.log_bytes_covered = self.log_bytes;
        true
    }

    pub(super) fn note_snapshot(&mut self, info: SnapshotInfo) {
        self.snapshot = Some(info);
        self.log_bytes -= std::mem::take(&mut self.log_bytes_covered);
    }

    pub(super) fn snapshot_failed(&mut self) {
        self.log_bytes_covered = 0;
    }

    /// Has a part of a snapshot's file read.
    pub(super) fn read_snapshot(&mut self, id: u64, offset: u64, limit: usize, later: Later) {
        let bytes = if limit == 0 { PART_BYTES_MAX } else { limit.min(PART_BYTES_MAX) };
        let done: PartDone = Box::new(move |read| {
            later(read.map(|part| Reply::ReadSnapshot(part.into())).map_err(|error| {
                let message = format!(
                    "{error}; if another snapshot has replaced this one, ask for a new one"
                );
                Error::new(ErrorCode::Unavailable, message)
            }));
        });
        if let Some(journal) = &mut self.journal {
            journal.read_snapshot(Part { seq: id, offset, bytes, done });
        }
    }

    /// How durable the answer will be of a request that asks for `asked`.
    pub(super) fn level(&self, asked: Option<Durability>) -> Durability {
        asked.map_or(self.config.durability, |asked| asked.max(self.config.durability))
    }

    /// What the answer to a request that was promised `level` waits for, which may
    /// `show_pending`: what may not be shown yet.
    ///
    /// Which keys have changed since the last sync is not known: who asks for more than the
    /// default waits for all of them.
    pub(super) fn until(&self, level: Durability, show_pending: bool) -> Option<Until> {
        if level == self.config.durability {
            return show_pending.then_some(Until::Shown);
        }
        (show_pending || self.synced < self.shown).then_some(Until::Synced)
    }

    /// Keeps answers until everything handed over so far is as durable as they need it.
    pub(super) fn withhold(&mut self, until: Until, answered: Answered) {
        match until {
            Until::Shown => self.withheld.push(self.appended, answered),
            Until::Synced => {
                self.unsynced.push(self.appended, answered);
                // The sync that is under way may have begun before the records were written. All
                // who ask until it ends share the next one.
                if let Some(journal) = &mut self.journal {
                    journal.sync();
                }
            }
        }
    }

    /// The journal has come further; tells where the state that may be shown stands then, and up
    /// to which record answers may be given.
    pub(super) fn note(&mut self, progress: Progress) -> Option<(Seq, Mark)> {
        let synced = if let Progress::Synced(seq) = progress { Some(seq) } else { None };
        let shown = match (progress, self.config.durability) {
            (Progress::Synced(seq), Durability::Fsync) => self.show(seq),
            (Progress::Written(seq), Durability::Interval) => self.show(seq),
            (Progress::Space(room), _) => {
                self.room = room;
                None
            }
            (Progress::Failed(error), _) => {
                self.fail(&error);
                None
            }
            (
                Progress::Synced(_)
                | Progress::Written(_)
                | Progress::SnapshotTaken
                | Progress::Snapshot(_)
                | Progress::SnapshotFailed(_),
                _,
            ) => None,
        };
        if let Some(seq) = synced {
            self.note_synced(seq);
        }
        shown
    }

    /// What may be shown now that records up to `durable` are as durable as the default wants.
    fn show(&mut self, durable: Seq) -> Option<(Seq, Mark)> {
        let before = std::mem::replace(&mut self.shown, durable);
        let after = self.marks.partition_point(|(seq, _)| *seq <= durable);
        let (seq, mark) = self.marks.get(after.checked_sub(1)?).copied()?;
        (seq > before).then_some((durable, mark))
    }

    /// The disk has every record up to `seq`. All of them were written before, so their events are
    /// on their way.
    fn note_synced(&mut self, seq: Seq) {
        self.synced = seq;
        while let Some((at, mark)) = self.marks.front().copied()
            && at <= seq
        {
            self.marks.pop_front();
            self.durable_revision = mark.revision;
        }
        self.unsynced.release(seq);
    }

    /// Gives the answers that waited for records up to `durable`.
    pub(super) fn release(&mut self, durable: Seq) {
        self.withheld.release(durable);
    }

    fn fail(&mut self, error: &JournalError) {
        tracing::error!(%error, "the journal failed: nothing is written any more");
        let message = format!(
            "the journal failed, so nothing more is written: {error}; whether the writes under \
             way were done shows when the store is opened again"
        );
        let error = Error::new(ErrorCode::JournalFailed, message);
        self.withheld.fail(&error);
        self.unsynced.fail(&error);
        self.failure.send_replace(Some(error.clone()));
        self.failed = Some(error);
    }

    /// Fills in what the journal knows.
    pub(super) fn describe(&self, status: &mut StatusReply) {
        let Some(journal) = &self.journal else { return };
        let stats = journal.stats();
        status.journal_records = stats.records;
        status.journal_commits = stats.commits;
        status.journal_bytes = stats.disk_bytes;
        status.durable_revision = self.durable_revision;
        status.snapshot_bytes = stats.snapshot.map_or(0, |it| it.bytes);
        status.log_bytes = self.log_bytes;
        status.journal_sync = Duration::from_micros(stats.sync_micros_last);
    }

    /// Writes and syncs everything, and gives the answers that waited for it.
    pub(super) fn close(&mut self) {
        let Some(journal) = self.journal.take() else { return };
        match journal.close() {
            Ok(()) => {
                self.withheld.release(self.appended);
                self.unsynced.release(self.appended);
            }
            Err(error) => self.fail(&error),
        }
    }
}

/// Whether a request may change something, leases and history included.
fn changes(request: &Request) -> bool {
    request.is_write() || matches!(request, Request::LeaseKeepAlive(_) | Request::Compact(_))
}

/// Whether a request may make the store larger.
fn grows(request: &Request) -> bool {
    let sets = |op: &TxnOp| matches!(op, TxnOp::Set(_));
    match request {
        Request::Set(_) | Request::LeaseGrant(_) => true,
        Request::Txn(TxnRequest { success, failure, .. }) => {
            success.iter().chain(failure).any(sets)
        }
        _ => false,
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let code = match &error {
            JournalError::Locked { .. } => ErrorCode::DataDirLocked,
            JournalError::Damaged { .. }
            | JournalError::Format { .. }
            | JournalError::Needed { .. } => ErrorCode::Damaged,
            JournalError::NoSpace { .. } => ErrorCode::NoSpace,
            #[cfg(any(test, feature = "cli"))]
            JournalError::NotEmpty { .. } => ErrorCode::InvalidArgument,
            _ => ErrorCode::JournalFailed,
        };
        Self::new(code, error.to_string())
    }
}
