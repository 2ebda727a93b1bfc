//! Opens the files of a journal: the newest snapshot, and the segments from the one it names on.
//!
//! A file that is missing, misnamed, or of another store or an unknown version is an error here; the
//! content of segments is read by [`recovery`](super::recovery).

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::JournalOperation;
use super::format::{ALIGN, BadHead, SEGMENT_HEAD, SegmentHead};
use super::segment::{self, Segment};
use super::snapshot::{self, SnapshotFacts, SnapshotReader};
use super::{JournalError, Replay};

/// The purpose for which segments are opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum SegmentAccess {
    #[cfg(any(test, feature = "cli"))]
    Read,
    Write,
}

/// The position where reading stops: before the commit that contains the byte at `offset` of
/// segment `number`.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopPosition {
    pub(super) number: u64,
    pub(super) offset: u64,
}

/// Reads and replays the newest snapshot, if there is one.
pub(super) fn read_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    replay: Replay,
) -> Result<Option<SnapshotFacts>, JournalError> {
    let mut newest = None;
    for name in names {
        match snapshot::seq_in(name) {
            None => {}
            Some(None) => {
                let what = "this is not a valid name of a snapshot; move the file away";
                return Err(JournalError::format(&dir.join(name), what));
            }
            Some(seq) => newest = newest.max(seq),
        }
    }
    let Some(seq) = newest else { return Ok(None) };
    let path = snapshot::path(dir, seq);
    let reading = SnapshotReader::open(disk, &path)?;
    let checked = reading.facts();
    if checked.seq != seq {
        let what = format!("this is the snapshot of record {} under a wrong name", checked.seq);
        return Err(JournalError::damaged(&path, 32, what));
    }
    reading.replay(replay)?;
    Ok(Some(checked))
}

/// Opens every segment from the one that the snapshot names on, and checks that their headers fit
/// together.
pub(super) fn segments(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    access: SegmentAccess,
    snapshot: Option<SnapshotFacts>,
    stop: Option<StopPosition>,
) -> Result<Vec<Segment>, JournalError> {
    let begin = snapshot.map_or(1, |it| it.segment);
    let mut numbers = Vec::new();
    for name in names {
        match segment::number_in(name) {
            None => {}
            // Segments that a snapshot replaced may still be there.
            Some(Some(number)) => numbers.extend((number >= begin).then_some(number)),
            Some(None) => {
                let what = "this is not a valid name of a segment; move the file away";
                return Err(JournalError::format(&dir.join(name), what));
            }
        }
    }
    numbers.sort_unstable();
    if let Some(snapshot) = snapshot.filter(|_| numbers.is_empty()) {
        if stop.is_some_and(|stop| stop.number <= begin) {
            return Err(JournalError::needed(dir, snapshot.seq));
        }
        let path = segment::path(dir, begin);
        return Err(JournalError::damaged(&path, 0, "this segment is missing"));
    }
    let mut store_id = snapshot.map(|it| it.store_id);
    let mut segments: Vec<Segment> = Vec::with_capacity(numbers.len());
    for (number, expected) in numbers.into_iter().zip(begin..) {
        let path = segment::path(dir, expected);
        if number != expected {
            return Err(JournalError::damaged(&path, 0, "this segment is missing"));
        }
        let any_length = stop.is_some_and(|stop| stop.number == number);
        let segment = open_segment(disk, path, number, access, any_length)?;
        if *store_id.get_or_insert(segment.head.store_id) != segment.head.store_id {
            let what = "this segment belongs to another store";
            return Err(segment.damaged(24, what));
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Opens a segment and checks its header; with `any_length`, the file may be shorter than the header
/// states.
fn open_segment(
    disk: &dyn Disk,
    path: PathBuf,
    number: u64,
    access: SegmentAccess,
    any_length: bool,
) -> Result<Segment, JournalError> {
    let file = match access {
        #[cfg(any(test, feature = "cli"))]
        SegmentAccess::Read => disk.open(&path),
        SegmentAccess::Write => disk.open_writable(&path),
    };
    let file = file.map_err(|error| JournalError::io(JournalOperation::Open, &path, &error))?;
    let len =
        file.len().map_err(|error| JournalError::io(JournalOperation::Read, &path, &error))?;
    if len < SEGMENT_HEAD as u64 {
        return Err(JournalError::damaged(&path, len, "the file is shorter than its header"));
    }
    let mut sector = [0; SEGMENT_HEAD];
    file.read_at(0, &mut sector)
        .map_err(|error| JournalError::io(JournalOperation::Read, &path, &error))?;
    let mut head = SegmentHead::decode(&sector).map_err(|bad| refused(&path, bad))?;
    if head.size != len && any_length {
        head.size = head.size.min(len / ALIGN * ALIGN);
    } else if head.size != len {
        let what = format!("the file has {len} bytes and should have {}", head.size);
        return Err(JournalError::damaged(&path, len.min(head.size), what));
    }
    if head.number != number {
        let what = format!("this is segment {} under a wrong name", head.number);
        return Err(JournalError::damaged(&path, 32, what));
    }
    Ok(Segment { head, path, file })
}

fn refused(path: &Path, bad: BadHead) -> JournalError {
    match bad {
        BadHead::Foreign => {
            let what = "it is not a segment of a Wakeful log; choose another directory, or restore \
                        this one from a backup";
            JournalError::format(path, what)
        }
        BadHead::Version(version) => JournalError::version(path, version),
        BadHead::Damaged(offset, what) => JournalError::damaged(path, offset, what),
    }
}
