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
//! - **Readable is not durable** (`ready`): after a kill or a failed sync, data may be in memory
//!   only, so the end of the log is written again before anything is appended to it.
//! - **Incarnations** (`ready`): if something visible may have been lost, the store continues
//!   under another id, and the queue skips ids and epochs, so that no new object has the name of
//!   one that was visible.
//! - **Room**: a request that makes the store larger is admitted only if the disk also has room
//!   for the next snapshot and a segment, because the snapshot is what gives room back. The
//!   journal reports the room of its disk (`Journal::room`) and keeps the reserved room
//!   (`reserve`).
//! - **Snapshots** (`keeper`): the store writes itself in slices, one per turn, as records in the
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
mod keeper;
mod maker;
mod ready;
mod recovery;
#[cfg(any(test, feature = "cli"))]
mod repair;
#[cfg(any(test, feature = "cli"))]
mod restore;
mod segment;
mod shared;
mod snapshot;
#[cfg(any(test, feature = "cli"))]
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod thread;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use batch::Batch;
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
pub(crate) use steps::{Hand, Steps, Wake};

use crate::config::JournalConfig;
use error::Action;
use exclusive::Exclusive;
use files::Access;
use ready::Incarnation;
use thread::FileJournal;

/// Number of a record: from 1, consecutive for ever.
pub(crate) type Seq = u64;

/// What the journal's thread reports, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Progress {
    /// The operating system has every record up to this one.
    Written(Seq),
    /// The disk has every record up to this one.
    Synced(Seq),
    /// Nothing more is written, ever; told once.
    Failed(JournalError),
    /// Why no successor segment could be made: refuse writes that grow; `None`: there is room again.
    Space(Option<JournalError>),
    /// A part of a snapshot was written: there is room for another.
    SnapshotTaken,
    /// A snapshot is safe, and what it replaces is gone.
    Snapshot(SnapshotInfo),
    /// A snapshot was not made; the log is as it was.
    SnapshotFailed(JournalError),
}

/// A snapshot that is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotInfo {
    /// The last record it stands for.
    pub(crate) seq: Seq,
    /// Size of its file.
    pub(crate) bytes: u64,
}

/// Asks for a part of a snapshot's file.
pub(crate) struct Part {
    /// Which snapshot.
    pub(crate) seq: Seq,
    /// Where in the file.
    pub(crate) offset: u64,
    /// Most bytes; fewer come only at the end of the file, none behind it.
    pub(crate) bytes: usize,
    /// Gets the bytes, or why not: another snapshot may have replaced this one.
    pub(crate) done: PartDone,
}

/// Gets a part of a snapshot's file.
pub(crate) type PartDone = Box<dyn FnOnce(Result<Vec<u8>, JournalError>) + Send>;

/// Where the journal's thread reports to.
pub(crate) type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// Gets every record back; says what is wrong with one it cannot read.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(Seq, &[u8]) -> Result<(), String>;

/// Takes records and makes them durable.
pub(crate) trait Journal: Send {
    /// Hands over records, never blocks; tells the number of the last. Takes the content and
    /// leaves the batch empty. After a failure nothing is written any more.
    fn append(&mut self, batch: &mut Batch) -> Seq;
    /// Asks for a sync, now, of everything handed over; of use with durability `interval`.
    fn sync(&mut self);
    /// Begins a snapshot of every record handed over so far. Told by [`Progress`] when a part of it
    /// is taken, and when it is safe or failed; one at a time.
    fn begin_snapshot(&mut self);
    /// Hands over records of the snapshot, never blocks; leaves the batch empty. Callers have only
    /// few parts under way at once. Each takes `pace` at least, so that the disk has time for
    /// commits.
    fn add_to_snapshot(&mut self, batch: &mut Batch, pace: Duration);
    /// The snapshot has all its records.
    fn finish_snapshot(&mut self);
    /// Gives the snapshot up.
    fn abandon_snapshot(&mut self);
    /// Reads from a snapshot.
    fn read_snapshot(&mut self, part: Part);
    /// Bytes handed over and not yet written.
    fn pending_bytes(&self) -> usize;
    /// How it is going.
    fn stats(&self) -> JournalStats;
    /// Returns the room for records, as last read from the disk.
    fn room(&self) -> FreeSpace;
    /// Keeps so many bytes of the disk for the next snapshot: segments are made beside them, unless
    /// something that was handed over has nowhere else to go.
    fn reserve(&mut self, bytes: u64);
    /// Has the room on the disk read again.
    fn look_for_room(&mut self);
    /// Writes and syncs everything, marks the log as closed, ends the threads; blocks, but no longer
    /// than `within`.
    fn close_within(self: Box<Self>, within: Duration) -> Result<(), JournalError>;
    /// As [`close_within`](Self::close_within), with all the time that a disk needs.
    #[cfg(any(test, feature = "internals"))]
    fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.close_within(Duration::from_secs(60))
    }
}

/// Returns how many bytes the next snapshot takes at most: what the last one has, twice what the log
/// since adds (a small key or a job takes more in a snapshot than in the log), and some for what has a
/// size of its own.
pub(crate) fn snapshot_bytes_max(before: u64, log_bytes: u64, segment_bytes: u64) -> u64 {
    before.saturating_add(log_bytes.saturating_mul(2)).saturating_add(segment_bytes / 8)
}

/// The room a journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeSpace {
    /// Bytes for records in the segments that are there, negative if more was handed over already.
    pub(crate) segments: i64,
    /// Another segment is made for what has nowhere else to go, even where all the room is used that the
    /// journal may have: so much can be deleted behind a snapshot.
    pub(crate) has_resort: bool,
    /// Bytes that new files may take; `None` where the disk does not report them.
    pub(crate) disk: Option<u64>,
}

/// How a journal is going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JournalStats {
    /// The last record written.
    pub(crate) written: Seq,
    /// The last record known to be on the disk.
    pub(crate) synced: Seq,
    /// Segments, those prepared included.
    pub(crate) segments: u64,
    /// Bytes of segments and snapshots.
    pub(crate) disk_bytes: u64,
    /// Commits since the journal was opened.
    pub(crate) commits: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// Bytes written for them, headers and padding included.
    pub(crate) bytes: u64,
    /// The newest snapshot.
    pub(crate) snapshot: Option<SnapshotInfo>,
    /// How long the last sync took, microseconds.
    pub(crate) sync_micros_last: u64,
}

/// An open journal and what was found.
pub(crate) struct Opened {
    /// Takes what comes after `last`.
    pub(crate) journal: Box<dyn Journal>,
    /// The id of the store, as clients see it.
    pub(crate) store_id: u64,
    /// The id is new: the log was not closed, and what was shown with durability `interval` may be lost.
    pub(crate) is_reborn: bool,
    /// Bytes, zeros not counted, of a torn tail that were cut.
    pub(crate) cut_bytes: u64,
    /// The last record replayed; 0 for none.
    pub(crate) last: Seq,
    /// Bytes of the log's records behind the snapshot.
    pub(crate) log_bytes: u64,
}

/// Who does the work of an open journal.
pub(crate) enum Labour {
    /// Threads of its own.
    Threads,
    /// Whoever is given the [`Steps`], told by [`Wake`] when there are some to take.
    #[cfg(any(test, feature = "cli"))]
    Steps(Wake, Box<dyn FnOnce(Steps)>),
}

/// Opens or makes the journal in `dir`, replaying every record in order. `new_store_id` is for a
/// new store, and for one of which something that was shown may be lost.
///
/// `report` is called from the journal's thread, `replay` from here.
///
/// # Errors
/// What is wrong, with file and offset; of what was there nothing has changed.
#[cfg(test)]
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: &JournalConfig,
    new_store_id: u64,
    report: Report,
    replay: Replay,
) -> Result<Opened, JournalError> {
    open_by(Labour::Threads, disk, dir, config, new_store_id, report, replay)
}

/// Opens or makes the journal in `dir`, replaying every record in order; `labour` does its work.
///
/// `report` is called by whoever does the work, `replay` from here.
///
/// # Errors
/// What is wrong, with file and offset; of what was there nothing has changed.
pub(crate) fn open_by(
    labour: Labour,
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: &JournalConfig,
    new_store_id: u64,
    report: Report,
    replay: Replay,
) -> Result<Opened, JournalError> {
    disk.make_dir(dir).map_err(|error| JournalError::io(Action::MakeDir, dir, &error))?;
    let exclusive = Exclusive::take(&*disk, dir)?;
    let disk = Arc::clone(&exclusive.disk);
    let found = recovery::scan(&*disk, dir, Access::Write, replay)?;
    let base = found.store_id.unwrap_or(new_store_id);
    let is_new = found.loose;
    let known = found.incarnation.unwrap_or(base);
    let incarnation = Incarnation { id: if is_new { new_store_id } else { known }, is_new };
    let maker = maker::Maker::new(disk, dir, base, config.segment_bytes);
    let ready = ready::prepare(found, incarnation, &maker)?;
    let (last, cut_bytes, log_bytes) = (ready.last, ready.cut_bytes, ready.log_bytes);
    let journal = match labour {
        Labour::Threads => FileJournal::start(ready, maker, config, report, exclusive)?,
        #[cfg(any(test, feature = "cli"))]
        Labour::Steps(wake, take) => {
            let (journal, steps) = FileJournal::step(ready, maker, config, report, exclusive, wake);
            take(steps);
            journal
        }
    };
    let Incarnation { id: store_id, is_new: is_reborn } = incarnation;
    Ok(Opened { journal: Box::new(journal), store_id, is_reborn, cut_bytes, last, log_bytes })
}

/// Checks every byte of the journal in `dir`, changing nothing.
///
/// # Errors
/// What is wrong, with file and offset; `Locked` while a server has it open.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn verify(disk: &dyn Disk, dir: &Path, each: Replay) -> Result<Verified, JournalError> {
    let exclusive = Exclusive::look(disk, dir)?;
    Ok(recovery::scan(&*exclusive.disk, dir, Access::Read, each)?.verified())
}
