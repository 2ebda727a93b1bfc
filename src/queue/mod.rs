//! Jobs: a pure state machine of topics, jobs and those who wait for them.
//!
//! No actix, no clock, no randomness, no I/O: the time comes in as [`Now`], what is to be told
//! comes out as [`Effect`]s, what is to be written as the records of [`State::take_record`]. What
//! happens to a job is one [`change::Change`], which is applied in the same way when it happens
//! and when it is read back.

mod apply;
#[cfg(any(test, feature = "cli"))]
mod audit;
mod calendar;
mod change;
mod check;
mod dead;
mod describe;
mod dispatch;
mod error;
mod ids;
mod indexes;
mod job;
mod lane;
mod live;
mod meter;
mod names;
mod outcomes;
mod owner_room;
mod park;
mod producers;
mod push;
mod record;
mod resume;
mod retry;
mod schedule;
mod set_back;
mod settle;
mod snapshot;
pub mod specimen;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod topic;
mod unheard;

pub(crate) use error::QueueError;
pub(crate) use outcomes::{Found, Outcomes, Sought, Told};
pub(crate) use park::{Effect, ParkId};
pub(crate) use resume::user_fingerprint;
pub(crate) use settle::Settled;
pub(crate) use state::{Answer, State};

use crate::model::UnixMillis;
use crate::store::Micros;

/// How far a time of day must be behind the last record, milliseconds, for that record to have been
/// written by a wrong clock.
pub(crate) const CLOCK_SET_BACK_MS: u64 = 3_600_000;

/// What time it is, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Never jumps: what deadlines of this process go by.
    pub(crate) steady: Micros,
    /// The time of day: what outlives the process. Never goes back.
    pub(crate) utc: UnixMillis,
}

/// Where a job is in memory.
type Slot = u32;

/// Number of a topic, in the order in which they were made.
type TopicNo = u32;

/// Whole milliseconds, rounded up, so that nothing is due early.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
