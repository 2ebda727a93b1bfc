//! Drops the end of a log from a damaged position on: the operator's last resort.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::error::JournalOperation;
use super::exclusive::{self, Exclusive};
use super::files::StopPosition;
use super::format::{
    COMMIT_HEAD, CommitHead, CommitSlot, FLAG_NO_SUCCESSOR, FLAG_UNSYNCED_SHOWN, SEGMENT_HEAD,
    SegmentHead,
};
use super::preallocator::Preallocator;
use super::recovery;
use super::segment;
use super::{JournalError, RecordSeq};
use crate::config::JournalConfig;

/// The size of a read; a multiple of the alignment of commits.
const CHUNK: u64 = 64 * 1024;

const EMPTY: CommitHead = CommitHead {
    first: 0,
    synced_through: 0,
    bytes: 0,
    records: 0,
    zero_sectors: 0,
    flags: 0,
    incarnation: 0,
};

/// A planned repair; nothing has changed yet.
pub(crate) struct Repair {
    exclusive: Exclusive,
    dir: PathBuf,
    /// The last segment that remains, and its commits that stay; `None` if there are none.
    end: Option<(SegmentHead, Vec<u8>)>,
    /// Segments to remove completely.
    later: Vec<u64>,
    dropped: Dropped,
}

/// The commits that a repair drops, and those that it keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The last record that stays.
    pub(crate) last: RecordSeq,
    /// Dropped records, as far as they can be counted.
    pub(crate) records: u64,
    /// Non-zero bytes from the first dropped record on.
    pub(crate) bytes: u64,
    /// Segments to remove completely.
    pub(crate) segments: u64,
}

/// Determines what is dropped if the log in `dir` ends before the commit at `offset` of `file`.
///
/// # Errors
/// What is wrong before that position, or that the snapshot needs what is after it.
pub(crate) fn plan(
    disk: &dyn Disk,
    dir: &Path,
    file: &str,
    offset: u64,
) -> Result<Repair, JournalError> {
    let Some(number) = segment::number_in(file).flatten() else {
        let what = "only a segment (NNNNNNNNNNNNNNNN.log) can be cut off; for a snapshot restore a \
                    backup";
        return Err(JournalError::format(&dir.join(file), what));
    };
    let exclusive = Exclusive::take(disk, dir)?;
    let disk = &*exclusive.disk;
    let names =
        disk.list(dir).map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
    let found =
        recovery::scan_until(disk, dir, StopPosition { number, offset }, &mut |_, _| Ok(()))?;
    let last = found.last();
    let mut dropped = Dropped { last, ..Dropped::default() };
    let mut newest = last;
    let mut end = None;
    if let Some((segment, at)) = found.end() {
        let mut commits = vec![0; at.saturating_sub(SEGMENT_HEAD as u64) as usize];
        segment.read(SEGMENT_HEAD as u64, &mut commits)?;
        let head = count(disk, dir, segment.head.number, at, &mut dropped, &mut newest)?;
        end = Some((head.unwrap_or(segment.head), commits));
    }
    let kept = end.as_ref().map_or(0, |(head, _)| head.number);
    let numbers = names.iter().filter_map(|name| segment::number_in(name).flatten());
    let mut later: Vec<u64> = numbers.filter(|number| *number > kept).collect();
    later.sort_unstable();
    for number in &later {
        count(disk, dir, *number, SEGMENT_HEAD as u64, &mut dropped, &mut newest)?;
    }
    dropped.segments = later.len() as u64;
    dropped.records = newest - last;
    Ok(Repair { exclusive, dir: dir.to_owned(), end, later, dropped })
}

/// Counts the content of a segment's file from `from` on, whatever its state, and notes the newest
/// record; returns the header if there is one.
fn count(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    from: u64,
    dropped: &mut Dropped,
    newest: &mut RecordSeq,
) -> Result<Option<SegmentHead>, JournalError> {
    let path = segment::path(dir, number);
    let failed = |error| JournalError::io(JournalOperation::Read, &path, &error);
    let file = disk.open(&path).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    let read = |at: u64, bytes: u64| -> Result<Vec<u8>, JournalError> {
        let mut chunk = vec![0; len.saturating_sub(at).min(bytes) as usize];
        file.read_at(at, &mut chunk).map_err(failed)?;
        Ok(chunk)
    };
    let head = SegmentHead::decode(&read(0, SEGMENT_HEAD as u64)?).ok();
    let mut at = from;
    while at < len {
        let chunk = read(at, CHUNK)?;
        dropped.bytes += chunk.iter().filter(|byte| **byte != 0).count() as u64;
        for (slot, place) in chunk.chunks(COMMIT_HEAD).zip((at..).step_by(COMMIT_HEAD)) {
            let salt = head.map_or(0, |head| head.salt);
            if let CommitSlot::Commit(commit) = CommitHead::decode(slot, salt, place) {
                *newest = commit.last().max(*newest);
            }
        }
        at += CHUNK;
    }
    Ok(head)
}

impl Repair {
    /// Returns what will be dropped.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Executes the repair.
    ///
    /// # Errors
    /// The operating system refused; the same repair may be tried again.
    pub(crate) fn apply(self, config: &JournalConfig) -> Result<(), JournalError> {
        let disk = &*self.exclusive.disk;
        if self.end.is_none() {
            // Nothing remains that could be missed.
            exclusive::unmark(disk, &self.dir)?;
        }
        // From the last to the first, so that a log with a damaged end remains at any time.
        for number in self.later.iter().rev() {
            let path = segment::path(&self.dir, *number);
            let removed = disk.remove(&path);
            removed.map_err(|error| JournalError::io(JournalOperation::Remove, &path, &error))?;
            let synced = disk.sync_dir(&self.dir);
            synced.map_err(|error| JournalError::io(JournalOperation::Sync, &self.dir, &error))?;
        }
        let Some((head, mut commits)) = self.end else { return Ok(()) };
        let Self { exclusive, dir, dropped, .. } = self;
        let at = (SEGMENT_HEAD + commits.len()) as u64;
        if dropped.bytes > 0 && at + COMMIT_HEAD as u64 <= head.size {
            // The dropped records may have been visible, so the store gets another id when it is
            // opened.
            let last = dropped.last;
            let flags = FLAG_UNSYNCED_SHOWN | FLAG_NO_SUCCESSOR;
            let mark = CommitHead { first: last + 1, synced_through: last, flags, ..EMPTY };
            commits.extend_from_slice(&mark.encode(head.salt, at));
        }
        let preallocator = Preallocator::new(
            Arc::clone(&exclusive.disk),
            &dir,
            head.store_id,
            config.segment_bytes,
        );
        // As a copy, because the file may also be too short or too long.
        preallocator.put(head, &commits)?;
        preallocator.make(head.number + 1)?;
        Ok(())
    }
}
