//! Schedules: jobs that are pushed periodically.

use super::{Blob, PushRequest, UnixMillis};

/// A job that is pushed periodically.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Name of the schedule; setting another one under the same name replaces it.
    pub name: Blob,
    /// The times: `minute hour day month weekday`; with six fields, the first one is seconds.
    pub cron: String,
    /// The IANA name of the time zone, such as `Europe/Berlin`.
    pub timezone: String,
    /// The job to push. Its delay counts from the time of the schedule.
    pub push: PushRequest,
}

/// A description of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// The schedule as set.
    pub schedule: Schedule,
    /// The next push; `None` if there is none within `queue.schedule_ahead_max`, and so there never is
    /// another.
    pub next: Option<UnixMillis>,
    /// The number of jobs that it has pushed.
    pub pushed: u64,
    /// The number of times at which nothing was pushed because the topic was full or the index was
    /// taken.
    pub missed: u64,
}

impl ScheduleInfo {
    /// Makes a schedule that has pushed nothing yet.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, next: None, pushed: 0, missed: 0 }
    }
}
