//! What is done to jobs and topics as it is asked for: cancels, settings; and what time does.

use super::change::Change;
use super::job::Phase;
use super::state::Answer;
use super::{Effect, Now, QueueError, Slot, State};
use crate::model::{Blob, JobId, JobInfo, JobRef, JobReply, JobState, TopicSettings};

impl State {
    /// Makes jobs ready whose delay is over: a slice of them.
    pub(super) fn wake_delayed(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some((due, id, slot)) = self.delayed.first().copied() else { return };
            if due > self.utc {
                return;
            }
            if self.job(slot).is_some_and(|job| job.order_key().is_some()) {
                self.commit(Change::Woken { id });
            } else {
                self.keep_frozen(slot);
                self.wake(slot);
            }
        }
    }

    pub(super) fn cancel(&mut self, now: Now, job: &JobRef) -> Answer {
        let Some(slot) = self.find(job) else { return self.not_here(job, true) };
        match self.job(slot).map(|job| (job.id, job.phase)) {
            Some((id, Phase::Dead(_) | Phase::Recording)) => {
                Answer::Now(Err(QueueError::JobFinished(id)))
            }
            Some((id, _)) => {
                let outcome = self.cancel_slot(now, slot, id);
                Answer::Now(Ok(JobReply::Job(outcome)))
            }
            None => Answer::Now(Err(QueueError::not_found(job))),
        }
    }

    fn cancel_slot(&mut self, now: Now, slot: Slot, id: JobId) -> Box<JobInfo> {
        self.revoke(slot);
        self.meter_finished(slot, now.steady);
        let outcome = self.outcome(slot, JobState::Cancelled, None);
        self.commit(Change::Cancelled { id });
        self.effects.push(Effect::Note(outcome.clone()));
        outcome
    }

    pub(super) fn clear_topic(&mut self, now: Now, name: &Blob) -> Result<JobReply, QueueError> {
        let number = self.topic_named(name)?;
        let max = self.config.slice_max;
        let Some(topic) = self.topic(number) else { return Err(no_topic(name)) };
        let waits = |slot: &Slot| {
            self.job(*slot).is_some_and(|job| {
                job.topic == number
                    && matches!(job.phase, Phase::Ready | Phase::Waiting | Phase::Delayed(_))
            })
        };
        // The ready are at hand; only for the others all jobs are looked through.
        let ready = topic.ready.iter().map(|(_, _, slot)| *slot).take(max + 1);
        let mut slots: Vec<Slot> = ready.collect();
        if slots.is_empty() && topic.waiting + topic.delayed > 0 {
            slots = self.ids.values().copied().filter(waits).take(max + 1).collect();
        }
        let left = slots.len() > max;
        slots.truncate(max);
        let count = slots.len() as u64;
        for slot in slots {
            if let Some(id) = self.job(slot).map(|job| job.id) {
                self.cancel_slot(now, slot, id);
            }
        }
        let waits =
            self.topic(number).is_some_and(|it| it.ready_jobs() + it.delayed > 0 && count > 0);
        Ok(JobReply::Changed { count, more: left || waits })
    }

    pub(super) fn set_topic(
        &mut self,
        now: Now,
        name: &Blob,
        settings: &TopicSettings,
    ) -> Result<JobReply, QueueError> {
        self.check_settings(settings)?;
        let topic = self.topic_or_make(name)?;
        self.commit(Change::TopicSet { topic, settings: settings.into() });
        self.tell_topic(now, name)
    }

    pub(super) fn pause_topic(
        &mut self,
        now: Now,
        name: &Blob,
        paused: bool,
    ) -> Result<JobReply, QueueError> {
        let topic = self.topic_or_make(name)?;
        if self.topic(topic).is_some_and(|it| it.paused != paused) {
            self.commit(Change::TopicPaused { topic, paused });
        }
        self.tell_topic(now, name)
    }
}

pub(super) fn no_topic(name: &Blob) -> QueueError {
    QueueError::TopicNotFound(name.clone())
}
