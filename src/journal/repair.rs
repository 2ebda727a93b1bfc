//! Drops the end of a log from a damaged place on: the operator's last way out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskLock};
use super::error::Action;
use super::format::{COMMIT_HEAD, CommitHead, SEGMENT_HEAD, Slot};
use super::maker::Maker;
use super::ready;
use super::recovery::{self, Found, Stop};
use super::segment::{self, Segment};
use super::{JournalError, Seq};
use crate::config::JournalConfig;

/// What is to be dropped; nothing has changed yet.
pub(crate) struct Repair {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    found: Found,
    /// Segments that go as a whole.
    later: Vec<u64>,
    dropped: Dropped,
    _lock: DiskLock,
}

/// What a repair drops, and what it leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The last record that stays.
    pub(crate) last: Seq,
    /// Records behind it, as far as they can be counted.
    pub(crate) records: u64,
    /// Bytes of them and everything behind, zeros not counted.
    pub(crate) bytes: u64,
    /// Segments that go as a whole.
    pub(crate) segments: u64,
}

/// Finds out what is dropped if the log in `dir` ends before the commit at `offset` of `file`.
///
/// # Errors
/// What is wrong before that place, or that the snapshot needs what is behind it.
pub(crate) fn plan(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    file: &str,
    offset: u64,
) -> Result<Repair, JournalError> {
    let Some(number) = segment::number_in(file).flatten() else {
        let what = "only a segment (NNNNNNNNNNNNNNNN.log) can be cut off; for a snapshot restore a \
                    backup";
        return Err(JournalError::format(&dir.join(file), what));
    };
    let lock = recovery::lock(&**disk, dir)?;
    let names = disk.list(dir).map_err(|error| JournalError::io(Action::List, dir, &error))?;
    let found = recovery::scan_until(&**disk, dir, Stop { number, offset }, &mut |_, _| Ok(()))?;
    let last_kept = found.last_segment().unwrap_or(0);
    let mut later: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::number_in(name).flatten())
        .filter(|number| *number > last_kept)
        .collect();
    later.sort_unstable();
    let mut dropped =
        Dropped { last: found.last(), segments: later.len() as u64, ..Dropped::default() };
    if let Some((segment, at)) = found.end() {
        count(segment, at, &mut dropped)?;
    }
    for number in &later {
        let path = segment::path(dir, *number);
        // What cannot even be opened cannot be counted.
        if let Ok(segment) = recovery::open_segment(&**disk, path, *number, recovery::Access::Read)
        {
            count(&segment, SEGMENT_HEAD as u64, &mut dropped)?;
        }
    }
    Ok(Repair { disk: Arc::clone(disk), dir: dir.to_owned(), found, later, dropped, _lock: lock })
}

/// Counts what is in a segment from `from` on.
fn count(segment: &Segment, from: u64, dropped: &mut Dropped) -> Result<(), JournalError> {
    segment.chunks(from, |start, chunk| {
        dropped.bytes += chunk.iter().filter(|byte| **byte != 0).count() as u64;
        let slots = chunk.chunks(COMMIT_HEAD).zip((start..).step_by(COMMIT_HEAD));
        for (slot, at) in slots {
            if let Slot::Commit(commit) = CommitHead::decode(slot, segment.head.salt, at) {
                dropped.records += u64::from(commit.records);
            }
        }
        Ok(true)
    })
}

impl Repair {
    /// What will be dropped.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Drops it.
    ///
    /// # Errors
    /// The operating system refused; the same repair may be tried again.
    pub(crate) fn apply(self, config: &JournalConfig) -> Result<(), JournalError> {
        // The last first: what is left is always a log with a damaged end.
        for number in self.later.iter().rev() {
            let path = segment::path(&self.dir, *number);
            let removed = self.disk.remove(&path);
            removed.map_err(|error| JournalError::io(Action::Remove, &path, &error))?;
        }
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|error| JournalError::io(Action::Sync, &self.dir, &error))?;
        if let Some((segment, at)) = self.found.end() {
            ready::clear(segment, at)?;
            let store_id = segment.head.store_id;
            let maker =
                Maker::new(Arc::clone(&self.disk), &self.dir, store_id, config.segment_bytes);
            maker.make(segment.head.number + 1)?;
        }
        Ok(())
    }
}
