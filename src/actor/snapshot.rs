//! [`Snapshots`]: when and how a snapshot is written: one slice per turn, while the store continues.

use std::time::Duration;

use super::log::JournalLog;
use super::message::ReplyCallback;
use super::queue::SharedQueue;
use super::storage::SharedOutcomes;
use crate::error::{Error, ErrorCode};
use crate::journal::{JournalError, JournalProgress, RecordBatch, RecordSeq, SnapshotInfo};
use crate::model::{Reply, Revision, SnapshotReply};
use crate::store::{StoreSnapshot, StoreState};
use crate::time::Micros;

/// The number of keys, events, leases or replies in a slice: tens of microseconds of work.
const SLICE: usize = 128;

/// The factor up to which a slice grows when history that only the snapshot keeps grows.
const HURRY_MAX: u64 = 16;

/// Bytes of records handed over at once.
const PART_BYTES: usize = 256 * 1024;

/// The most parts in progress at once.
const PARTS_MAX: usize = 2;

/// The shortest duration of a part while others write: 32 MiB per second, a fraction of a disk's speed,
/// so that commits need not wait long.
const PACE: Duration = Duration::from_millis(8);

/// The shortest time between two snapshots while there is no space for the log, in microseconds.
const REST: Micros = 2_000_000;

#[derive(Default)]
pub(super) struct Snapshots {
    step: Step,
    /// After a failure, the next snapshot does not begin before the log has grown to this many bytes.
    not_before: u64,
    /// While there is no space for the log, the next snapshot does not begin before this time.
    rested: Micros,
    /// The callers that wait for a snapshot that has not begun, and for the one in progress.
    asked: Vec<ReplyCallback>,
    waiting: Vec<ReplyCallback>,
}

/// The other state in a snapshot besides the store. The snapshot is consistent, because all actors run
/// on one thread, and each has handed over its changes.
pub(crate) struct OtherState {
    pub(crate) queue: SharedQueue,
    pub(crate) outcomes: SharedOutcomes,
}

#[derive(Debug, Clone, Copy)]
enum SnapshotSource {
    Store,
    Queue,
    Outcomes,
}

#[derive(Default)]
enum Step {
    #[default]
    Idle,
    Writing {
        snapshot: Box<StoreSnapshot>,
        /// The state machine whose turn it is.
        room: SnapshotSource,
        revision: Revision,
        batch: RecordBatch,
        /// The number of parts in progress.
        parts: usize,
        /// The last record handed over when the snapshot began.
        appended: RecordSeq,
    },
    /// The journal is making the snapshot safe.
    Finishing { revision: Revision },
}

impl Snapshots {
    /// Requests a snapshot of the current state or a later one, and passes its result to `answer`.
    pub(super) fn ask(&mut self, answer: ReplyCallback) {
        self.asked.push(answer);
    }

    /// Abandons the snapshot in progress if it keeps too much of the history.
    fn give_up(
        &mut self,
        state: &mut StoreState,
        other_state: &mut OtherState,
        log: &mut JournalLog,
    ) {
        let Step::Writing { .. } = self.step else { return };
        if state.pinned_bytes() <= history_bytes_max(state) {
            return;
        }
        log.abandon_snapshot();
        tracing::warn!(
            "a snapshot was abandoned: more was written meanwhile than store.history_bytes_max"
        );
        self.failed(
            state,
            other_state,
            log,
            "more was written meanwhile than the history may hold",
        );
    }

    /// Returns the time of the next snapshot that makes space, if there is something that it would
    /// replace.
    pub(super) fn next_due(&self, state: &StoreState, log: &JournalLog) -> Option<Micros> {
        let wanted = !log.has_space() && log.failed().is_none() && matches!(self.step, Step::Idle);
        let replaces = || log.log_bytes() > 0 || state.keeps_last_revision();
        (wanted && replaces()).then_some(self.rested)
    }

    /// Begins a snapshot if it is time. Everything must have been handed to the journal.
    pub(super) fn begin(
        &mut self,
        now: Micros,
        state: &mut StoreState,
        other_state: &mut OtherState,
        log: &mut JournalLog,
    ) {
        self.give_up(state, other_state, log);
        // During a large write, the state contains only a part of it.
        if !matches!(self.step, Step::Idle) || log.failed().is_some() || state.is_open() {
            return;
        }
        let asked = !self.asked.is_empty();
        if let Some(info) = log.newest_snapshot().filter(|_| asked) {
            // A new snapshot would have the same content, and replace the file that others may be
            // reading.
            answer(self.asked.drain(..), state.revision(), info);
            return;
        }
        let due = match log.has_space() {
            true => log.log_bytes() >= self.not_before && log.is_long(),
            // The space freed by deletions since the last one may be just what is needed.
            false => log.log_bytes() > 0 && now >= self.rested,
        };
        if !asked && !due {
            return;
        }
        self.rested = now.saturating_add(REST);
        if !log.begin_snapshot() {
            return;
        }
        if !log.has_space() {
            tracing::warn!("writes that grow are refused: a snapshot is written to make room");
        }
        self.waiting = std::mem::take(&mut self.asked);
        other_state.queue.borrow_mut().begin_snapshot();
        other_state.outcomes.borrow_mut().begin_snapshot();
        self.step = Step::Writing {
            snapshot: Box::new(state.begin_snapshot(now)),
            room: SnapshotSource::Store,
            revision: state.revision(),
            batch: RecordBatch::new(),
            parts: 0,
            appended: log.appended(),
        };
    }

    /// Returns whether a slice must be written now.
    pub(super) fn must_write(&self) -> bool {
        matches!(self.step, Step::Writing { parts, .. } if parts < PARTS_MAX)
    }

    /// Writes one slice.
    pub(super) fn write(
        &mut self,
        state: &mut StoreState,
        other_state: &mut OtherState,
        log: &mut JournalLog,
    ) {
        let Step::Writing { snapshot, room, revision, batch, parts, appended } = &mut self.step
        else {
            return;
        };
        let newest = log.appended();
        if *parts >= PARTS_MAX {
            return;
        }
        let (pinned, max) = (state.pinned_bytes(), history_bytes_max(state));
        let hurry = (pinned.saturating_mul(HURRY_MAX) / max).max(1) as usize;
        let slice = SLICE * hurry;
        let more = match *room {
            SnapshotSource::Store => {
                if !state.write_snapshot(snapshot, slice, batch) {
                    *room = SnapshotSource::Queue;
                }
                true
            }
            SnapshotSource::Queue => {
                if !other_state.queue.borrow_mut().write_snapshot(slice, batch) {
                    *room = SnapshotSource::Outcomes;
                }
                true
            }
            SnapshotSource::Outcomes => {
                other_state.outcomes.borrow_mut().write_snapshot(slice, batch)
            }
        };
        if batch.bytes() >= PART_BYTES || (!more && !batch.is_empty()) {
            let pace = if *appended < newest { PACE / hurry as u32 } else { Duration::ZERO };
            log.add_to_snapshot(batch, pace);
            *parts += 1;
        }
        if !more {
            log.finish_snapshot();
            end(state, other_state);
            self.step = Step::Finishing { revision: *revision };
        }
    }

    /// Handles the journal's reports about the snapshot.
    pub(super) fn note(
        &mut self,
        progress: &JournalProgress,
        state: &mut StoreState,
        other_state: &mut OtherState,
        log: &mut JournalLog,
    ) {
        match progress {
            JournalProgress::SnapshotTaken => {
                if let Step::Writing { parts, .. } = &mut self.step {
                    *parts = parts.saturating_sub(1);
                }
            }
            JournalProgress::Snapshot(info) => {
                let Step::Finishing { revision } = self.step else { return };
                self.step = Step::Idle;
                self.not_before = 0;
                log.note_snapshot(*info);
                answer(self.waiting.drain(..), revision, *info);
            }
            JournalProgress::SnapshotFailed(error) => {
                self.failed(state, other_state, log, &error.to_string())
            }
            JournalProgress::Failed(error) => self.stop(state, other_state, error),
            _ => {}
        }
    }

    fn failed(
        &mut self,
        state: &mut StoreState,
        other_state: &mut OtherState,
        log: &mut JournalLog,
        why: &str,
    ) {
        end(state, other_state);
        self.step = Step::Idle;
        log.snapshot_failed();
        self.not_before = log.log_bytes().saturating_add(log.config().segment_bytes);
        let message = format!("the snapshot failed, try again later: {why}; nothing was changed");
        self.refuse(&Error::new(ErrorCode::Unavailable, message));
    }

    /// Stops snapshots: nothing more is written.
    fn stop(&mut self, state: &mut StoreState, other_state: &mut OtherState, error: &JournalError) {
        end(state, other_state);
        self.step = Step::Idle;
        self.waiting.append(&mut self.asked);
        self.refuse(&Error::new(ErrorCode::JournalFailed, error.to_string()));
    }

    /// Refuses all waiting callers.
    fn refuse(&mut self, error: &Error) {
        for answer in self.waiting.drain(..) {
            answer(Err(error.clone()));
        }
    }
}

/// Releases what was kept for the snapshot.
fn end(state: &mut StoreState, other_state: &mut OtherState) {
    state.end_snapshot();
    other_state.queue.borrow_mut().end_snapshot();
    other_state.outcomes.borrow_mut().end_snapshot();
}

fn history_bytes_max(state: &StoreState) -> u64 {
    state.config().history_bytes_max.max(1)
}

/// Sends the snapshot to all callers that asked for it.
fn answer(asked: impl Iterator<Item = ReplyCallback>, revision: Revision, info: SnapshotInfo) {
    let SnapshotInfo { seq: id, bytes } = info;
    for later in asked {
        later(Ok(Reply::Snapshot(SnapshotReply { revision, id, bytes })));
    }
}
