//! Reads a journal back: complete, torn and damaged parts.
//!
//! A tear is what a power failure leaves of commits that were not yet synced: sectors that are still
//! zero. Every other error is damage, and damage is never cut off.

use std::collections::VecDeque;
use std::path::Path;

use super::disk::Disk;
use super::error::JournalOperation;
use super::exclusive::MARKER;
use super::files::{SegmentAccess, StopPosition, read_snapshot, segments};
use super::format::{
    COMMIT_HEAD, CommitHead, CommitSlot, FLAG_CLOSED, FLAG_MASKED, FLAG_NO_SUCCESSOR,
    FLAG_UNSYNCED_SHOWN, Records, SECTOR, SEGMENT_HEAD, check_body, is_zero, mask, zero_pieces,
};
use super::groups::Groups;
use super::segment::{self, Segment};
use super::snapshot::SnapshotFacts;
use super::{JournalError, RecordSeq, Replay};

/// The result of a check of a journal.
#[cfg(any(test, feature = "cli"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The identity in the segments; `None` without segments.
    pub(crate) store_id: Option<u64>,
    /// The last record in the newest snapshot; 0 without one.
    pub(crate) snapshot: RecordSeq,
    /// Segments, the prepared ones included.
    pub(crate) segments: u64,
    /// The number of writes in them.
    pub(crate) commits: u64,
    /// The number of the last record.
    pub(crate) records: u64,
    /// Bytes of the records after the snapshot.
    pub(crate) bytes: u64,
    /// The number of records that are ignored because the ends of their groups were never written.
    pub(crate) unfinished: u64,
    /// Non-zero bytes of a torn tail that the next start would cut off.
    pub(crate) torn_bytes: u64,
    /// Whether the log was closed and not written since.
    pub(crate) closed: bool,
}

/// The result of a scan.
pub(super) struct ScanResult {
    pub(super) store_id: Option<u64>,
    pub(super) snapshot: Option<SnapshotFacts>,
    pub(super) segments: Vec<Segment>,
    /// The first record of each segment that has commits.
    pub(super) firsts: Vec<RecordSeq>,
    /// The end of the good commits: the index of the segment and the position in it.
    pub(super) end: (usize, u64),
    pub(super) last: RecordSeq,
    pub(super) torn: Option<u64>,
    pub(super) commits: u64,
    pub(super) bytes: u64,
    pub(super) closed: bool,
    /// The id of the store, if it differs from that of the segments.
    pub(super) incarnation: Option<u64>,
    /// Whether changes that are no longer in the log may have been visible.
    pub(super) loose: bool,
    pub(super) groups: Groups,
    pub(super) unwitnessed: UnconfirmedCommits,
    /// The newest segment to which a commit refers as a successor.
    pub(super) promised: u64,
    pub(super) stop: Option<StopPosition>,
}

/// The commits at the end of a log that no later commit declares synced.
#[derive(Default)]
pub(super) struct UnconfirmedCommits(VecDeque<UnconfirmedCommit>);

/// A commit that may not be on the disk.
struct UnconfirmedCommit {
    /// The index of the segment and the position in it.
    place: (usize, u64),
    /// The last record of the commit; without records, the one before.
    last: RecordSeq,
    is_empty: bool,
}

impl UnconfirmedCommits {
    /// Adds the next commit, and removes those that it declares synced.
    fn note(&mut self, place: (usize, u64), commit: &CommitHead) {
        let mut sure = self.0.partition_point(|it| it.last <= commit.synced_through);
        // A commit without records has the number of the one before it, so it is not known to be
        // synced.
        while sure > 0 && self.0.get(sure - 1).is_some_and(|it| it.is_empty) {
            sure -= 1;
        }
        self.0.drain(..sure);
        self.0.push_back(UnconfirmedCommit {
            place,
            last: commit.last(),
            is_empty: commit.records == 0,
        });
    }

    /// Returns the start of the first of them: the index of the segment and the position in it.
    pub(super) fn begin(&self) -> Option<(usize, u64)> {
        self.0.front().map(|it| it.place)
    }
}

/// Reads every byte of the journal in `dir` without changing anything.
pub(super) fn scan(
    disk: &dyn Disk,
    dir: &Path,
    access: SegmentAccess,
    replay: Replay,
) -> Result<ScanResult, JournalError> {
    scan_files(disk, dir, access, None, replay)
}

/// Reads and checks the journal in `dir` up to `stop`, and nothing after it.
#[cfg(any(test, feature = "cli"))]
pub(super) fn scan_until(
    disk: &dyn Disk,
    dir: &Path,
    stop: StopPosition,
    replay: Replay,
) -> Result<ScanResult, JournalError> {
    scan_files(disk, dir, SegmentAccess::Read, Some(stop), replay)
}

fn scan_files(
    disk: &dyn Disk,
    dir: &Path,
    access: SegmentAccess,
    stop: Option<StopPosition>,
    replay: Replay,
) -> Result<ScanResult, JournalError> {
    let mut names =
        disk.list(dir).map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
    if let Some(StopPosition { number: stop, offset }) = stop {
        // If the header is damaged, the whole segment is dropped.
        let keep = |number| number < stop || number == stop && offset >= SEGMENT_HEAD as u64;
        names.retain(|name| segment::number_in(name).flatten().is_none_or(keep));
    }
    let snapshot = read_snapshot(disk, dir, &names, replay)?;
    let segments = segments(disk, dir, &names, access, snapshot, stop)?;
    let store_id = segments.first().map(|segment| segment.head.store_id);
    let empty = segments.is_empty() && snapshot.is_none();
    if empty && stop.is_none() && names.iter().any(|name| name == MARKER) {
        return Err(JournalError::Gone { dir: dir.to_owned(), marker: dir.join(MARKER) });
    }
    let mut found = ScanResult {
        store_id: snapshot.map(|it| it.store_id).or(store_id),
        snapshot,
        segments: Vec::new(),
        firsts: Vec::new(),
        end: (0, SEGMENT_HEAD as u64),
        last: snapshot.map_or(0, |it| it.first.saturating_sub(1)),
        torn: None,
        commits: 0,
        bytes: 0,
        closed: false,
        incarnation: snapshot.map(|it| it.incarnation),
        loose: false,
        groups: Groups::default(),
        unwitnessed: UnconfirmedCommits::default(),
        promised: 0,
        stop,
    };
    let walked = found.walk(&segments, replay);
    found.segments = segments;
    walked?;
    match (stop, snapshot) {
        (None, _) => {
            found.has_snapshot()?;
            found.has_successor()?;
        }
        (Some(_), Some(snapshot)) if found.last < snapshot.seq => {
            return Err(JournalError::needed(dir, snapshot.seq));
        }
        (Some(_), _) => {}
    }
    Ok(found)
}

impl ScanResult {
    fn walk(&mut self, segments: &[Segment], replay: Replay) -> Result<(), JournalError> {
        for (index, segment) in segments.iter().enumerate() {
            let Some(later) = segments.get(index + 1..) else { break };
            self.firsts.push(self.last + 1);
            let mut at = SEGMENT_HEAD as u64;
            let mut head = [0; COMMIT_HEAD];
            while at < segment.head.size {
                segment.read(at, &mut head)?;
                if self.stops(segment, at, &head) {
                    self.end = (index, at);
                    return Ok(());
                }
                let commit = match CommitHead::decode(&head, segment.head.salt, at) {
                    CommitSlot::Zero => break,
                    CommitSlot::Bad => {
                        let what = "this is not the header of a commit";
                        return Err(segment.damaged(at, what));
                    }
                    CommitSlot::Commit(commit) => commit,
                };
                let expected = self.last + 1;
                if commit.first != expected {
                    // Complete commits before this one may be torn off, but only at the end of the
                    // previous segment, and only if this commit does not declare them durable.
                    let behind = at == SEGMENT_HEAD as u64 && commit.first > expected;
                    if !behind || witnessed(segment, at, later, expected)? {
                        let what = format!("record {} follows record {}", commit.first, self.last);
                        return Err(segment.damaged(at, what));
                    }
                    return self.tear(segments, self.end);
                }
                let room = segment.head.size - at;
                if commit.span() > room {
                    return Err(segment.damaged(at, "the commit is longer than its segment"));
                }
                let body_at = at + COMMIT_HEAD as u64;
                let mut body = vec![0; commit.span() as usize - COMMIT_HEAD];
                segment.read(body_at, &mut body)?;
                // Checked as on the disk: masked bytes have no zeros by content.
                let torn = zero_pieces(&body, body_at) > commit.zero_sectors;
                if commit.flags & FLAG_MASKED != 0 {
                    mask(&mut body, segment.head.salt, body_at);
                }
                if let Err(bad) = check_body(&commit, &body) {
                    if !torn || witnessed(segment, body_at, later, commit.first)? {
                        let what = format!("a record after {} is not what was written", self.last);
                        return Err(segment.damaged(body_at + bad as u64, what));
                    }
                    self.end = (index, at);
                    return self.tear(segments, self.end);
                }
                self.take(segment, body_at, &commit, &body, replay)?;
                self.unwitnessed.note((index, at), &commit);
                if commit.flags & FLAG_NO_SUCCESSOR == 0 {
                    self.promised = segment.head.number;
                }
                at += commit.span();
                self.end = (index, at);
            }
            if !rest_is_zero(segment, at)? {
                self.hole(segment, at, later)?;
                self.end = (index, at);
                return self.tear(segments, self.end);
            }
        }
        Ok(())
    }

    /// Returns whether reading stops before the commit at `at`.
    fn stops(&self, segment: &Segment, at: u64, head: &[u8]) -> bool {
        let Some(stop) = self.stop.filter(|stop| stop.number == segment.head.number) else {
            return false;
        };
        let span = match CommitHead::decode(head, segment.head.salt, at) {
            CommitSlot::Commit(commit) => commit.span(),
            CommitSlot::Zero | CommitSlot::Bad => COMMIT_HEAD as u64,
        };
        stop.offset < at + span
    }

    /// Checks that the log reaches the last record in the snapshot.
    fn has_snapshot(&self) -> Result<(), JournalError> {
        let (index, at) = self.end;
        if let (Some(snapshot), Some(segment)) = (self.snapshot, self.segments.get(index))
            && self.last < snapshot.seq
        {
            let what = format!(
                "the log ends with record {}, but the snapshot includes {} records",
                self.last, snapshot.seq
            );
            return Err(segment.damaged(at, what));
        }
        Ok(())
    }

    /// Checks that no commit of the newest segment refers to a successor.
    fn has_successor(&self) -> Result<(), JournalError> {
        match self.segments.last() {
            Some(last) if self.promised == last.head.number => {
                let dir = last.path.parent().unwrap_or(Path::new(""));
                let path = segment::path(dir, last.head.number + 1);
                Err(JournalError::damaged(&path, 0, "this segment is missing"))
            }
            _ => Ok(()),
        }
    }

    /// Replays a complete commit.
    fn take(
        &mut self,
        segment: &Segment,
        body_at: u64,
        commit: &CommitHead,
        body: &[u8],
        replay: Replay,
    ) -> Result<(), JournalError> {
        let framed = body.get(..commit.bytes as usize).unwrap_or_default();
        let in_snapshot = self.snapshot.map_or(0, |it| it.seq);
        for record in Records::of(framed).flatten() {
            self.last += 1;
            if self.last > in_snapshot {
                let at = body_at + record.at as u64;
                self.bytes += self.groups.take(segment, at, self.last, record, replay)?;
            }
        }
        self.commits += 1;
        self.closed = commit.flags & FLAG_CLOSED != 0;
        if commit.incarnation != 0 {
            (self.incarnation, self.loose) = (Some(commit.incarnation), false);
        }
        self.loose = !self.closed && (self.loose || commit.flags & FLAG_UNSYNCED_SHOWN != 0);
        Ok(())
    }

    /// Checks that the bytes after the end at `at` are what a power failure leaves, and not damage.
    fn hole(&self, segment: &Segment, at: u64, later: &[Segment]) -> Result<(), JournalError> {
        let mut sector = vec![0; ((at + 1).next_multiple_of(SECTOR) - at) as usize];
        segment.read(at, &mut sector)?;
        if !is_zero(&sector) {
            let what = "a commit's header is missing before data in the same sector";
            return Err(segment.damaged(at, what));
        }
        if witnessed(segment, at, later, self.last + 1)? {
            let what = format!("there is a hole after record {}", self.last);
            return Err(segment.damaged(at, what));
        }
        Ok(())
    }

    /// Notes that everything from `end` on is torn.
    fn tear(&mut self, segments: &[Segment], end: (usize, u64)) -> Result<(), JournalError> {
        let mut torn = 0;
        for (segment, from) in behind(segments, end) {
            segment.chunks(from, |_, chunk| {
                torn += chunk.iter().filter(|byte| **byte != 0).count() as u64;
                Ok(true)
            })?;
        }
        self.torn = Some(torn);
        Ok(())
    }

    #[cfg(any(test, feature = "cli"))]
    pub(super) fn last(&self) -> RecordSeq {
        self.last
    }

    /// Returns the end of the good commits.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn end(&self) -> Option<(&Segment, u64)> {
        let (index, at) = self.end;
        self.segments.get(index).map(|segment| (segment, at))
    }

    #[cfg(any(test, feature = "cli"))]
    pub(super) fn verified(&self) -> Verified {
        Verified {
            store_id: self.incarnation.or(self.store_id),
            snapshot: self.snapshot.map_or(0, |it| it.seq),
            segments: self.segments.len() as u64,
            commits: self.commits,
            records: self.last,
            bytes: self.bytes,
            unfinished: self.groups.unfinished(),
            torn_bytes: self.torn.unwrap_or(0),
            closed: self.closed && self.torn.is_none(),
        }
    }
}

/// Returns the segments from `end` on, each with its start position.
pub(super) fn behind(
    segments: &[Segment],
    end: (usize, u64),
) -> impl Iterator<Item = (&Segment, u64)> {
    let (index, position) = end;
    let from = move |at| if at == index { position } else { SEGMENT_HEAD as u64 };
    segments.iter().enumerate().skip(index).map(move |(at, segment)| (segment, from(at)))
}

fn rest_is_zero(segment: &Segment, from: u64) -> Result<bool, JournalError> {
    let mut zero = true;
    segment.chunks(from, |_, chunk| {
        zero = is_zero(chunk);
        Ok(zero)
    })?;
    Ok(zero)
}

/// Returns whether a commit from `from` on declares that `seq` was on the disk before it was written.
fn witnessed(
    segment: &Segment,
    from: u64,
    later: &[Segment],
    seq: RecordSeq,
) -> Result<bool, JournalError> {
    let mut witnessed = false;
    let rest = later.iter().map(|segment| (segment, SEGMENT_HEAD as u64));
    for (segment, from) in std::iter::once((segment, from)).chain(rest) {
        segment.chunks(from, |start, chunk| {
            let slots = chunk.chunks(COMMIT_HEAD).zip((start..).step_by(COMMIT_HEAD));
            for (slot, at) in slots {
                if let CommitSlot::Commit(commit) = CommitHead::decode(slot, segment.head.salt, at)
                {
                    witnessed |= commit.synced_through >= seq;
                }
            }
            Ok(!witnessed)
        })?;
    }
    Ok(witnessed)
}
