//! A job of the model.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue::tests) enum At {
    /// Ready at this time.
    Due(u64),
    Reserved,
    Recording,
    Finished(JobState, u64),
}

#[derive(Debug, Clone)]
pub(in crate::queue::tests) struct Item {
    pub(in crate::queue::tests) id: JobId,
    pub(in crate::queue::tests) push: PushRequest,
    pub(in crate::queue::tests) at: At,
    pub(in crate::queue::tests) epoch: u32,
    pub(in crate::queue::tests) failures: u32,
    pub(in crate::queue::tests) losses: u32,
    /// Whether the job was handed out, and is not dead or replayed since.
    pub(super) started: bool,
    /// Whether the job blocks its order key while it waits for its next run.
    pub(super) blocks: bool,
    /// Whether another job had its index when it was replayed, or its index was freed.
    pub(super) nameless: bool,
    /// Whether the job is a deleted dead letter, or belongs to a deleted topic.
    pub(in crate::queue::tests) gone: bool,
    /// When the job became ready for this run.
    pub(super) since: u64,
    /// The connection that holds the job; 0 for none that is connected.
    pub(super) owner: u64,
    pub(super) deadline: u64,
    pub(super) visibility: u64,
    /// The visibility timeout of the hand-out.
    pub(super) first_visibility: u64,
    /// The worker's user, if the worker may resume the job.
    pub(super) resumable: Option<u64>,
}

impl Item {
    pub(super) fn unfinished(&self) -> bool {
        matches!(self.at, At::Due(_) | At::Reserved | At::Recording)
    }

    pub(super) fn state(&self, utc: u64) -> JobState {
        match self.at {
            At::Due(due) if due > utc => JobState::Delayed,
            At::Due(_) => JobState::Ready,
            At::Reserved | At::Recording => JobState::Reserved,
            At::Finished(state, _) => state,
        }
    }

    pub(super) fn ready(&self, utc: u64) -> bool {
        self.state(utc) == JobState::Ready
    }

    /// Returns whether the job's index is taken from others.
    pub(super) fn has_index(&self, utc: u64) -> bool {
        let unfinished = self.unfinished();
        !self.nameless
            && match self.push.options.unique {
                Unique::Waiting => unfinished && self.epoch == 0,
                Unique::Unfinished => unfinished,
                Unique::Finished(after) => match self.at {
                    At::Finished(JobState::Cancelled, _) => false,
                    At::Finished(_, since) => utc < since + after.as_millis() as u64,
                    _ => true,
                },
            }
    }

    /// Sets the visibility timeout that a restart read back, cut to the grace period for resuming.
    pub(in crate::queue::tests) fn restarted_with(
        &mut self,
        visibility: u64,
        steady: u64,
        grace: Duration,
    ) {
        assert!([self.visibility, self.first_visibility].contains(&visibility), "{self:?}");
        self.visibility = visibility;
        self.deadline = steady + visibility.min(grace.as_micros() as u64);
    }

    /// Returns the time from which the job counts as waiting.
    pub(super) fn rank(&self, step: u64) -> i64 {
        let At::Due(due) = self.at else { return i64::MAX };
        due as i64 - (step * u64::from(self.push.options.priority)) as i64
    }
}
