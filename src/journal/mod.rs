//! The journal: numbered records, durable in the order they were handed over.
//!
//! It knows nothing of what the records say. `docs/journal.md` has every byte of the format and
//! the rules of recovery; [`open`] is the way in, [`Journal`] what it gives.

mod batch;
mod disk;
mod error;
mod format;
mod maker;
#[cfg(test)]
mod memory;
mod recovery;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub(crate) use batch::Batch;
#[cfg(any(test, feature = "cli"))]
pub(crate) use disk::FaultyDisk;
pub(crate) use disk::{Disk, RealDisk};
pub(crate) use error::JournalError;
#[cfg(test)]
pub(crate) use memory::MemoryJournal;
#[cfg(any(test, feature = "cli"))]
pub(crate) use recovery::Verified;

use crate::config::JournalConfig;
use error::Action;
use recovery::Access;

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
    /// `false`: no successor segment could be made, refuse writes that grow; `true`: room again.
    Space(bool),
}

/// Where the journal's thread reports to.
pub(crate) type Report = Box<dyn Fn(Progress) + Send>;

/// Gets every record back; says what is wrong with one it cannot read.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(Seq, &[u8]) -> Result<(), String>;

/// Takes records and makes them durable.
pub(crate) trait Journal: Send {
    /// Hands over records, never blocks; tells the number of the last. Takes the content and
    /// leaves the batch empty. After a failure nothing is written any more.
    fn append(&mut self, batch: &mut Batch) -> Seq;
    /// Asks for a sync, now, of everything handed over; of use with durability `interval`.
    fn sync(&mut self);
    /// Bytes handed over and not yet written.
    fn pending_bytes(&self) -> usize;
    /// How it is going.
    fn stats(&self) -> JournalStats;
    /// Writes and syncs everything, marks the log as closed, ends the thread; blocks.
    fn close(self: Box<Self>) -> Result<(), JournalError>;
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
    /// Their bytes.
    pub(crate) disk_bytes: u64,
    /// Commits since the journal was opened.
    pub(crate) commits: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// Bytes written for them, headers and padding included.
    pub(crate) bytes: u64,
    /// How long the last sync took, microseconds.
    pub(crate) sync_micros_last: u64,
    /// How long the longest sync took, microseconds.
    pub(crate) sync_micros_max: u64,
}

/// An open journal and what was found.
pub(crate) struct Opened {
    /// Takes what comes after `last`.
    pub(crate) journal: Box<dyn Journal>,
    /// The identity written in the segments.
    pub(crate) store_id: u64,
    /// Bytes, zeros not counted, of a torn tail that were cut.
    pub(crate) cut_bytes: u64,
    /// The last record replayed; 0 for none.
    pub(crate) last: Seq,
}

/// Opens or makes the journal in `dir`, replaying every record in order.
///
/// `report` is called from the journal's thread, `replay` from here.
///
/// # Errors
/// What is wrong, with file and offset; of what was there nothing has changed.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: &JournalConfig,
    new_store_id: u64,
    report: Report,
    replay: Replay,
) -> Result<Opened, JournalError> {
    disk.make_dir(dir).map_err(|error| JournalError::io(Action::MakeDir, dir, &error))?;
    let lock = recovery::lock(&*disk, dir)?;
    let found = recovery::scan(&*disk, dir, Access::Write, replay)?;
    let store_id = found.store_id.unwrap_or(new_store_id);
    let maker = maker::Maker::new(Arc::clone(&disk), dir, store_id, config.segment_bytes);
    let ready = recovery::prepare(found, &maker)?;
    let (last, cut_bytes) = (ready.last, ready.cut_bytes);
    let journal = thread::FileJournal::start(ready, maker, config, report, lock)?;
    Ok(Opened { journal: Box::new(journal), store_id, cut_bytes, last })
}

/// Checks every byte of the journal in `dir`, changing nothing.
///
/// # Errors
/// What is wrong, with file and offset; `Locked` while a server has it open.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn verify(disk: &dyn Disk, dir: &Path) -> Result<Verified, JournalError> {
    let names = disk.list(dir).map_err(|error| JournalError::io(Action::List, dir, &error))?;
    // Without the file nobody has it open, and making one would be a change.
    let _lock = match names.iter().any(|name| name == recovery::LOCK) {
        true => Some(recovery::lock(disk, dir)?),
        false => None,
    };
    Ok(recovery::scan(disk, dir, Access::Read, &mut |_, _| Ok(()))?.verified())
}
