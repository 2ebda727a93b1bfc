//! Ends of jobs that may be missing from the outcomes, which learn of them after the queue has recorded
//! them: a crash may come in between. No clock decides what the outcomes have; their records name the
//! hand-outs that they end.

use std::collections::{BTreeMap, VecDeque};

use super::job::JobPhase;
use super::{Effect, JobSlot, QueueState};
use crate::model::{JobId, JobInfo, JobState, Reservation};

/// Ends of jobs on their way between the queue and the outcomes.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    /// Jobs that died or were cancelled, in that order, which the outcomes have not recorded yet.
    notes: VecDeque<Box<JobInfo>>,
    /// During a replay: the epochs of hand-outs whose result the outcomes have recorded, and whose jobs
    /// are not done yet in the queue.
    results: BTreeMap<JobId, u32>,
}

impl Unacknowledged {
    pub(super) fn push(&mut self, outcome: Box<JobInfo>) {
        self.notes.push_back(outcome);
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &JobInfo> {
        self.notes.iter().map(|note| &**note)
    }

    /// Removes the result of a job that is done in the queue as well.
    pub(super) fn forget_result(&mut self, id: JobId) {
        self.results.remove(&id);
    }

    /// Removes the result of this hand-out; returns whether it is recorded.
    pub(super) fn take_result(&mut self, of: Reservation) -> bool {
        self.results.remove(&of.id) == Some(of.epoch)
    }

    pub(super) fn take_notes(&mut self) -> VecDeque<Box<JobInfo>> {
        self.results.clear();
        std::mem::take(&mut self.notes)
    }
}

impl QueueState {
    /// Reports the end of a dead or cancelled job to the outcomes.
    pub(super) fn note(&mut self, outcome: Box<JobInfo>) {
        if self.is_journaled() {
            self.unacknowledged.push(outcome.clone());
        }
        self.effects.push(Effect::Note(outcome));
    }

    /// Does the same as [`note`](Self::note) during a replay.
    pub(super) fn replay_note(&mut self, slot: JobSlot, state: JobState) {
        let outcome = self.outcome(slot, state, None);
        self.unacknowledged.push(outcome);
    }

    /// Notes that the outcomes have recorded the first `count` ends.
    pub(crate) fn notes_recorded(&mut self, count: usize) {
        let count = count.min(self.unacknowledged.notes.len());
        self.unacknowledged.notes.drain(..count);
    }

    /// Notes, during a replay, that the outcomes have recorded the end of this hand-out.
    pub(crate) fn acknowledge(&mut self, of: Reservation, state: JobState) {
        let Reservation { id, epoch } = of;
        if state == JobState::Done {
            let held = |slot: JobSlot| {
                self.job(slot).is_some_and(|it| {
                    it.epoch == epoch && matches!(it.phase, JobPhase::Reserved(_))
                })
            };
            if self.ids.get(id).is_some_and(held) {
                self.unacknowledged.results.insert(id, epoch);
            }
            return;
        }
        // They are recorded in the order in which they finished.
        let is_it = |it: &JobInfo| (it.id, it.epoch, it.state) == (id, epoch, state);
        if let Some(at) = self.unacknowledged.notes.iter().position(|it| is_it(it)) {
            self.unacknowledged.notes.remove(at);
        }
    }
}
