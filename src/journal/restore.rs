//! Makes a journal from a snapshot's file, as a backup is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::error::Action;
use super::exclusive::{self, Exclusive};
use super::format::Snapshot;
use super::maker::Maker;
use super::snapshot::{self, Checked, Reading, Writing};
use super::{JournalError, Replay, segment};
use crate::config::JournalConfig;

/// Where the log of a restored store begins. Not with 1: should the snapshot ever be missing, that
/// would be the log of an empty store.
const FIRST_SEGMENT: u64 = 2;

/// What a snapshot's file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Of which store it is.
    pub(crate) store_id: u64,
    /// Records in it.
    pub(crate) records: u64,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Checks the whole file of a snapshot, giving every record to `replay`.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn check(
    disk: &dyn Disk,
    file: &Path,
    replay: Replay,
) -> Result<Contents, JournalError> {
    let reading = Reading::open(disk, file)?;
    reading.replay(replay)?;
    let Checked { incarnation: store_id, records, bytes, .. } = reading.says();
    Ok(Contents { store_id, records, bytes })
}

/// Makes the journal of a new store, `store_id`, in `dir` from the snapshot in `file`, which is
/// checked in full before.
///
/// # Errors
/// What is wrong with the file; that `dir` has a journal already, or is open. Nothing of what was
/// there has changed.
pub(crate) fn restore(
    disk: &dyn Disk,
    file: &Path,
    dir: &Path,
    config: &JournalConfig,
    store_id: u64,
    replay: Replay,
) -> Result<Contents, JournalError> {
    let contents = check(disk, file, replay)?;
    disk.make_dir(dir).map_err(|error| JournalError::io(Action::MakeDir, dir, &error))?;
    let exclusive = Exclusive::take(disk, dir)?;
    let to = &exclusive.disk;
    if let Some(file) = anything_in(&**to, dir)? {
        return Err(JournalError::NotEmpty { file });
    }
    let reading = Reading::open(disk, file)?;
    let seq = reading.says().seq;
    let mut writing = Writing::begin(to, dir, Snapshot { store_id, seq, incarnation: 0 })?;
    reading.read(|_, framed, records| writing.append(framed, records))?;
    // The snapshot first: without a segment it is refused, a segment without it would be an empty
    // store.
    writing.finish(FIRST_SEGMENT, seq + 1)?;
    Maker::new(Arc::clone(to), dir, store_id, config.segment_bytes).make(FIRST_SEGMENT)?;
    exclusive::mark(&**to, dir, store_id)?;
    Ok(contents)
}

/// A file of a journal, if there is one.
fn anything_in(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, JournalError> {
    let names = disk.list(dir).map_err(|error| JournalError::io(Action::List, dir, &error))?;
    let found = names
        .iter()
        .find(|name| segment::number_in(name).is_some() || snapshot::seq_in(name).is_some());
    Ok(found.map(|name| dir.join(name)))
}
