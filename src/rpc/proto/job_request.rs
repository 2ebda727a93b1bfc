//! Requests to the queue in a `Request` frame.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{WireJob, WireJobRef, WireJobState, WireReservation};
use super::millis;
use super::request::saturate;
use super::topic::{WireSchedule, WireSettings};
use crate::model::{
    Blob, JobRequest, PushRequest, Reservation, ReserveRequest, Settlement, Verdict,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireJobRequest<'a> {
    Push {
        #[serde(borrow)]
        jobs: Vec<WireJob<'a>>,
        wait_ms: u64,
    },
    Reserve {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        credits: u32,
        wait_ms: Option<u64>,
        visibility_ms: Option<u64>,
    },
    Settle {
        #[serde(borrow)]
        settlements: Vec<WireSettlement<'a>>,
    },
    Touch {
        reservations: Vec<WireReservation>,
        visibility_ms: Option<u64>,
    },
    Progress {
        reservation: WireReservation,
        #[serde(borrow, with = "serde_bytes")]
        progress: &'a [u8],
    },
    Revoked {
        wait_ms: Option<u64>,
    },
    Get {
        #[serde(borrow)]
        job: WireJobRef<'a>,
    },
    Await {
        #[serde(borrow)]
        job: WireJobRef<'a>,
        wait_ms: Option<u64>,
    },
    Outcomes {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        after: Option<u64>,
        limit: u32,
        wait_ms: Option<u64>,
    },
    List {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        state: WireJobState,
        after: u64,
        limit: u32,
    },
    Cancel {
        #[serde(borrow)]
        job: WireJobRef<'a>,
    },
    Replay {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        id: Option<u64>,
    },
    SetTopic {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        /// Boxed, because every request has the size of the largest.
        settings: Box<WireSettings>,
    },
    PauseTopic {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        paused: bool,
    },
    ClearTopic {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
    },
    Topic {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
    },
    Topics {
        #[serde(borrow, with = "serde_bytes")]
        after: &'a [u8],
        limit: u32,
    },
    SetSchedule(#[serde(borrow)] Box<WireSchedule<'a>>),
    RemoveSchedule {
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
    },
    Schedules,
    Resume {
        reservations: Vec<WireReservation>,
    },
    DeleteDead {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        id: Option<u64>,
    },
    DeleteTopic {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        force: bool,
    },
    FreeIndex {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        index: &'a [u8],
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireSettlement<'a> {
    reservation: WireReservation,
    #[serde(borrow)]
    verdict: WireVerdict<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireVerdict<'a> {
    Done {
        #[serde(borrow, with = "serde_bytes")]
        output: &'a [u8],
    },
    Retry {
        after_ms: Option<u64>,
        #[serde(borrow)]
        error: &'a str,
    },
    Fail {
        #[serde(borrow)]
        error: &'a str,
    },
    Snooze {
        after_ms: u64,
    },
    Release,
}

fn wait(ms: Option<u64>) -> Option<Duration> {
    ms.map(Duration::from_millis)
}

impl From<WireJobRequest<'_>> for JobRequest {
    fn from(wire: WireJobRequest<'_>) -> Self {
        use WireJobRequest as W;
        match wire {
            W::Push { jobs, wait_ms } => Self::Push {
                jobs: jobs.into_iter().map(PushRequest::from).collect(),
                wait: Duration::from_millis(wait_ms),
            },
            W::Reserve { topic, credits, wait_ms, visibility_ms } => {
                Self::Reserve(ReserveRequest {
                    topic: Blob::from(topic),
                    credits,
                    wait: wait(wait_ms),
                    visibility: wait(visibility_ms),
                })
            }
            W::Settle { settlements } => {
                Self::Settle(settlements.into_iter().map(Settlement::from).collect())
            }
            W::Touch { reservations, visibility_ms } => Self::Touch {
                reservations: reservations.into_iter().map(Reservation::from).collect(),
                visibility: wait(visibility_ms),
            },
            W::Progress { reservation, progress } => {
                Self::Progress { reservation: reservation.into(), progress: Blob::from(progress) }
            }
            W::Revoked { wait_ms } => Self::Revoked { wait: wait(wait_ms) },
            W::Get { job } => Self::Get(job.into()),
            W::Await { job, wait_ms } => Self::Await { job: job.into(), wait: wait(wait_ms) },
            W::Outcomes { topic, after, limit, wait_ms } => Self::Outcomes {
                topic: Blob::from(topic),
                after,
                limit: limit as usize,
                wait: wait(wait_ms),
            },
            W::List { topic, state, after, limit } => Self::List {
                topic: Blob::from(topic),
                state: state.into(),
                after,
                limit: limit as usize,
            },
            W::Cancel { job } => Self::Cancel(job.into()),
            W::Replay { topic, id } => Self::Replay { topic: Blob::from(topic), id },
            W::SetTopic { topic, settings } => {
                Self::SetTopic { topic: Blob::from(topic), settings: Box::new((*settings).into()) }
            }
            W::PauseTopic { topic, paused } => {
                Self::PauseTopic { topic: Blob::from(topic), paused }
            }
            W::ClearTopic { topic } => Self::ClearTopic(Blob::from(topic)),
            W::Topic { topic } => Self::Topic(Blob::from(topic)),
            W::Topics { after, limit } => {
                Self::Topics { after: Blob::from(after), limit: limit as usize }
            }
            W::SetSchedule(schedule) => Self::SetSchedule(Box::new((*schedule).into())),
            W::RemoveSchedule { name } => Self::RemoveSchedule(Blob::from(name)),
            W::Schedules => Self::Schedules,
            W::Resume { reservations } => {
                Self::Resume(reservations.into_iter().map(Reservation::from).collect())
            }
            W::DeleteDead { topic, id } => Self::DeleteDead { topic: Blob::from(topic), id },
            W::DeleteTopic { topic, force } => {
                Self::DeleteTopic { topic: Blob::from(topic), force }
            }
            W::FreeIndex { topic, index } => {
                Self::FreeIndex { topic: Blob::from(topic), index: Blob::from(index) }
            }
        }
    }
}

impl<'a> From<&'a JobRequest> for WireJobRequest<'a> {
    fn from(request: &'a JobRequest) -> Self {
        match request {
            JobRequest::Push { jobs, wait } => Self::Push {
                jobs: jobs.iter().map(WireJob::from).collect(),
                wait_ms: millis(*wait),
            },
            JobRequest::Reserve(reserve) => Self::Reserve {
                topic: &reserve.topic,
                credits: reserve.credits,
                wait_ms: reserve.wait.map(millis),
                visibility_ms: reserve.visibility.map(millis),
            },
            JobRequest::Settle(settlements) => {
                Self::Settle { settlements: settlements.iter().map(WireSettlement::from).collect() }
            }
            JobRequest::Touch { reservations, visibility } => Self::Touch {
                reservations: reservations.iter().map(WireReservation::from).collect(),
                visibility_ms: visibility.map(millis),
            },
            JobRequest::Progress { reservation, progress } => {
                Self::Progress { reservation: reservation.into(), progress }
            }
            JobRequest::Revoked { wait } => Self::Revoked { wait_ms: wait.map(millis) },
            JobRequest::Get(job) => Self::Get { job: job.into() },
            JobRequest::Await { job, wait } => {
                Self::Await { job: job.into(), wait_ms: wait.map(millis) }
            }
            JobRequest::Outcomes { topic, after, limit, wait } => Self::Outcomes {
                topic,
                after: *after,
                limit: saturate(*limit),
                wait_ms: wait.map(millis),
            },
            JobRequest::List { topic, state, after, limit } => {
                Self::List { topic, state: (*state).into(), after: *after, limit: saturate(*limit) }
            }
            JobRequest::Cancel(job) => Self::Cancel { job: job.into() },
            JobRequest::Replay { topic, id } => Self::Replay { topic, id: *id },
            JobRequest::SetTopic { topic, settings } => {
                Self::SetTopic { topic, settings: Box::new((&**settings).into()) }
            }
            JobRequest::PauseTopic { topic, paused } => Self::PauseTopic { topic, paused: *paused },
            JobRequest::ClearTopic(topic) => Self::ClearTopic { topic },
            JobRequest::Topic(topic) => Self::Topic { topic },
            JobRequest::Topics { after, limit } => Self::Topics { after, limit: saturate(*limit) },
            JobRequest::SetSchedule(schedule) => Self::SetSchedule(Box::new((&**schedule).into())),
            JobRequest::RemoveSchedule(name) => Self::RemoveSchedule { name },
            JobRequest::Schedules => Self::Schedules,
            JobRequest::Resume(reservations) => Self::Resume {
                reservations: reservations.iter().map(WireReservation::from).collect(),
            },
            JobRequest::DeleteDead { topic, id } => Self::DeleteDead { topic, id: *id },
            JobRequest::DeleteTopic { topic, force } => Self::DeleteTopic { topic, force: *force },
            JobRequest::FreeIndex { topic, index } => Self::FreeIndex { topic, index },
        }
    }
}

impl<'a> From<&'a Settlement> for WireSettlement<'a> {
    fn from(settlement: &'a Settlement) -> Self {
        let verdict = match &settlement.verdict {
            Verdict::Done { output } => WireVerdict::Done { output },
            Verdict::Retry { after, error } => {
                WireVerdict::Retry { after_ms: after.map(millis), error }
            }
            Verdict::Fail { error } => WireVerdict::Fail { error },
            Verdict::Snooze { after } => WireVerdict::Snooze { after_ms: millis(*after) },
            Verdict::Release => WireVerdict::Release,
        };
        Self { reservation: (&settlement.reservation).into(), verdict }
    }
}

impl From<WireSettlement<'_>> for Settlement {
    fn from(wire: WireSettlement<'_>) -> Self {
        let verdict = match wire.verdict {
            WireVerdict::Done { output } => Verdict::Done { output: Blob::from(output) },
            WireVerdict::Retry { after_ms, error } => {
                Verdict::Retry { after: wait(after_ms), error: error.to_owned() }
            }
            WireVerdict::Fail { error } => Verdict::Fail { error: error.to_owned() },
            WireVerdict::Snooze { after_ms } => {
                Verdict::Snooze { after: Duration::from_millis(after_ms) }
            }
            WireVerdict::Release => Verdict::Release,
        };
        Self { reservation: wire.reservation.into(), verdict }
    }
}
