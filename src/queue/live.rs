//! Changes to jobs and topics by request (cancels, settings) and by the passage of time.

use super::change::QueueChange;
use super::job::JobPhase;
use super::state::QueueAnswer;
use super::topic::TopicState;
use super::{Effect, JobSlot, Now, QueueError, QueueState, TopicNo};
use crate::fair::ClientId;
use crate::model::{Blob, JobInfo, JobRef, JobReply, JobState, TopicSettings};

impl QueueState {
    /// Makes a slice of the jobs whose delay is over ready.
    pub(super) fn wake_delayed(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some((due, id, slot)) = self.delayed.first().copied() else { return };
            if due > self.utc {
                return;
            }
            if self.job(slot).is_some_and(|job| job.order_key().is_some()) {
                self.commit(QueueChange::Woken { id });
            } else {
                self.keep_frozen(slot);
                self.wake(slot);
            }
        }
    }

    pub(super) fn cancel(&mut self, job: &JobRef, may: &dyn Fn(&Blob) -> bool) -> QueueAnswer {
        let Some(slot) = self.find(job, may) else { return self.not_here(job, true) };
        match self.job(slot).map(|job| (job.id, job.phase)) {
            Some((id, JobPhase::Dead(_) | JobPhase::Recording)) => {
                QueueAnswer::Now(Err(QueueError::JobFinished(id)))
            }
            Some((id, _)) => {
                let outcome = self.end_slot(slot);
                self.commit(QueueChange::Cancelled { id });
                self.note(outcome.clone());
                QueueAnswer::Now(Ok(JobReply::Job(outcome)))
            }
            None => QueueAnswer::Now(Err(QueueError::not_found(job))),
        }
    }

    /// Ends the reservation of a job that is about to be cancelled; returns the job's description.
    fn end_slot(&mut self, slot: JobSlot) -> Box<JobInfo> {
        self.revoke(slot);
        self.meter_finished(slot);
        self.outcome(slot, JobState::Cancelled, None)
    }

    /// Cancels a slice of the waiting jobs of a topic.
    pub(super) fn clear_topic(&mut self, name: &Blob) -> Result<JobReply, QueueError> {
        let (count, more) = self.clear_slice(self.topic_named(name)?);
        Ok(JobReply::Changed { count: count as u64, more })
    }

    /// Cancels a slice of the waiting jobs of a topic; returns how many, and whether there are more.
    pub(super) fn clear_slice(&mut self, number: TopicNo) -> (usize, bool) {
        let (mut count, max) = (0, self.config.slice_max);
        // When a job with a slot of its order key is cancelled, the next job of the key becomes ready.
        while count < max
            && let Some(slot) = self.topic(number).and_then(TopicState::first_ready)
        {
            self.clear(slot);
            count += 1;
        }
        for slot in self.slots_to_clear(number, max - count) {
            self.clear(slot);
            count += 1;
        }
        let more = self.topic(number).is_some_and(|it| it.ready_jobs() + it.delayed > 0);
        (count, more)
    }

    fn clear(&mut self, slot: JobSlot) {
        let Some(id) = self.job(slot).map(|job| job.id) else { return };
        let outcome = self.end_slot(slot);
        self.commit(QueueChange::Cleared { id });
        self.effects.push(Effect::Cleared(outcome));
    }

    /// Returns waiting jobs that are not ready: a walk over all jobs, from where the last slice ended.
    fn slots_to_clear(&mut self, number: TopicNo, max: usize) -> Vec<JobSlot> {
        let looked_at_max = self.config.list_looked_at_max;
        let Some(topic) = self.topics.get_mut(number as usize) else { return Vec::new() };
        if max == 0 || topic.waiting + topic.delayed == 0 {
            return Vec::new();
        }
        let from = std::mem::take(&mut topic.cleared);
        let (mut slots, mut cleared) = (Vec::new(), 0);
        for (looked_at, (id, slot)) in self.ids.after(from).enumerate() {
            if looked_at == looked_at_max || slots.len() == max {
                topic.cleared = cleared;
                break;
            }
            cleared = id;
            let job = self.jobs.get(slot as usize).filter(|job| job.topic == number);
            let waits = job
                .is_some_and(|job| matches!(job.phase, JobPhase::Waiting | JobPhase::Delayed(_)));
            slots.extend(waits.then_some(slot));
        }
        slots
    }

    pub(super) fn set_topic(
        &mut self,
        now: Now,
        client: ClientId,
        name: &Blob,
        settings: &TopicSettings,
    ) -> Result<JobReply, QueueError> {
        self.check_settings(settings)?;
        let topic = self.topic_or_make(name, client)?;
        self.commit(QueueChange::TopicSet { topic, settings: settings.into() });
        self.describe_topic(now, name)
    }

    pub(super) fn pause_topic(
        &mut self,
        now: Now,
        client: ClientId,
        name: &Blob,
        paused: bool,
    ) -> Result<JobReply, QueueError> {
        let topic = self.topic_or_make(name, client)?;
        if self.topic(topic).is_some_and(|it| it.paused != paused) {
            self.commit(QueueChange::TopicPaused { topic, paused });
        }
        self.describe_topic(now, name)
    }
}

pub(super) fn no_topic(name: &Blob) -> QueueError {
    QueueError::TopicNotFound(name.clone())
}
