//! [`Log`]: the journal that the actors of a service share, and what they must agree on about it.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::message::Later;
use crate::config::{Durability, JournalConfig};
use crate::error::{Details, Error, ErrorCode};
use crate::journal::{
    Batch, Journal, JournalError, JournalStats, Opened, Part, PartDone, Seq, SnapshotInfo,
};
use crate::model::Reply;
use crate::store::StoreError;

/// Most bytes of a snapshot's file in one answer: they wait in memory for a peer that does not read.
const PART_BYTES_MAX: usize = 64 * 1024;

/// The log as each of its actors has it. They run on one thread, each hands over what it changed
/// before its turn ends: so whoever looks finds every room as its records have it.
#[derive(Clone)]
pub(crate) struct SharedLog(Rc<RefCell<Log>>);

pub(crate) struct Log {
    /// `None` once it is closed.
    journal: Option<Box<dyn Journal>>,
    config: JournalConfig,
    /// The last record handed over.
    appended: Seq,
    /// Why nothing is written any more.
    failed: Option<Error>,
    /// Tells the service so.
    failure: watch::Sender<Option<Error>>,
    /// Why there is no room for what grows.
    no_room: Option<JournalError>,
    /// Bytes of records behind the newest snapshot.
    log_bytes: u64,
    /// Of them, those before the snapshot under way.
    log_bytes_covered: u64,
    snapshot: Option<SnapshotInfo>,
}

impl SharedLog {
    pub(crate) fn new(
        opened: Opened,
        config: JournalConfig,
        failure: watch::Sender<Option<Error>>,
    ) -> Self {
        Self(Rc::new(RefCell::new(Log {
            snapshot: opened.journal.stats().snapshot,
            journal: Some(opened.journal),
            config,
            appended: opened.last,
            failed: None,
            failure,
            no_room: None,
            log_bytes: opened.log_bytes,
            log_bytes_covered: 0,
        })))
    }

    pub(super) fn get(&self) -> Ref<'_, Log> {
        self.0.borrow()
    }

    pub(super) fn get_mut(&self) -> RefMut<'_, Log> {
        self.0.borrow_mut()
    }

    /// One of the actors is gone by a panic: what was handed over is written, and nothing more is,
    /// not even a snapshot of the state that it left.
    pub(super) fn abandon(&self, error: &Error) {
        let journal = match self.0.try_borrow_mut() {
            Ok(mut log) => {
                log.abandon_snapshot();
                log.failed.get_or_insert_with(|| error.clone());
                log.journal.take()
            }
            Err(_) => return,
        };
        // Not while the log is borrowed: the journal reports to whoever has it.
        drop(journal);
    }
}

impl Log {
    /// That something more can be written; `grows`, if it may make what is kept larger.
    pub(super) fn check(&self, grows: bool) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let max = self.config.pending_bytes_max;
        if self.journal.as_ref().is_none_or(|journal| journal.pending_bytes() >= max) {
            let what = "the disk does not keep up with what is written; try again later";
            return Err(StoreError::limit("journal.pending_bytes_max", max, what).into());
        }
        self.no_room.as_ref().filter(|_| grows).map_or(Ok(()), |why| Err(no_room(why)))
    }

    /// Why nothing is written any more.
    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(super) fn config(&self) -> &JournalConfig {
        &self.config
    }

    pub(super) fn durability(&self) -> Durability {
        self.config.durability
    }

    /// The last record handed over.
    pub(super) fn appended(&self) -> Seq {
        self.appended
    }

    /// Hands records over; tells whether there were any.
    pub(super) fn append(&mut self, records: &mut Batch) -> bool {
        let Some(journal) = self.journal.as_mut().filter(|_| !records.is_empty()) else {
            return false;
        };
        self.log_bytes += records.bytes() as u64;
        self.appended = journal.append(records);
        true
    }

    /// Asks for a sync, now.
    pub(super) fn sync(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.sync();
        }
    }

    pub(super) fn set_no_room(&mut self, why: Option<JournalError>) {
        self.no_room = why;
    }

    /// Whether there is room for what grows.
    pub(super) fn has_room(&self) -> bool {
        self.no_room.is_none()
    }

    /// Nothing is written any more; told once to the service, however many learn of it.
    pub(super) fn fail(&mut self, error: &JournalError) -> Error {
        if let Some(error) = &self.failed {
            return error.clone();
        }
        tracing::error!(%error, "the journal failed: nothing is written any more");
        let message = format!(
            "the journal failed, so nothing more is written: {error}; whether the writes under \
             way were done shows when the store is opened again"
        );
        let error = Error::new(ErrorCode::JournalFailed, message);
        self.failure.send_replace(Some(error.clone()));
        self.failed = Some(error.clone());
        error
    }

    /// Bytes of records behind the newest snapshot.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes
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

    /// Hands over a part of the snapshot.
    pub(super) fn add_to_snapshot(&mut self, batch: &mut Batch, pace: Duration) {
        if let Some(journal) = &mut self.journal {
            journal.add_to_snapshot(batch, pace);
        }
    }

    /// The snapshot has all its records.
    pub(super) fn finish_snapshot(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.finish_snapshot();
        }
    }

    /// Gives the snapshot up.
    pub(super) fn abandon_snapshot(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.abandon_snapshot();
        }
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

    /// How the journal is going; `None` once it is closed.
    pub(super) fn stats(&self) -> Option<JournalStats> {
        self.journal.as_ref().map(|journal| journal.stats())
    }

    /// Takes the journal, to be closed.
    pub(super) fn take_journal(&mut self) -> Option<Box<dyn Journal>> {
        self.journal.take()
    }
}

/// The refusal of what grows while no segment can be made for it.
fn no_room(why: &JournalError) -> Error {
    let refuse = |place: &str, remedy: &str| {
        let message = format!(
            "there is no room {place} for the next segment of the journal; delete and compact, or \
             {remedy}; nothing was changed"
        );
        Error::new(ErrorCode::NoSpace, message)
    };
    let JournalError::Quota { max } = *why else { return refuse("on the disk", "make room") };
    let name = "journal.disk_bytes_max".to_owned();
    refuse(&format!("within {name}, which is {max},"), "raise it")
        .with_details(Details::Limit { name, value: max })
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
