//! The journal: numbered records, durable in the order in which they were handed over.
//!
//! The journal does not interpret records. `docs/journal.md` specifies the format byte by byte, and
//! the rules of recovery. [`open_by`] opens a journal and returns a [`Journal`].
//!
//! # Design
//!
//! - **Effects, not requests.** A record contains what a request changed, so that a replay
//!   decides nothing again, under other limits or by another version. One request to the store is
//!   one record; one turn of the queue is one group of records (`groups`). So a transaction or a
//!   push is present completely or not at all.
//! - **Applied and visible.** The store applies changes at once, and shows them up to the last
//!   mark that the journal reported durable: events, waits, snapshots of watches and range reads
//!   use the visible revision. A read whose keys have a pending write waits; every other read is
//!   answered at once. Automatic compaction never compacts what is not visible yet.
//! - **Group commit.** One thread writes and syncs; what arrives meanwhile is the next commit.
//!   Another thread fills segments with zeros in advance, so that a sync has no metadata to
//!   write.
//! - **A tear is not damage.** A power cut leaves zeros in unsynced sectors. Each commit states
//!   what was durable when it was written, so a hole before a later witness is damage, and
//!   refused. A commit with a nearly empty sector is masked, so that no flipped bit looks like a
//!   tear.
//! - **Readable is not durable** (`prepared_log`): after a kill or a failed sync, data may be in memory
//!   only, so the end of the log is written again before anything is appended to it.
//! - **Incarnations** (`prepared_log`): if something visible may have been lost, the store continues
//!   under another id, and the queue skips ids and epochs, so that no new object has the name of
//!   one that was visible.
//! - **Space**: a request that grows the store is admitted only if the disk also has space for
//!   the next snapshot and a segment, because only a snapshot frees space. The journal reports
//!   the free space of its disk (`Journal::free_space`) and keeps the reserved space (`reserve`).
//! - **Snapshots** (`snapshot_writer`): the store writes itself in slices, one per turn, as records in the
//!   log's own encoding, which the same state machine replays. Nothing is copied: the history
//!   already has earlier versions of keys, so only its oldest events must be kept meanwhile; a
//!   lease that changes before it is written is copied. A thread of its own writes, syncs and
//!   renames the snapshot, and then removes the files that it replaces.
//! - **One process** (`exclusive`): the lock is on the directory, as an open file that cannot be
//!   removed. Files are opened relative to it, so a directory that is moved does not mix with
//!   another in its place.
//! - `Disk` is the interface to the operating system. Its second implementation, `FaultyDisk`,
//!   forgets unsynced sectors and names, tears writes, fails, and fills up; `wakeful torture`
//!   runs whole services on it.
//! - **Steps** (`steps`): the journal's threads work one step at a time, so that a simulation
//!   runs the same code step by step, in the order that its seed determines.

mod batch;
mod disk;
mod error;
mod exclusive;
mod files;
mod format;
mod groups;
mod preallocator;
mod prepared_log;
mod recovery;
#[cfg(any(test, feature = "cli"))]
mod repair;
#[cfg(any(test, feature = "cli"))]
mod restore;
mod segment;
mod shared;
mod snapshot;
mod snapshot_writer;
#[cfg(any(test, feature = "cli"))]
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod thread;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use batch::RecordBatch;
#[cfg(any(test, feature = "cli"))]
pub(crate) use disk::FaultyDisk;
pub(crate) use disk::{Disk, RealDisk, warn_if_wide};
pub(crate) use error::JournalError;
#[cfg(any(test, feature = "cli"))]
pub(crate) use recovery::Verified;
#[cfg(any(test, feature = "cli"))]
pub(crate) use repair::{Dropped, plan as plan_repair};
#[cfg(any(test, feature = "cli"))]
pub(crate) use restore::{Contents, check as check_snapshot, restore};
#[cfg(any(test, feature = "cli"))]
pub(crate) use steps::{JournalSteps, JournalWorker, WakeFn};

use crate::config::JournalConfig;
use error::JournalOperation;
use exclusive::Exclusive;
use files::SegmentAccess;
use prepared_log::Incarnation;
use thread::FileJournal;

/// Number of a record, from 1, consecutive for ever.
pub(crate) type RecordSeq = u64;

/// The reports of the journal's thread, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JournalProgress {
    /// The operating system has every record up to this one.
    Written(RecordSeq),
    /// The disk has every record up to this one.
    Synced(RecordSeq),
    /// Nothing more is ever written; reported once.
    Failed(JournalError),
    /// The reason why no successor segment could be created: refuse writes that grow the store; `None`:
    /// there is space again.
    Space(Option<JournalError>),
    /// A part of a snapshot was written: another may be added.
    SnapshotTaken,
    /// A snapshot is safe, and the files that it replaces are removed.
    Snapshot(SnapshotInfo),
    /// A snapshot failed; the log is unaffected.
    SnapshotFailed(JournalError),
}

/// A safe snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotInfo {
    /// The last record in the snapshot.
    pub(crate) seq: RecordSeq,
    /// Size of the file.
    pub(crate) bytes: u64,
}

/// A request for a part of a snapshot's file.
pub(crate) struct PartRequest {
    /// The snapshot.
    pub(crate) seq: RecordSeq,
    /// The position in the file.
    pub(crate) offset: u64,
    /// The most bytes to read; fewer are returned only at the end of the file, none after it.
    pub(crate) bytes: usize,
    /// Called with the bytes or an error: another snapshot may have replaced this one.
    pub(crate) done: PartDone,
}

/// Called with a part of a snapshot's file.
pub(crate) type PartDone = Box<dyn FnOnce(Result<Vec<u8>, JournalError>) + Send>;

/// Called with the reports of the journal's thread.
pub(crate) type ProgressSink = Arc<dyn Fn(JournalProgress) + Send + Sync>;

/// Called with every record that is read back; returns an error text for one it cannot read.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(RecordSeq, &[u8]) -> Result<(), String>;

/// Makes records durable.
pub(crate) trait Journal: Send {
    /// Hands over records without blocking; returns the number of the last one. Empties the batch.
    /// After a failure, nothing more is written.
    fn append(&mut self, batch: &mut RecordBatch) -> RecordSeq;
    /// Requests a sync of everything handed over; useful with durability `interval`.
    fn sync(&mut self);
    /// Begins a snapshot of every record handed over so far. [`JournalProgress`] reports when a part of it was
    /// written, and when it is safe or has failed; one snapshot at a time.
    fn begin_snapshot(&mut self);
    /// Hands over records of the snapshot without blocking; empties the batch. Callers must have only a
    /// few parts in progress at once. Each takes at least `pace`, so that the disk has time for
    /// commits.
    fn add_to_snapshot(&mut self, batch: &mut RecordBatch, pace: Duration);
    /// Completes the snapshot.
    fn finish_snapshot(&mut self);
    /// Abandons the snapshot.
    fn abandon_snapshot(&mut self);
    /// Reads from a snapshot.
    fn read_snapshot(&mut self, part: PartRequest);
    /// Returns the bytes handed over and not yet written.
    fn pending_bytes(&self) -> usize;
    /// Returns the statistics of the journal.
    fn stats(&self) -> JournalStats;
    /// Returns the space for records, as last read from the disk.
    fn free_space(&self) -> FreeSpace;
    /// Reserves bytes of the disk for the next snapshot: segments are created in the rest only, unless
    /// something already handed over needs one.
    fn reserve(&mut self, bytes: u64);
    /// Reads the free space of the disk again.
    fn look_for_space(&mut self);
    /// Writes and syncs everything, marks the log as closed, and ends the threads; blocks for at most
    /// `within`.
    fn close_within(self: Box<Self>, within: Duration) -> Result<(), JournalError>;
    /// Does the same as [`close_within`](Self::close_within), without a time limit.
    #[cfg(any(test, feature = "internals"))]
    fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.close_within(Duration::from_secs(60))
    }
}

/// Returns the most bytes that the next snapshot takes: those of the last one, twice those that the log
/// has added since (a small key or a job takes more in a snapshot than in the log), and some for parts
/// of a fixed size.
pub(crate) fn snapshot_bytes_max(before: u64, log_bytes: u64, segment_bytes: u64) -> u64 {
    before.saturating_add(log_bytes.saturating_mul(2)).saturating_add(segment_bytes / 8)
}

/// The free space of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeSpace {
    /// Bytes for records in the existing segments; negative if more was already handed over.
    pub(crate) segments: i64,
    /// True if one more segment is reserved for records that fit nowhere else, even when the
    /// journal has used all of its space: deletes of that size are accepted before a snapshot frees
    /// space.
    pub(crate) has_resort: bool,
    /// Bytes that new files may take; `None` if the disk does not report them.
    pub(crate) disk: Option<u64>,
}

/// The statistics of a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalStats {
    /// The last record written.
    pub(crate) written: RecordSeq,
    /// The last record known to be on the disk.
    pub(crate) synced: RecordSeq,
    /// Segments, prepared ones included.
    pub(crate) segments: u64,
    /// Bytes of segments and snapshots.
    pub(crate) disk_bytes: u64,
    /// Commits since the journal was opened.
    pub(crate) commits: u64,
    /// Records in those commits.
    pub(crate) records: u64,
    /// Bytes written in those commits, headers and padding included.
    pub(crate) bytes: u64,
    /// The newest snapshot.
    pub(crate) snapshot: Option<SnapshotInfo>,
    /// Duration of the last sync, in microseconds.
    pub(crate) sync_micros_last: u64,
}

/// An open journal and the result of its recovery.
pub(crate) struct OpenedJournal {
    /// Takes the records after `last`.
    pub(crate) journal: Box<dyn Journal>,
    /// The id of the store, as clients see it.
    pub(crate) store_id: u64,
    /// The id is new: the log was not closed, and changes that were visible with durability `interval`
    /// may be lost.
    pub(crate) is_reborn: bool,
    /// Non-zero bytes of a torn tail that were cut off.
    pub(crate) cut_bytes: u64,
    /// The last record replayed; 0 for none.
    pub(crate) last: RecordSeq,
    /// Bytes of the log's records after the snapshot.
    pub(crate) log_bytes: u64,
}

/// The place where the work of an open journal is done.
pub(crate) enum JournalRunner {
    /// Threads of the journal's own.
    Threads,
    /// The receiver of the [`JournalSteps`]; [`WakeFn`] reports when there are some to take.
    #[cfg(any(test, feature = "cli"))]
    Steps(WakeFn, Box<dyn FnOnce(JournalSteps)>),
}

/// Opens or creates the journal in `dir`, and replays every record in order. `new_store_id` is for a
/// new store, and for one that may have lost visible changes.
///
/// `report` is called from the journal's thread, `replay` from the caller's.
///
/// # Errors
/// What is wrong, with file and offset; existing files are unchanged.
#[cfg(test)]
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: &JournalConfig,
    new_store_id: u64,
    report: ProgressSink,
    replay: Replay,
) -> Result<OpenedJournal, JournalError> {
    open_by(JournalRunner::Threads, disk, dir, config, new_store_id, report, replay)
}

/// Opens or creates the journal in `dir`, and replays every record in order; `runner` states where its
/// work is done.
///
/// `report` is called where the work is done, `replay` from the caller's thread.
///
/// # Errors
/// What is wrong, with file and offset; existing files are unchanged.
pub(crate) fn open_by(
    runner: JournalRunner,
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: &JournalConfig,
    new_store_id: u64,
    report: ProgressSink,
    replay: Replay,
) -> Result<OpenedJournal, JournalError> {
    disk.make_dir(dir).map_err(|error| JournalError::io(JournalOperation::MakeDir, dir, &error))?;
    let exclusive = Exclusive::take(&*disk, dir)?;
    let disk = Arc::clone(&exclusive.disk);
    let found = recovery::scan(&*disk, dir, SegmentAccess::Write, replay)?;
    let base = found.store_id.unwrap_or(new_store_id);
    let is_new = found.loose;
    let known = found.incarnation.unwrap_or(base);
    let incarnation = Incarnation { id: if is_new { new_store_id } else { known }, is_new };
    let preallocator = preallocator::Preallocator::new(disk, dir, base, config.segment_bytes);
    let ready = prepared_log::prepare(found, incarnation, &preallocator)?;
    let (last, cut_bytes, log_bytes) = (ready.last, ready.cut_bytes, ready.log_bytes);
    let journal = match runner {
        JournalRunner::Threads => {
            FileJournal::start(ready, preallocator, config, report, exclusive)?
        }
        #[cfg(any(test, feature = "cli"))]
        JournalRunner::Steps(wake, take) => {
            let (journal, steps) =
                FileJournal::step(ready, preallocator, config, report, exclusive, wake);
            take(steps);
            journal
        }
    };
    let Incarnation { id: store_id, is_new: is_reborn } = incarnation;
    Ok(OpenedJournal {
        journal: Box::new(journal),
        store_id,
        is_reborn,
        cut_bytes,
        last,
        log_bytes,
    })
}

/// Checks every byte of the journal in `dir` without changing anything.
///
/// # Errors
/// What is wrong, with file and offset; `Locked` while a server has it open.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn verify(disk: &dyn Disk, dir: &Path, each: Replay) -> Result<Verified, JournalError> {
    let exclusive = Exclusive::look(disk, dir)?;
    Ok(recovery::scan(&*exclusive.disk, dir, SegmentAccess::Read, each)?.verified())
}
