//! A start whose time of day is behind the records, because they were written by a clock that ran
//! ahead.

use super::calendar::{days_in, next_time};
use super::change::{QueueChange, ScheduleSet};
use super::{CLOCK_SET_BACK_MS, Now, QueueState};
use crate::model::UnixMillis;

impl QueueState {
    /// Returns to the time of day, if the last record is ahead of it by more than
    /// [`CLOCK_SET_BACK_MS`]: ready jobs keep their order, jobs pushed from now on come behind them,
    /// and schedules come by the new time. Due times of jobs stay as they are.
    pub(super) fn set_clock_back(&mut self, now: Now) {
        let by = self.utc.saturating_sub(now.utc);
        if by <= CLOCK_SET_BACK_MS {
            return;
        }
        self.utc = now.utc;
        self.commit(QueueChange::ClockSetBack { by });
        let days = days_in(self.config.schedule_ahead_max);
        let sooner = |set: &ScheduleSet| {
            let next = next_time(&set.cron, &set.timezone, now.utc, days).ok().flatten()?;
            let is_sooner = set.next.is_some_and(|before| next < before);
            is_sooner.then(|| ScheduleSet { next: Some(next), ..set.clone() })
        };
        let sooner: Vec<ScheduleSet> = self.schedules.all().filter_map(sooner).collect();
        for set in sooner {
            self.commit(QueueChange::ScheduleSet(set));
        }
    }

    /// Moves the ranks of all jobs back, which keeps their order.
    pub(super) fn apply_clock_set_back(&mut self, at: UnixMillis, by: u64) {
        self.set_dead_back(at);
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        for (_, job) in &mut self.jobs {
            job.rank = job.rank.saturating_sub(by);
        }
        for topic in &mut self.topics {
            let ready = std::mem::take(&mut topic.ready);
            topic.ready = ready
                .into_iter()
                .map(|(rank, turn, slot)| (rank.saturating_sub(by), turn, slot))
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::model::{JobRequest, PushRequest, Schedule};
    use crate::queue::{Now, Outcomes, QueueAnswer, QueueState};

    const DAY: u64 = 24 * 3_600_000;
    const TODAY: u64 = 20_000 * DAY;

    /// Returns the next time of a schedule that was set at `set`, after a start at `start`.
    fn next_after(set: u64, start: u64) -> u64 {
        let config = Config::new().queue;
        let mut state = QueueState::new(config.clone(), 1);
        state.set_journaled(true);
        let schedule = Schedule {
            name: "daily".into(),
            cron: "0 3 * * *".to_owned(),
            timezone: "UTC".to_owned(),
            push: PushRequest::new("t", "x"),
        };
        let request = JobRequest::SetSchedule(Box::new(schedule));
        let done = state.request(Now { steady: 1, utc: set }, 1, request);
        assert!(matches!(done, QueueAnswer::Now(Ok(_))));
        state.recover(Now { steady: 1, utc: start }, &mut Outcomes::new(config.clone()), false);
        let mut again = QueueState::new(config, 1);
        let mut record = Vec::new();
        while state.take_record(&mut record) {
            again.replay(&std::mem::take(&mut record)).unwrap();
        }
        assert_eq!(again.schedules.next(), state.schedules.next(), "as the records have it");
        state.schedules.next().unwrap()
    }

    #[test]
    fn j10_schedules_set_by_a_clock_that_ran_ahead_come_by_the_time_of_day() {
        let three = 3 * 3_600_000;
        assert_eq!(next_after(TODAY + 400 * DAY, TODAY), TODAY + three);
        // A clock that is slightly behind repeats nothing.
        assert_eq!(next_after(TODAY + three + 1, TODAY + three - 1_000), TODAY + DAY + three);
    }
}
