//! Creates a journal from a snapshot's file, such as a backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::error::JournalOperation;
use super::exclusive::{self, Exclusive};
use super::format::SnapshotHead;
use super::preallocator::Preallocator;
use super::snapshot::{self, SnapshotFacts, SnapshotReader, UnfinishedSnapshot};
use super::{JournalError, Replay, segment};
use crate::config::JournalConfig;

/// The first segment of a restored store. Not 1: if the snapshot were ever missing, a segment 1 would
/// be the log of an empty store.
const FIRST_SEGMENT: u64 = 2;

/// The content of a snapshot's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The id of its store.
    pub(crate) store_id: u64,
    /// The number of records.
    pub(crate) records: u64,
    /// The size in bytes.
    pub(crate) bytes: u64,
}

/// Checks the whole file of a snapshot and passes every record to `replay`.
///
/// # Errors
/// What is wrong with the file, and where.
pub(crate) fn check(
    disk: &dyn Disk,
    file: &Path,
    replay: Replay,
) -> Result<Contents, JournalError> {
    let reading = SnapshotReader::open(disk, file)?;
    reading.replay(replay)?;
    let SnapshotFacts { incarnation: store_id, records, bytes, .. } = reading.facts();
    Ok(Contents { store_id, records, bytes })
}

/// Creates the journal of a new store, `store_id`, in `dir` from the snapshot in `file`, which is
/// checked completely before.
///
/// # Errors
/// What is wrong with the file; or that `dir` already has a journal or is open. Existing files are
/// unchanged.
pub(crate) fn restore(
    disk: &dyn Disk,
    file: &Path,
    dir: &Path,
    config: &JournalConfig,
    store_id: u64,
    replay: Replay,
) -> Result<Contents, JournalError> {
    let contents = check(disk, file, replay)?;
    disk.make_dir(dir).map_err(|error| JournalError::io(JournalOperation::MakeDir, dir, &error))?;
    let exclusive = Exclusive::take(disk, dir)?;
    let to = &exclusive.disk;
    if let Some(file) = anything_in(&**to, dir)? {
        return Err(JournalError::NotEmpty { file });
    }
    let reading = SnapshotReader::open(disk, file)?;
    let seq = reading.facts().seq;
    let mut writing =
        UnfinishedSnapshot::begin(to, dir, SnapshotHead { store_id, seq, incarnation: 0 })?;
    reading.read(|_, framed, records| writing.append(framed, records))?;
    // The snapshot first: without a segment it is refused, while a segment without it would be an empty
    // store.
    writing.finish(FIRST_SEGMENT, seq + 1)?;
    Preallocator::new(Arc::clone(to), dir, store_id, config.segment_bytes).make(FIRST_SEGMENT)?;
    exclusive::mark(&**to, dir, store_id)?;
    Ok(contents)
}

/// Returns a file of a journal, if there is one.
fn anything_in(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, JournalError> {
    let names =
        disk.list(dir).map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
    let found = names
        .iter()
        .find(|name| segment::number_in(name).is_some() || snapshot::seq_in(name).is_some());
    Ok(found.map(|name| dir.join(name)))
}
