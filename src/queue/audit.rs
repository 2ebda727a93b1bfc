//! [`QueueState::audit`]: checks that every job is in exactly one place and counted there only.
//!
//! For simulations and tests, because it looks at every job.

use super::job::{Job, JobPhase};
use super::topic::TopicState;
use super::{JobSlot, QueueState};

/// The sums over the jobs of a topic.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Sums {
    ready: u64,
    waiting: u64,
    delayed: u64,
    reserved: u64,
    dead: u64,
    jobs: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, job: &Job) {
        match job.phase {
            JobPhase::Ready => self.ready += 1,
            JobPhase::Waiting => self.waiting += 1,
            JobPhase::Delayed(_) => self.delayed += 1,
            JobPhase::Reserved(_) | JobPhase::Recording => self.reserved += 1,
            JobPhase::Dead(_) => {
                self.dead += 1;
                return;
            }
        }
        self.jobs += 1;
        self.bytes += job.bytes();
    }

    fn of(topic: &TopicState) -> Self {
        Self {
            ready: topic.ready.len() as u64,
            waiting: topic.waiting,
            delayed: topic.delayed,
            reserved: topic.reserved,
            dead: topic.dead.len() as u64,
            jobs: topic.jobs,
            bytes: topic.bytes,
        }
    }
}

impl QueueState {
    /// Checks that every job is in exactly one place and that all counts are correct.
    ///
    /// # Errors
    /// A sentence that describes what is wrong.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut sums = vec![Sums::default(); self.topics.len()];
        for (slot, job) in &self.jobs {
            let slot = JobSlot::try_from(slot).map_err(|_| "a job has no slot".to_owned())?;
            let number = job.topic as usize;
            let (Some(topic), Some(sum)) = (self.topics.get(number), sums.get_mut(number)) else {
                return Err(format!("job {} is of topic {number}, which does not exist", job.id));
            };
            sum.add(job);
            self.audit_job(slot, job, topic)?;
        }
        for (topic, expected) in self.topics.iter().zip(&sums) {
            let counted = Sums::of(topic);
            if counted != *expected {
                let name = &topic.name;
                return Err(format!("topic {name} counts {counted:?}, and has {expected:?}"));
            }
            let totals = &topic.totals;
            let finished = totals.done + totals.dead + totals.cancelled;
            if totals.pushed != topic.jobs + finished {
                let name = &topic.name;
                return Err(format!("topic {name} has {} jobs, and {totals:?}", topic.jobs));
            }
        }
        let sum = |of: fn(&Sums) -> u64| sums.iter().map(of).sum::<u64>();
        let expected = (sum(|it| it.jobs), sum(|it| it.bytes), sum(|it| it.delayed));
        let counted = (self.unfinished as u64, self.bytes, self.delayed.len() as u64);
        if counted != expected {
            return Err(format!(
                "jobs, bytes and delayed jobs are counted as {counted:?}, and are {expected:?}"
            ));
        }
        Ok(())
    }

    fn audit_job(&self, slot: JobSlot, job: &Job, topic: &TopicState) -> Result<(), String> {
        let waits = job.order_key().and_then(|key| topic.lanes.get(key));
        let places = [
            topic.ready.contains(&(job.rank, job.turn, slot)),
            waits.is_some_and(|lane| lane.waiting.contains(&(job.id, slot))),
            matches!(job.phase, JobPhase::Delayed(due) if self.delayed.contains(&(due, job.id, slot))),
            matches!(job.phase, JobPhase::Reserved(until) if self.deadlines.contains(&(until, slot))),
            topic.dead.get(&job.id) == Some(&slot),
        ];
        let expected = [
            job.phase == JobPhase::Ready,
            job.phase == JobPhase::Waiting,
            matches!(job.phase, JobPhase::Delayed(_)),
            matches!(job.phase, JobPhase::Reserved(_)),
            matches!(job.phase, JobPhase::Dead(_)),
        ];
        if places != expected {
            let (id, phase) = (job.id, job.phase);
            return Err(format!(
                "job {id} is {phase:?}; among the ready, waiting, delayed, reserved, dead: {places:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::model::{JobRequest, PushRequest};
    use crate::queue::{Now, QueueState};

    fn with_a_job() -> QueueState {
        let mut state = QueueState::new(Config::new().queue, 1);
        let jobs = vec![PushRequest::new("t", "x")];
        let request = JobRequest::Push { jobs, wait: std::time::Duration::ZERO };
        state.request(Now { steady: 1, utc: 1 }, 1, request);
        assert_eq!((state.jobs.len(), state.audit()), (1, Ok(())));
        state
    }

    #[test]
    fn j14_a_job_counted_twice_or_nowhere_is_found() {
        let tampered: [fn(&mut QueueState); 5] = [
            |state| state.topics[0].reserved += 1,
            |state| state.topics[0].ready.clear(),
            |state| state.topics[0].totals.done += 1,
            |state| state.unfinished += 1,
            |state| {
                state.delayed.insert((1, 1, 0));
            },
        ];
        for (number, tamper) in tampered.into_iter().enumerate() {
            let mut state = with_a_job();
            tamper(&mut state);
            assert!(state.audit().is_err(), "{number}");
        }
    }
}
