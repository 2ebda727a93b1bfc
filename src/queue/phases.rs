//! The phases of a job: where a job of each phase is kept, and how it moves between these places.

use super::job::JobPhase;
use super::{JobSlot, QueueState, millis};
use crate::model::UnixMillis;

impl QueueState {
    /// Makes a delayed job ready as of its due time.
    pub(super) fn wake(&mut self, slot: JobSlot) {
        if let Some(JobPhase::Delayed(due)) = self.job(slot).map(|job| job.phase) {
            self.detach(slot);
            self.make_ready(due, slot);
        }
    }

    /// Makes a job ready now, behind the ready jobs of its priority.
    pub(super) fn make_ready(&mut self, at: UnixMillis, slot: JobSlot) {
        let step = millis(self.config.priority_step);
        let turn = self.next_turn(slot);
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        // Among several ready jobs of one order key, the order of pushes counts.
        let keyed = job.order_key().is_some();
        let limit = self.topics.get(job.topic as usize).and_then(|it| it.settings.order_limit);
        let priority = if keyed && limit.is_some_and(|limit| limit > 1) { 0 } else { job.priority };
        let lead = step.saturating_mul(u64::from(priority));
        let ms = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        (job.rank, job.turn) = (ms(at).saturating_sub(ms(lead)), turn);
        if job.holds_place || job.order_key().is_none() || self.take_place(slot) {
            self.put_ready(slot);
        } else {
            self.put_waiting(slot);
        }
    }

    /// Returns the turn of a job that becomes ready now. A delayed job without an order key takes no
    /// new turn, because the journal does not record when it was woken: among jobs that became ready at
    /// the same time, it is in the order of pushes.
    fn next_turn(&mut self, slot: JobSlot) -> u64 {
        match self.job(slot) {
            Some(job) if matches!(job.phase, JobPhase::Delayed(_)) && job.order_key().is_none() => {
                job.id
            }
            _ => {
                self.line = self.line.saturating_add(1);
                self.line
            }
        }
    }

    pub(super) fn put_ready(&mut self, slot: JobSlot) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.phase = JobPhase::Ready;
        let number = job.topic;
        if let Some(topic) = self.topics.get_mut(number as usize) {
            topic.ready.insert((job.rank, job.turn, slot));
        }
        self.mark_dirty(number);
    }

    pub(super) fn put_waiting(&mut self, slot: JobSlot) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.phase = JobPhase::Waiting;
        if let Some(topic) = self.topics.get_mut(job.topic as usize)
            && let Some(key) = job.extra.as_ref().and_then(|extra| extra.order_key.clone())
        {
            topic.waiting += 1;
            topic.lanes.entry(key).or_default().waiting.insert((job.id, slot));
        }
    }

    pub(super) fn delay(&mut self, slot: JobSlot, due: UnixMillis) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.phase = JobPhase::Delayed(due);
        if let Some(topic) = self.topics.get_mut(job.topic as usize) {
            topic.delayed += 1;
        }
        self.delayed.insert((due, job.id, slot));
    }

    /// Removes a job from its current place.
    pub(super) fn detach(&mut self, slot: JobSlot) {
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let Some(topic) = self.topics.get_mut(job.topic as usize) else { return };
        match job.phase {
            JobPhase::Ready => {
                topic.ready.remove(&(job.rank, job.turn, slot));
            }
            JobPhase::Waiting => {
                topic.waiting = topic.waiting.saturating_sub(1);
                if let Some(key) = job.order_key()
                    && let Some(lane) = topic.lanes.get_mut(key)
                {
                    lane.waiting.remove(&(job.id, slot));
                    if lane.is_idle() {
                        topic.lanes.remove(key);
                    }
                }
            }
            JobPhase::Delayed(due) => {
                topic.delayed = topic.delayed.saturating_sub(1);
                self.delayed.remove(&(due, job.id, slot));
            }
            JobPhase::Reserved(_) | JobPhase::Recording => {
                topic.reserved = topic.reserved.saturating_sub(1);
                let alone = usize::from(job.awaits_resume());
                self.awaiting_resume = self.awaiting_resume.saturating_sub(alone);
                if let JobPhase::Reserved(deadline) = job.phase {
                    self.deadlines.remove(&(deadline, slot));
                }
                let (owner, number) = (job.owner, job.topic);
                self.parked.disown(owner, slot);
                self.mark_dirty(number);
            }
            JobPhase::Dead(_) => {
                topic.dead.remove(&job.id);
                self.dead.remove(job.topic, (job.turn, slot), job.bytes_dead());
                let number = job.topic;
                self.note_left(number);
            }
        }
    }

    /// Removes the job from the counts of the limits.
    pub(super) fn leave(&mut self, slot: JobSlot) {
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let (bytes, number) = (job.bytes(), job.topic);
        if let Some(topic) = self.topics.get_mut(number as usize) {
            topic.jobs = topic.jobs.saturating_sub(1);
            topic.bytes = topic.bytes.saturating_sub(bytes);
        }
        self.unfinished = self.unfinished.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.producers.open(None);
        self.producers.open(Some(number));
        self.note_left(number);
    }

    /// Removes a job that is in no list any more.
    pub(super) fn remove(&mut self, slot: JobSlot) {
        self.detach_dead(slot);
        if let Some(job) = self.jobs.try_remove(slot as usize) {
            self.ids.remove(job.id);
        }
    }

    fn detach_dead(&mut self, slot: JobSlot) {
        if self.job(slot).is_some_and(|job| matches!(job.phase, JobPhase::Dead(_))) {
            self.detach(slot);
        }
    }
}
