//! The job queue: a pure state machine of topics, jobs, schedules and parked requests.
//!
//! Nothing here uses actix, a clock, randomness or I/O. Time comes in as [`Now`]; answers and other
//! effects go out as [`Effect`]s, and records to write with [`QueueState::take_record`]. Everything that
//! happens to a job is a [`change::QueueChange`], applied identically live and on replay.
//!
//! # Design
//!
//! - **Changes have one path.** `apply` is the only place that changes jobs. Requests decide and
//!   commit changes; replay applies the same changes. `apply` decides nothing that depends on a
//!   clock or on chance.
//! - A job is in exactly one place: the ready set of its topic (ordered by rank), the lane of its
//!   order key, the delayed jobs, the reserved jobs, or the dead letters. `phases`
//!   moves it between them.
//! - **Rank** is the time at which the job became ready, less `queue.priority_step` for each step
//!   of priority. So one ordered set gives order, priority and freedom from starvation. A job
//!   that returns to the head keeps its rank.
//! - **Lanes** (`lane`): a job with an order key needs one of the slots of its key to be ready;
//!   the others wait in the order of their pushes. A free slot goes to the next job of the key
//!   *behind* all ready jobs, so keys take turns.
//! - **Every loop ends within a turn:** jobs handed out, taken back from a lost worker, freed,
//!   cleared or evicted are limited to `queue.slice_max` each, and the next turn follows at once
//!   (`QueueState::is_behind`). `producers` records where pushes wait for capacity, and where some may
//!   have become free, so that a finished job costs the same however many topics and pushes there are.
//! - A request that names a topic creates it. Beyond `queue.topics_max`, a new topic takes the
//!   number of an empty one (`names`). Jobs and snapshots refer to topics by number, so the
//!   number of a deleted topic stays vacant, without a name, until a new topic takes it.
//! - Limits count unfinished jobs, including running ones. So a retry is already counted, and
//!   a full queue cannot block a worker.
//! - **Retention is shared** (`shares`): outcomes, dead letters and the indexes of finished jobs
//!   share one budget each, and the topic that uses the most of it loses the excess. Evictions
//!   are recorded in the journal, so a replay under other limits keeps the same outcomes.
//! - **Resumable reservations** (`resume`): a job whose worker may return stays reserved, without
//!   an owner, until its deadline. The journal records with the hand-out that the job is
//!   resumable, by which user (a fingerprint) and for how long; epochs follow from the hand-outs.
//!   So nothing more is written when connections come and go.
//! - The journal does not contain which connection holds a job and until when, progress, and the
//!   waking of a delayed job without an order key (its rank is its due time, whenever it wakes).
//! - A snapshot copies a job that changes before the snapshot has written it (`snapshot`).
//! - Two clocks come in as one argument ([`Now`]): deadlines use the monotonic clock, due times
//!   the time of day, which the actor's clock never lets go back.
//! - `ids` finds recent jobs by id without the tree of all jobs.

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
mod fence;
mod ids;
mod indexes;
mod job;
mod lane;
mod live;
mod meter;
mod names;
mod outcomes;
mod owner_capacity;
mod park;
mod phases;
mod producers;
mod push;
mod record;
mod resume;
mod retry;
mod schedule;
mod set_back;
mod settle;
mod snapshot;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod topic;
mod unacknowledged;

pub(crate) use error::QueueError;
pub(crate) use outcomes::{OutcomeAnswer, OutcomeLookup, OutcomeQuery, Outcomes};
pub(crate) use park::{Effect, ParkId, Requester};
pub(crate) use resume::user_fingerprint;
pub(crate) use settle::SettleProgress;
pub(crate) use state::{QueueAnswer, QueueState};

use crate::model::UnixMillis;
use crate::time::Micros;

/// How far the time of day must be behind the last record, in milliseconds, for that record to count as
/// written by a wrong clock.
pub(crate) const CLOCK_SET_BACK_MS: u64 = 3_600_000;

/// The current time, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Monotonic: used for deadlines within this process.
    pub(crate) steady: Micros,
    /// The time of day: used for everything that outlives the process. Never goes back.
    pub(crate) utc: UnixMillis,
}

/// The index of a job in memory.
type JobSlot = u32;

/// Number of a topic, in the order of creation.
type TopicNo = u32;

/// Returns whole milliseconds, rounded up, so that nothing is due early.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
