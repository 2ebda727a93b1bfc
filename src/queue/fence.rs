//! The fence at a start that may have lost visible changes: no id and no epoch that may have been
//! visible is assigned again.

use super::change::QueueChange;
use super::{JobSlot, QueueError, QueueState};
use crate::model::JobId;

/// Upper bound of the number of jobs in records that are visible before they are synced: the
/// journal limits these records to 65,536.
const IDS_LOST_MAX: JobId = 1 << 32;

/// Upper bound of the number of hand-outs of one job in those records: a record covers at most one
/// turn, which hands out a job at most twice.
const EPOCHS_LOST_MAX: u32 = 1 << 18;

/// The highest id of a pushed job. Schedules may go beyond, up to the limit of a snapshot.
const PUSHED_ID_MAX: JobId = 1 << 61;

impl QueueState {
    /// Skips all ids and epochs that may have been visible and lost: a worker that holds a job from
    /// before is refused, and no other job gets the id of a lost one.
    pub(super) fn fence(&mut self) {
        let next_id = self.next_id.saturating_add(IDS_LOST_MAX).min(PUSHED_ID_MAX + 1);
        let next_id = next_id.max(self.next_id);
        self.commit(QueueChange::Fenced { next_id, epochs: EPOCHS_LOST_MAX });
    }

    pub(super) fn apply_fenced(&mut self, next_id: JobId, epochs: u32) {
        self.next_id = self.next_id.max(next_id);
        for (_, job) in &mut self.jobs {
            job.epoch = job.epoch.saturating_add(epochs);
        }
    }

    /// Checks that there are ids for `count` more jobs.
    pub(super) fn check_ids(&self, count: u64) -> Result<(), QueueError> {
        if self.next_id.saturating_add(count) <= PUSHED_ID_MAX + 1 {
            return Ok(());
        }
        let what = "no job ids are left; push to a new store";
        Err(QueueError::Limit { name: "the highest job id", max: PUSHED_ID_MAX, what })
    }

    /// Makes a dead letter of a job that has no epoch left for another hand-out; returns whether it
    /// did.
    pub(super) fn dead_letter_spent(&mut self, slot: JobSlot) -> bool {
        let spent = self.job(slot).is_some_and(|job| job.epoch == u32::MAX);
        if spent {
            let why = "it has no epoch left for another hand-out; push its payload as a new job";
            self.die(slot, super::change::Cost::Nothing, why.to_owned());
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::error::{Details, Error, ErrorCode};
    use crate::model::{
        JobRef, JobReply, JobRequest, JobState, PushRequest, Reservation, ReserveRequest,
    };
    use crate::queue::{Effect, Now, Outcomes, QueueAnswer};

    const NOW: Now = Now { steady: 1, utc: 1_000 };

    fn queue() -> QueueState {
        let mut state = QueueState::new(Config::new().queue, 1);
        state.set_journaled(true);
        state
    }

    /// Starts a queue from the records of `state`.
    fn start(state: &mut QueueState, fenced: bool) -> QueueState {
        let mut again = QueueState::new(Config::new().queue, 1);
        let mut record = Vec::new();
        while state.take_record(&mut record) {
            again.replay(&std::mem::take(&mut record)).unwrap();
        }
        again.set_journaled(true);
        again.recover(NOW, &mut Outcomes::new(Config::new().queue), fenced);
        again
    }

    fn push(state: &mut QueueState) -> Result<JobId, Error> {
        let request =
            JobRequest::Push { jobs: vec![PushRequest::new("t", "x")], wait: Duration::ZERO };
        match state.request(NOW, 1, request) {
            QueueAnswer::Now(Ok(JobReply::Pushed(pushed))) => Ok(pushed[0].id),
            QueueAnswer::Now(Err(error)) => Err(error.into()),
            _ => panic!("a push has another answer"),
        }
    }

    fn take(state: &mut QueueState) -> Vec<Reservation> {
        let request = ReserveRequest { credits: 9, ..ReserveRequest::new("t") };
        state.request(NOW, 1, JobRequest::Reserve(request));
        let taken = state.finish_turn(NOW).into_iter().find_map(|effect| match effect {
            Effect::Reserved(_, jobs) => Some(jobs),
            _ => None,
        });
        taken.unwrap().iter().map(|job| job.reservation).collect()
    }

    #[test]
    fn j3_a_job_without_an_epoch_left_is_a_dead_letter_and_no_epoch_is_given_twice() {
        let mut state = queue();
        push(&mut state).unwrap();
        state.commit(QueueChange::Fenced { next_id: 2, epochs: u32::MAX - 2 });
        push(&mut state).unwrap();
        let last = Reservation { id: 1, epoch: u32::MAX - 1 };
        assert_eq!(take(&mut state), [last, Reservation { id: 2, epoch: 1 }]);
        state.undeliver(NOW, [last]);
        assert_eq!(take(&mut state), [Reservation { id: 1, epoch: u32::MAX }]);
        let mut again = start(&mut state, true);
        let second = Reservation { id: 2, epoch: 2 + EPOCHS_LOST_MAX };
        assert_eq!(take(&mut again), [second]);
        assert!(again.held(Reservation { id: 1, epoch: u32::MAX }).is_err());
        let get = JobRequest::Get(JobRef::Id(1));
        let QueueAnswer::Now(Ok(JobReply::Job(dead))) = again.request(NOW, 1, get) else {
            panic!()
        };
        assert_eq!(dead.state, JobState::Dead);
        assert!(dead.errors.last().unwrap().contains("no epoch left"), "{dead:?}");
    }

    #[test]
    fn j3_a_push_is_refused_in_a_typed_error_when_no_ids_are_left() {
        let mut state = queue();
        state.commit(QueueChange::Fenced { next_id: PUSHED_ID_MAX - IDS_LOST_MAX, epochs: 0 });
        let mut state = start(&mut state, true);
        assert_eq!(push(&mut state).unwrap(), PUSHED_ID_MAX);
        for _ in 0..2 {
            let error = push(&mut state).unwrap_err();
            let name = "the highest job id".to_owned();
            assert_eq!(error.code, ErrorCode::LimitExceeded);
            assert_eq!(error.details, Details::Limit { name, value: PUSHED_ID_MAX });
            // A fence assigns no id twice either.
            state.fence();
        }
    }
}
