//! Prepares a journal for writing after it was read.

use super::error::JournalOperation;
use super::exclusive::{self, MARKER};
use super::format::{SegmentHead, VERSION, is_zero};
use super::preallocator::Preallocator;
use super::recovery::{ScanResult, behind};
use super::segment::{self, Segment};
use super::shared::UsedSegment;
use super::snapshot;
use super::snapshot_writer::remove_replaced;
use super::{JournalError, RecordSeq, SnapshotInfo};

/// The id of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incarnation {
    pub(super) id: u64,
    /// Whether the id is new, and not in the log yet.
    pub(super) is_new: bool,
}

/// The state from which the writer continues.
pub(super) struct PreparedLog {
    pub(super) current: Segment,
    pub(super) position: u64,
    pub(super) incarnation: Incarnation,
    pub(super) used: Vec<UsedSegment>,
    pub(super) spares: Vec<Segment>,
    pub(super) segments: u64,
    pub(super) disk_bytes: u64,
    pub(super) snapshot: Option<SnapshotInfo>,
    pub(super) last: RecordSeq,
    pub(super) log_bytes: u64,
    pub(super) cut_bytes: u64,
}

/// Prepares a journal in which a scan found no damage: cuts off torn parts, removes leftovers, and
/// creates missing files.
pub(super) fn prepare(
    found: ScanResult,
    incarnation: Incarnation,
    preallocator: &Preallocator,
) -> Result<PreparedLog, JournalError> {
    let unfinished = found.groups.unfinished_at_end();
    if unfinished > 0 {
        let what = "the log ends in records of an incomplete request, which are ignored";
        tracing::warn!(records = unfinished, last = found.last, what);
    }
    cut(&found)?;
    rewrite(&found)?;
    sweep(preallocator)?;
    // After a kill, the newest names (of a segment or of the snapshot) may be in memory only.
    let dir = &preallocator.dir;
    preallocator
        .disk
        .sync_dir(dir)
        .map_err(|error| JournalError::io(JournalOperation::Sync, dir, &error))?;
    if let Some(snapshot) = found.snapshot {
        remove_replaced(&*preallocator.disk, dir, snapshot.seq, snapshot.segment)?;
    }
    let log_bytes = found.bytes;
    let ScanResult { mut segments, firsts, end: (index, position), last, torn, snapshot, .. } =
        found;
    if segments.is_empty() {
        segments.push(preallocator.make(1)?);
    }
    mark(preallocator)?;
    if segments.len() == index + 1 {
        let newest = segments.last().map_or(0, |segment| segment.head.number);
        // The journal's thread will report and retry a failure: reading must be possible with a full
        // disk.
        segments.extend(preallocator.make(newest + 1));
    }
    for segment in segments.iter_mut().skip(index) {
        upgrade(segment)?;
    }
    let snapshot = snapshot.map(|it| SnapshotInfo { seq: it.seq, bytes: it.bytes });
    let log: u64 = segments.iter().map(|segment| segment.head.size).sum();
    let disk_bytes = log + snapshot.map_or(0, |it| it.bytes);
    let count = segments.len() as u64;
    let firsts = firsts.into_iter().chain(std::iter::repeat(last + 1));
    let used = segments.iter().zip(firsts).take(index + 1).map(|(segment, first)| {
        let SegmentHead { number, size: bytes, .. } = segment.head;
        UsedSegment { number, first, bytes }
    });
    let used = used.collect();
    let mut rest = segments.into_iter().skip(index);
    let Some(current) = rest.next() else {
        let path = segment::path(&preallocator.dir, index as u64 + 1);
        return Err(JournalError::damaged(&path, 0, "this segment is missing"));
    };
    Ok(PreparedLog {
        current,
        position,
        incarnation,
        used,
        spares: rest.collect(),
        segments: count,
        disk_bytes,
        snapshot,
        last,
        log_bytes,
        cut_bytes: torn.unwrap_or(0),
    })
}

/// Writes the end of the log again and syncs it. What is read may be in memory only: after a kill, and
/// after a failed sync, which leaves the operating system with pages that it considers written although
/// the disk does not have them, so that another sync alone would do nothing. After an end that is not
/// closed, the zeros are written again too: they may have been written to cut off a torn tail.
fn rewrite(found: &ScanResult) -> Result<(), JournalError> {
    let (end, position) = found.end;
    let begin = found.unwitnessed.begin().unwrap_or(found.end).min(found.end);
    for (segment, from) in behind(&found.segments, begin).take(end + 1 - begin.0) {
        let is_end =
            found.segments.get(end).is_some_and(|it| it.head.number == segment.head.number);
        let to = if is_end && found.closed { position } else { segment.head.size };
        segment.chunks(from, |at, chunk| {
            let left = to.saturating_sub(at).min(chunk.len() as u64);
            segment.write(at, chunk.get(..left as usize).unwrap_or_default())?;
            Ok(at + left < to)
        })?;
        segment.sync()?;
    }
    Ok(())
}

/// Writes the current version into the header of an older segment, because appended commits may need
/// it.
fn upgrade(segment: &mut Segment) -> Result<(), JournalError> {
    if segment.head.version == VERSION {
        return Ok(());
    }
    segment.head.version = VERSION;
    segment.write(0, &segment.head.encode())?;
    segment.sync()
}

/// Marks the directory as that of a store, unless it already is.
fn mark(preallocator: &Preallocator) -> Result<(), JournalError> {
    let listed = preallocator.disk.list(&preallocator.dir);
    let names = listed
        .map_err(|error| JournalError::io(JournalOperation::List, &preallocator.dir, &error))?;
    if names.iter().any(|name| name == MARKER) {
        return Ok(());
    }
    match exclusive::mark(&*preallocator.disk, &preallocator.dir, preallocator.store_id) {
        // Reading must be possible with a full disk; the next start tries again.
        Err(error @ JournalError::NoSpace { .. }) => {
            tracing::warn!(%error, "cannot mark the directory as that of a store");
            Ok(())
        }
        marked => marked,
    }
}

/// Sets everything from `from` on to zero, durably.
fn clear(segment: &Segment, from: u64) -> Result<(), JournalError> {
    let mut changed = false;
    segment.chunks(from, |at, chunk| {
        if !is_zero(chunk) {
            segment.write(at, &vec![0; chunk.len()])?;
            changed = true;
        }
        Ok(true)
    })?;
    if changed { segment.sync() } else { Ok(()) }
}

fn cut(found: &ScanResult) -> Result<(), JournalError> {
    let Some(bytes) = found.torn else { return Ok(()) };
    for (segment, from) in behind(&found.segments, found.end) {
        clear(segment, from)?;
    }
    let last = found.last;
    tracing::warn!(bytes, last, "the log ended in an incomplete write, which was cut off");
    Ok(())
}

/// Removes unfinished segments and snapshots.
fn sweep(preallocator: &Preallocator) -> Result<(), JournalError> {
    let listed = preallocator.disk.list(&preallocator.dir);
    let names = listed
        .map_err(|error| JournalError::io(JournalOperation::List, &preallocator.dir, &error))?;
    let ours = |name: &&String| {
        name.strip_suffix(segment::TEMPORARY).is_some_and(|name| {
            let log = segment::number_in(name).is_some() || snapshot::seq_in(name).is_some();
            log || name == MARKER
        })
    };
    for name in names.iter().filter(ours) {
        let path = preallocator.dir.join(name);
        preallocator
            .disk
            .remove(&path)
            .map_err(|error| JournalError::io(JournalOperation::Remove, &path, &error))?;
    }
    Ok(())
}
