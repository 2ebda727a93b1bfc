//! [`JournalLog`]: the journal that the actors of a service share, and the facts about it that all of them need.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::message::ReplyCallback;
use crate::config::{Durability, JournalConfig};
use crate::error::{Details, Error, ErrorCode};
use crate::journal::{
    FreeSpace, Journal, JournalError, JournalStats, OpenedJournal, PartDone, PartRequest,
    RecordBatch, RecordSeq, SnapshotInfo, snapshot_bytes_max,
};
use crate::model::Reply;
use crate::store::StoreError;

/// Bytes of log after which the space on the disk is compared again.
const COMPARE_EVERY: u64 = 4 * 1024 * 1024;

/// Maximum size of the part of a snapshot's file in one answer, which stays in memory until its peer has
/// read it.
const PART_BYTES_MAX: usize = 64 * 1024;

/// The log, shared by its actors. They run on one thread, and each hands over its records before its turn
/// ends, so the state of each actor matches its records whenever another one runs.
#[derive(Clone)]
pub(crate) struct SharedLog(Rc<RefCell<JournalLog>>);

pub(crate) struct JournalLog {
    /// `None` once it is closed.
    journal: Option<Box<dyn Journal>>,
    config: JournalConfig,
    /// The number of the last record handed over.
    appended: RecordSeq,
    /// The failure after which nothing more is written.
    failed: Option<Error>,
    /// Reports the failure to the service.
    failure: watch::Sender<Option<Error>>,
    /// The reason why requests that grow the store have no space.
    no_space: Option<JournalError>,
    /// Size of the log up to which there is known to be space beside the next snapshot.
    ample_until: u64,
    /// Whether something was refused for lack of that space, and nothing was admitted since.
    lacks_room: bool,
    /// Bytes admitted in this turn and not handed over yet.
    admitted: u64,
    /// Bytes admitted for a large write whose record is not handed over yet.
    admitted_large: u64,
    /// Bytes of records after the newest snapshot.
    log_bytes: u64,
    /// The part of them before the snapshot in progress.
    log_bytes_covered: u64,
    snapshot: Option<SnapshotInfo>,
}

impl SharedLog {
    pub(crate) fn new(
        opened: OpenedJournal,
        config: JournalConfig,
        failure: watch::Sender<Option<Error>>,
    ) -> Self {
        Self(Rc::new(RefCell::new(JournalLog {
            snapshot: opened.journal.stats().snapshot,
            journal: Some(opened.journal),
            config,
            appended: opened.last,
            failed: None,
            failure,
            no_space: None,
            ample_until: 0,
            lacks_room: false,
            admitted: 0,
            admitted_large: 0,
            log_bytes: opened.log_bytes,
            log_bytes_covered: 0,
        })))
    }

    pub(super) fn get(&self) -> Ref<'_, JournalLog> {
        self.0.borrow()
    }

    pub(super) fn get_mut(&self) -> RefMut<'_, JournalLog> {
        self.0.borrow_mut()
    }

    /// Stops after an actor's panic: what was handed over is written, and nothing more, not even a
    /// snapshot of the state that the actor left.
    pub(super) fn abandon(&self, error: &Error) {
        let journal = match self.0.try_borrow_mut() {
            Ok(mut log) => {
                log.abandon_snapshot();
                log.failed.get_or_insert_with(|| error.clone());
                log.journal.take()
            }
            Err(_) => return,
        };
        // Not while the log is borrowed: the journal reports to its actors.
        drop(journal);
    }
}

impl JournalLog {
    /// Checks that a change can be written that does not grow the store.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.check_open()?;
        self.check_space_to_shrink()
    }

    /// Checks that a change of about `bytes` of log can be written. `grows` returns whether the change
    /// grows the store, and is called only if there is no space for growth: a change that is permitted
    /// all the same must not count as one that was refused.
    pub(super) fn check_growth(
        &mut self,
        bytes: u64,
        grows: impl FnOnce() -> bool,
    ) -> Result<(), Error> {
        self.check_open()?;
        let admitted = self.admitted.saturating_add(bytes);
        if self.no_space.is_none() && self.has_space_to_grow(admitted) {
            self.admitted = admitted;
            return Ok(());
        }
        if !grows() {
            return self.check_space_to_shrink();
        }
        let why = self.no_space.as_ref().map(no_space);
        Err(why.unwrap_or_else(|| self.lack(admitted)))
    }

    /// Checks that the journal accepts records.
    fn check_open(&self) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(journal) = &self.journal else {
            return Err(StoreError::Stopping { resume: None }.into());
        };
        let max = self.config.pending_bytes_max;
        if journal.pending_bytes() >= max {
            let what = "the disk does not keep up with the writes; try again later";
            return Err(StoreError::limit("journal.pending_bytes_max", max, what).into());
        }
        Ok(())
    }

    /// Returns whether there is space for `bytes` more, and beside them for the snapshot which frees
    /// space after deletions, and for the segment that it needs.
    ///
    /// Once there was none, nothing grows before the snapshot of what was written since: a write that
    /// came before it would keep the events of the last revision in the history, and so in the snapshot,
    /// although the deletion they record is to free their space.
    fn has_space_to_grow(&mut self, bytes: u64) -> bool {
        if self.log_bytes.saturating_add(bytes) <= self.ample_until {
            return true;
        }
        let awaits_snapshot = self.lacks_room && self.log_bytes > 0;
        let has_space = !awaits_snapshot && self.has_ample_space(bytes);
        if has_space {
            self.lacks_room = false;
        }
        has_space
    }

    /// Checks that a record which shrinks the store fits in the existing segments, or that another
    /// segment can be created without the space for the snapshot.
    fn check_space_to_shrink(&mut self) -> Result<(), Error> {
        if self.no_space.is_none() && (self.log_bytes < self.ample_until || self.has_ample_space(0))
        {
            return Ok(());
        }
        let Some(journal) = &self.journal else { return Ok(()) };
        let segment = self.config.segment_bytes;
        let FreeSpace { segments, has_resort, .. } = journal.free_space();
        let segments = segments.saturating_add_unsigned(if has_resort { segment } else { 0 });
        if u64::try_from(segments).is_ok_and(|segments| segments >= segment / 8) {
            return Ok(());
        }
        let why = self.no_space.as_ref().map(no_space);
        Err(why.unwrap_or_else(|| self.lack(0)))
    }

    /// Compares the space with the size of the next snapshot if the log grows by `bytes`.
    fn has_ample_space(&mut self, bytes: u64) -> bool {
        let snapshot = self.snapshot_bytes_max(bytes);
        let Some(journal) = &self.journal else { return true };
        let log_bytes = self.log_bytes.saturating_add(bytes);
        let FreeSpace { segments, disk: Some(disk), .. } = journal.free_space() else {
            self.ample_until = log_bytes.saturating_add(COMPARE_EVERY);
            return true;
        };
        let segments = segments.saturating_sub_unsigned(bytes);
        let segment = i64::try_from(self.config.segment_bytes).unwrap_or(i64::MAX);
        let kept = snapshot.saturating_add(self.config.segment_bytes);
        let Some(left) = disk.saturating_add_signed(segments.min(segment)).checked_sub(kept) else {
            return false;
        };
        // Each byte of log takes one byte of a segment and up to two of the snapshot.
        self.ample_until = log_bytes.saturating_add((left / 4).min(COMPARE_EVERY));
        true
    }

    /// Requests a snapshot, because the disk has space for nothing else; returns the refusal of `bytes`.
    fn lack(&mut self, bytes: u64) -> Error {
        let snapshot = self.snapshot_bytes_max(bytes);
        self.lacks_room = true;
        self.look_for_space();
        refusal(&format!("on the disk, beside {snapshot} bytes for a snapshot,"), "make room")
    }

    /// Returns the most bytes that the next snapshot takes if the log has `more`.
    fn snapshot_bytes_max(&self, more: u64) -> u64 {
        let before = self.snapshot.map_or(0, |it| it.bytes);
        let log_bytes = self.log_bytes.saturating_add(more);
        snapshot_bytes_max(before, log_bytes, self.config.segment_bytes)
    }

    /// Returns the reason why nothing more is written.
    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(super) fn config(&self) -> &JournalConfig {
        &self.config
    }

    pub(super) fn durability(&self) -> Durability {
        self.config.durability
    }

    /// Returns the number of the last record handed over.
    pub(super) fn appended(&self) -> RecordSeq {
        self.appended
    }

    /// Hands records over; returns whether there were any.
    pub(super) fn append(&mut self, records: &mut RecordBatch) -> bool {
        self.admitted = self.admitted_large;
        let Some(journal) = self.journal.as_mut().filter(|_| !records.is_empty()) else {
            return false;
        };
        self.log_bytes += records.bytes() as u64;
        self.appended = journal.append(records);
        self.reserve();
        true
    }

    /// Keeps the admitted bytes until [`large_ends`](Self::large_ends): a large write has its record
    /// only at its end, and other records are handed over before.
    pub(super) fn large_begins(&mut self) {
        self.admitted_large = self.admitted;
    }

    /// Notes that the record of the large write was handed over.
    pub(super) fn large_ends(&mut self) {
        self.admitted = self.admitted.saturating_sub(std::mem::take(&mut self.admitted_large));
    }

    /// Reserves space for the next snapshot.
    fn reserve(&mut self) {
        let bytes = self.snapshot_bytes_max(0);
        if let Some(journal) = &mut self.journal {
            journal.reserve(bytes);
        }
    }

    /// Requests a new reading of the free space of the disk, because other programs use it too.
    pub(super) fn look_for_space(&mut self) {
        self.ample_until = 0;
        if let Some(journal) = &mut self.journal {
            journal.look_for_space();
        }
    }

    /// Requests a sync.
    pub(super) fn sync(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.sync();
        }
    }

    pub(super) fn set_no_space(&mut self, why: Option<JournalError>) {
        self.no_space = why;
    }

    /// Returns whether there is space for requests that grow the store.
    pub(super) fn has_space(&self) -> bool {
        self.no_space.is_none() && !self.lacks_room
    }

    /// Ends all writing; reports the failure to the service once, however many actors notice it.
    pub(super) fn fail(&mut self, error: &JournalError) -> Error {
        if let Some(error) = &self.failed {
            return error.clone();
        }
        tracing::error!(%error, "the journal failed: nothing more is written");
        let message = format!(
            "the journal failed, so nothing more is written: {error}; the outcome of writes \
             in progress is known when the store is opened again"
        );
        let error = Error::new(ErrorCode::JournalFailed, message);
        self.failure.send_replace(Some(error.clone()));
        self.failed = Some(error.clone());
        error
    }

    /// Returns the bytes of records after the newest snapshot.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Returns whether the log has grown so long that a snapshot should replace it.
    pub(super) fn is_long(&self) -> bool {
        let JournalConfig { snapshot_log_bytes, .. } = self.config;
        self.log_bytes >= snapshot_log_bytes.max(self.snapshot.map_or(0, |it| it.bytes))
    }

    /// Returns the newest snapshot, if nothing has changed since.
    pub(super) fn newest_snapshot(&self) -> Option<SnapshotInfo> {
        self.snapshot.filter(|it| it.seq == self.appended)
    }

    /// Begins a snapshot of everything handed over so far; returns false if the journal is closed.
    pub(super) fn begin_snapshot(&mut self) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        journal.begin_snapshot();
        self.log_bytes_covered = self.log_bytes;
        true
    }

    /// Hands over a part of the snapshot.
    pub(super) fn add_to_snapshot(&mut self, batch: &mut RecordBatch, pace: Duration) {
        if let Some(journal) = &mut self.journal {
            journal.add_to_snapshot(batch, pace);
        }
    }

    /// Completes the snapshot.
    pub(super) fn finish_snapshot(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.finish_snapshot();
        }
    }

    /// Abandons the snapshot.
    pub(super) fn abandon_snapshot(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.abandon_snapshot();
        }
    }

    pub(super) fn note_snapshot(&mut self, info: SnapshotInfo) {
        self.snapshot = Some(info);
        self.log_bytes -= std::mem::take(&mut self.log_bytes_covered);
        self.ample_until = 0;
        self.reserve();
    }

    pub(super) fn snapshot_failed(&mut self) {
        self.log_bytes_covered = 0;
    }

    /// Requests a part of a snapshot's file.
    pub(super) fn read_snapshot(
        &mut self,
        id: u64,
        offset: u64,
        limit: usize,
        later: ReplyCallback,
    ) {
        let bytes = if limit == 0 { PART_BYTES_MAX } else { limit.min(PART_BYTES_MAX) };
        let done: PartDone = Box::new(move |read| {
            later(read.map(|part| Reply::ReadSnapshot(part.into())).map_err(|error| {
                let message = format!(
                    "{error}; if another snapshot has replaced this one, request a new one"
                );
                Error::new(ErrorCode::Unavailable, message)
            }));
        });
        if let Some(journal) = &mut self.journal {
            journal.read_snapshot(PartRequest { seq: id, offset, bytes, done });
        }
    }

    /// Returns the statistics of the journal; `None` once it is closed.
    pub(super) fn stats(&self) -> Option<JournalStats> {
        self.journal.as_ref().map(|journal| journal.stats())
    }

    /// Takes the journal in order to close it.
    pub(super) fn take_journal(&mut self) -> Option<Box<dyn Journal>> {
        self.journal.take()
    }
}

/// Returns the refusal of growth while no segment can be created for it.
fn no_space(why: &JournalError) -> Error {
    match why {
        JournalError::Quota { max } => {
            let name = "journal.disk_bytes_max".to_owned();
            refusal(&format!("within {name}, which is {max},"), "raise it")
                .with_details(Details::Limit { name, value: *max })
        }
        JournalError::NoSpace { .. } => refusal("on the disk", "make room"),
        other => {
            let message = format!(
                "the next segment of the journal cannot be created: {other}; this is retried every \
                 second; nothing was changed"
            );
            Error::new(ErrorCode::Unavailable, message)
        }
    }
}

fn refusal(place: &str, remedy: &str) -> Error {
    let message = format!(
        "there is no room {place} for the next segment of the journal; delete and compact, or \
         {remedy}; nothing was changed"
    );
    Error::new(ErrorCode::NoSpace, message)
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let code = match &error {
            JournalError::Locked { .. } => ErrorCode::DataDirLocked,
            JournalError::Damaged { .. }
            | JournalError::Gone { .. }
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
