//! Schedules: jobs that are pushed again and again.

use super::{Blob, PushRequest, UnixMillis};

/// A job that is pushed again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Its name; setting another under the same name replaces it.
    pub name: Blob,
    /// When: `minute hour day month weekday`, with a field of seconds in front if there are six.
    pub cron: String,
    /// The IANA name of the zone whose clock counts, as in `Europe/Berlin`.
    pub timezone: String,
    /// What is pushed. Its delay counts from the time of the schedule.
    pub push: PushRequest,
}

/// What there is to tell of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// As set.
    pub schedule: Schedule,
    /// When it pushes next; `None` if not within `queue.schedule_ahead_max`, and so never again.
    pub next: Option<UnixMillis>,
    /// How often it has pushed a job.
    pub pushed: u64,
    /// How often its time came and nothing was pushed, as its topic was full or its index was taken.
    pub missed: u64,
}

impl ScheduleInfo {
    /// Makes a schedule that has not pushed yet.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, next: None, pushed: 0, missed: 0 }
    }
}
