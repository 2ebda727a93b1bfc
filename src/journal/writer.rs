//! Writes commits: everything that arrives during a sync goes into the next commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::format::{
    COMMIT_BYTES_MAX, COMMIT_HEAD, CommitHead, FLAG_CLOSED, FLAG_MASKED, FLAG_NO_SUCCESSOR,
    FLAG_UNSYNCED_SHOWN, FRAME_BYTES, SEAL, SEGMENT_HEAD, SegmentHead, frame_len, is_sparse, mask,
    padded, zero_pieces,
};
use super::prepared_log::Incarnation;
use super::segment::{Segment, capacity};
use super::shared::{Ending, JournalShared, JournalState, UsedSegment};
use super::{JournalError, JournalProgress, JournalStats, ProgressSink, RecordSeq};
use crate::config::{Durability, JournalConfig};
use crate::environment;
use crate::failpoint;

/// How long to wait for the next records without sleeping.
const SPIN: Duration = Duration::from_micros(250);

/// With `interval`: the maximum number of records that are visible before they are synced. The
/// fence of the queue skips more ids and epochs than these records can assign.
pub(super) const UNSYNCED_MAX: u64 = 1 << 16;

/// The state of the writing thread.
pub(super) struct SegmentWriter {
    shared: Arc<JournalShared>,
    report: ProgressSink,
    durability: Durability,
    sync_interval: Duration,
    /// The size of new segments.
    size: u64,
    current: Segment,
    position: u64,
    written: RecordSeq,
    synced: RecordSeq,
    /// The time of the first write that is not synced yet.
    dirty: Option<Instant>,
    /// The records that were taken, and how many bytes of them are written.
    taken: Vec<u8>,
    done: usize,
    commit: Vec<u8>,
    /// Whether a commit of the current segment states that there is a next one.
    promised: bool,
    /// The reason why a successor could not be created, as last reported.
    no_space: Option<JournalError>,
    /// With `interval`: whether the disk has a commit of this writer in the current segment whose flag
    /// states that later records may be visible before they are synced.
    marked: bool,
    /// The new id of the store, for the next commit; 0 for none.
    incarnation: u64,
    /// Whether the last records came soon after those before.
    brisk: bool,
}

/// The work of a turn.
pub(super) struct WriterTurn {
    sync: bool,
    ending: Option<Ending>,
    /// There was something left to write and no segment for it.
    blocked: bool,
    no_space: Option<JournalError>,
}

impl SegmentWriter {
    pub(super) fn new(
        shared: Arc<JournalShared>,
        report: ProgressSink,
        config: &JournalConfig,
        size: u64,
        current: Segment,
        position: u64,
        stats: JournalStats,
    ) -> Self {
        Self {
            shared,
            report,
            durability: config.durability,
            sync_interval: config.sync_interval,
            size,
            current,
            position,
            written: stats.written,
            synced: stats.synced,
            dirty: None,
            taken: Vec::new(),
            done: 0,
            commit: Vec::new(),
            // Until it is known.
            promised: false,
            no_space: None,
            marked: false,
            incarnation: 0,
            brisk: false,
        }
    }

    /// Records the id of the store in the next commit, if the id is new.
    pub(super) fn with_incarnation(mut self, incarnation: Incarnation) -> Self {
        self.incarnation = if incarnation.is_new { incarnation.id } else { 0 };
        self
    }

    /// Writes until the end, or the first failure.
    pub(super) fn run(mut self) {
        // A panic must not leave callers waiting for durability.
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        let panicked = || Err(JournalError::Panicked { thread: "wakeful-journal" });
        if let Err(error) = worked.unwrap_or_else(|_| panicked()) {
            self.fail(error);
        }
    }

    /// Marks the journal as failed: nothing more is written.
    pub(super) fn fail(&self, error: JournalError) {
        let mut state = self.shared.state.lock();
        state.failed = Some(error.clone());
        state.handed = Vec::new();
        self.shared.synced.notify_all();
        self.shared.pending.store(0, Ordering::Relaxed);
        drop(state);
        tracing::error!(%error, "the journal has failed; nothing more is written");
        (self.report)(JournalProgress::Failed(error));
    }

    fn work(&mut self) -> Result<(), JournalError> {
        self.want();
        loop {
            let turn = self.wait()?;
            if self.take(turn)? {
                return Ok(());
            }
        }
    }

    /// Does the work of a turn; returns whether it was the last one.
    pub(super) fn take(&mut self, turn: WriterTurn) -> Result<bool, JournalError> {
        if turn.no_space != self.no_space {
            self.no_space.clone_from(&turn.no_space);
            (self.report)(JournalProgress::Space(turn.no_space.clone()));
        }
        self.write_taken()?;
        if turn.sync && !self.taken.is_empty() {
            // The sync covers what is left without a segment, too.
            self.shared.state.lock().sync = true;
        }
        let due = self.dirty.is_some_and(|since| environment::since(since) >= self.sync_interval);
        if self.dirty.is_some() && (turn.sync || due) {
            self.sync(true)?;
        }
        let Some(ending) = turn.ending else { return Ok(false) };
        if !self.taken.is_empty() {
            return match turn.no_space {
                Some(error) if turn.blocked => Err(error),
                _ => Ok(false),
            };
        }
        if !self.shared.state.lock().handed.is_empty() {
            return Ok(false);
        }
        self.finish(ending)?;
        Ok(true)
    }

    /// Waits for work; takes what was handed over, unless something taken before is left.
    fn wait(&mut self) -> Result<WriterTurn, JournalError> {
        let idle_since = environment::now();
        if self.brisk {
            self.spin(idle_since);
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            if let Some(turn) = self.look(&mut state)? {
                self.brisk = environment::since(idle_since) < SPIN;
                return Ok(turn);
            }
            match self.due() {
                Some(until) => {
                    shared.work.wait_until(&mut state, until);
                }
                None => shared.work.wait(&mut state),
            }
        }
    }

    /// Returns when to sync what was written, if it is not requested before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.dirty.map(|since| since + self.sync_interval)
    }

    /// Takes what was handed over, unless something taken before is left; returns the work of the turn.
    pub(super) fn look(
        &mut self,
        state: &mut JournalState,
    ) -> Result<Option<WriterTurn>, JournalError> {
        // Another thread of the journal has failed.
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let no_segment = state.spares.is_empty();
        // Something taken before is left only if there is no segment for it. The end waits for one
        // attempt to create it.
        let blocked = !self.taken.is_empty() && no_segment;
        if blocked && !state.blocked {
            // At once, because the space reserved for a snapshot may be used for this.
            state.retry = true;
            self.shared.wanted.notify_all();
        }
        state.blocked = blocked;
        if self.taken.is_empty() && !state.handed.is_empty() {
            std::mem::swap(&mut self.taken, &mut state.handed);
        }
        let ending = state.ending.filter(|_| !blocked || state.no_space.is_some());
        let ready = !self.taken.is_empty() && !blocked;
        // A requested sync includes what was taken just now.
        let sync = state.sync && (self.dirty.is_some() || ready);
        // It also includes what cannot be written in this turn.
        let later = blocked || !state.handed.is_empty();
        let due = self.due().is_some_and(|until| until <= environment::now());
        state.sync &= later;
        if ready || sync || due || ending.is_some() || state.no_space != self.no_space {
            return Ok(Some(WriterTurn {
                sync,
                ending,
                blocked,
                no_space: state.no_space.clone(),
            }));
        }
        Ok(None)
    }

    /// Waits briefly without sleeping: waking up takes longer than most clients take to send their next
    /// request after an answer.
    fn spin(&self, since: Instant) {
        while self.shared.pending.load(Ordering::Relaxed) == 0 && environment::since(since) < SPIN {
            std::thread::yield_now();
        }
    }

    /// Writes what was taken, as far as there are segments for it.
    fn write_taken(&mut self) -> Result<(), JournalError> {
        let taken = std::mem::take(&mut self.taken);
        let written = self.write_records(&taken);
        self.taken = taken;
        if written? {
            self.taken.clear();
            self.done = 0;
        }
        Ok(())
    }

    fn write_records(&mut self, taken: &[u8]) -> Result<bool, JournalError> {
        while let Some(rest) = taken.get(self.done..).filter(|rest| !rest.is_empty()) {
            let room = self.current.head.size - self.position;
            let (bytes, records) = match room.checked_sub((COMMIT_HEAD + SEAL) as u64) {
                Some(room) => fit(rest, room.min(COMMIT_BYTES_MAX)),
                None => (0, 0),
            };
            if records > 0 {
                self.commit(rest.get(..bytes).unwrap_or_default(), records, 0)?;
                self.done += bytes;
                self.shared.pending.fetch_sub(bytes, Ordering::Relaxed);
                self.committed()?;
                continue;
            }
            let limit = capacity(self.size).min(COMMIT_BYTES_MAX);
            let bytes = frame_len(rest);
            if bytes > limit || bytes > rest.len() as u64 {
                let limit = limit.saturating_sub(FRAME_BYTES as u64);
                let seq = self.written + 1;
                return Err(JournalError::RecordTooLarge { seq, bytes, limit });
            }
            if !self.advance()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes one commit.
    fn commit(&mut self, framed: &[u8], records: u32, mut flags: u32) -> Result<(), JournalError> {
        let no_successor = self.shared.state.lock().spares.is_empty();
        let body_at = self.position + COMMIT_HEAD as u64;
        self.commit.clear();
        self.commit.resize(COMMIT_HEAD, 0);
        self.commit.extend_from_slice(framed);
        let span = COMMIT_HEAD as u64 + padded(framed.len() as u64);
        self.commit.resize(span as usize, 0);
        let body = self.commit.get_mut(COMMIT_HEAD..).unwrap_or_default();
        if is_sparse(body, body_at) {
            flags |= FLAG_MASKED;
            mask(body, self.current.head.salt, body_at);
        }
        let zero_sectors = zero_pieces(body, body_at);
        let head = CommitHead {
            first: self.written + 1,
            synced_through: self.synced,
            bytes: framed.len() as u32,
            records,
            zero_sectors,
            flags: flags
                | if no_successor { FLAG_NO_SUCCESSOR } else { 0 }
                | if self.durability == Durability::Interval { FLAG_UNSYNCED_SHOWN } else { 0 },
            incarnation: std::mem::take(&mut self.incarnation),
        };
        let head = head.encode(self.current.head.salt, self.position);
        if let Some(slot) = self.commit.get_mut(..COMMIT_HEAD) {
            slot.copy_from_slice(&head);
        }
        failpoint::reached("journal-write");
        self.current.write(self.position, &self.commit)?;
        failpoint::reached("journal-written");
        self.promised |= !no_successor;
        self.position += span;
        self.written += u64::from(records);
        self.dirty.get_or_insert_with(environment::now);
        let mut state = self.shared.state.lock();
        state.stats.written = self.written;
        state.stats.commits += 1;
        state.stats.records += u64::from(records);
        state.stats.bytes += span;
        state.left = self.current.head.size.saturating_sub(self.position);
        Ok(())
    }

    /// Runs after a write of records.
    fn committed(&mut self) -> Result<(), JournalError> {
        self.want();
        match self.durability {
            Durability::Fsync => self.sync(true),
            Durability::Interval => {
                self.current.check_linked()?;
                if !self.marked || self.written - self.synced > UNSYNCED_MAX {
                    // After an unclean end, the log must show that something may be lost.
                    self.sync(self.marked)?;
                    self.marked = true;
                }
                (self.report)(JournalProgress::Written(self.written));
                Ok(())
            }
        }
    }

    /// Syncs; `counts` if the duration is to be reported.
    fn sync(&mut self, counts: bool) -> Result<(), JournalError> {
        let start = environment::now();
        self.current.sync()?;
        // A sync of a file without a name succeeds and keeps nothing.
        self.current.check_linked()?;
        let micros = u64::try_from(environment::since(start).as_micros()).unwrap_or(u64::MAX);
        self.dirty = None;
        self.synced = self.written;
        {
            let mut state = self.shared.state.lock();
            state.stats.synced = self.synced;
            if counts {
                state.stats.sync_micros_last = micros;
            }
            self.shared.synced.notify_all();
        }
        failpoint::reached("journal-synced");
        (self.report)(JournalProgress::Synced(self.synced));
        Ok(())
    }

    /// Moves on to the next segment; returns `false` if there is none yet.
    fn advance(&mut self) -> Result<bool, JournalError> {
        if self.shared.state.lock().spares.is_empty() {
            self.want();
            return Ok(false);
        }
        // Without this mark, a missing successor would go unnoticed. It takes space only if no commit,
        // perhaps of an earlier writer, has it already.
        if !self.promised && self.position < self.current.head.size {
            self.commit(&[], 0, 0)?;
        }
        // Ensures that at most one segment holds commits that are not durable.
        if self.dirty.is_some() {
            self.sync(true)?;
        }
        failpoint::reached("journal-next");
        let next = self.shared.state.lock().spares.pop_front();
        if let Some(next) = next {
            self.current = next;
            self.position = SEGMENT_HEAD as u64;
            self.promised = false;
            self.marked = false;
            let SegmentHead { number, size: bytes, .. } = self.current.head;
            let used = UsedSegment { number, first: self.written + 1, bytes };
            let mut state = self.shared.state.lock();
            state.left = bytes.saturating_sub(self.position);
            state.used.push_back(used);
        }
        self.want();
        Ok(true)
    }

    /// Requests a successor if there is none or, from the middle of this segment on, if there is only
    /// one: then the next segment already has its successor when it comes into use, and no commit
    /// waits.
    pub(super) fn want(&self) {
        let mut state = self.shared.state.lock();
        let ahead = if self.position > self.current.head.size / 2 { 2 } else { 1 };
        if state.wanted.is_none() && state.spares.len() < ahead {
            let newest = state.spares.back().map_or(self.current.head.number, |it| it.head.number);
            state.wanted = Some(newest + 1);
            self.shared.wanted.notify_all();
        }
    }

    fn finish(&mut self, ending: Ending) -> Result<(), JournalError> {
        if self.dirty.is_some() {
            self.sync(true)?;
        }
        if ending == Ending::Dropped {
            return Ok(());
        }
        let left = self.current.head.size - self.position;
        if left < COMMIT_HEAD as u64 + if self.promised { 0 } else { SEAL as u64 } {
            // Everything is durable; only the closing mark does not fit.
            return Ok(());
        }
        self.commit(&[], 0, FLAG_CLOSED)?;
        self.current.sync()
    }
}

/// Returns how much of `framed`, in whole records, fits in `room`: bytes and records.
fn fit(framed: &[u8], room: u64) -> (usize, u32) {
    let (mut bytes, mut records) = (0, 0);
    while let Some(rest) = framed.get(bytes..).filter(|rest| !rest.is_empty()) {
        let end = bytes as u64 + frame_len(rest);
        if end > room.min(framed.len() as u64) {
            break;
        }
        bytes = end as usize;
        records += 1;
    }
    (bytes, records)
}
