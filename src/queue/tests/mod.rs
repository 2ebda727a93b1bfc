//! The queue against a naive model and against the replay of its records, its promises one by one, and
//! regressions.

mod against_the_model;
mod deleted_topics;
mod description;
mod model;
mod outcomes;
mod promises;
mod record_bytes;
mod regressions;
mod replayed;
mod script;
mod shares;
mod slices;
mod strategy;
mod told_once;
mod topics;
mod world;

use std::time::Duration;

use super::{
    Effect, Now, OutcomeAnswer, OutcomeLookup, OutcomeQuery, Outcomes, QueueAnswer, QueueError,
    QueueState, Requester, SettleProgress,
};
use crate::config::{Config, QueueConfig};
use crate::fair::ClientId;
use crate::model::{
    Backoff, Blob, JobId, JobInfo, JobRef, JobReply, JobRequest, JobState, OrderRetry, PushOptions,
    PushRequest, Rate, Reservation, ReserveRequest, Settlement, TopicSettings, Unique, Verdict,
};

pub(crate) use record_bytes::{first_records, outcome_records};
pub(crate) use replayed::records_of;
pub(crate) use strategy::{Op, ops};
use world::World;

/// A day in 2026, in milliseconds.
const MORNING: u64 = 1_790_000_000_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Limits under which every failure is followed by the same delay.
fn steady() -> QueueConfig {
    QueueConfig {
        backoff_base: ms(70),
        backoff_cap: ms(70),
        backoff_floor: ms(70),
        priority_step: ms(100),
        resume_grace: ms(90),
        ..Config::new().queue
    }
}
