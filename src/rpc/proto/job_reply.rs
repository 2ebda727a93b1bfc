//! Replies of the queue in a `Reply` frame.

use serde::{Deserialize, Serialize};

use super::WireError;
use super::job::{WireBytes, WireJobState, WireReservation, some_blob, some_bytes};
use super::topic::{WireScheduleInfo, WireTopic};
use crate::error::Error;
use crate::model::{
    Blob, JobInfo, JobPage, JobReply, Pushed, Reservation, ReservedJob, ScheduleInfo, TopicInfo,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireJobReply<'a> {
    Pushed {
        pushed: Vec<WirePushed>,
    },
    Reserved {
        #[serde(borrow)]
        jobs: Vec<WireReserved<'a>>,
    },
    Settled {
        /// `None`: done.
        #[serde(borrow)]
        errors: Vec<Option<WireError<'a>>>,
    },
    Revoked {
        reservations: Vec<WireReservation>,
    },
    /// Boxed, because every reply has the size of the largest.
    Job(#[serde(borrow)] Box<WireJobInfo<'a>>),
    Jobs {
        #[serde(borrow)]
        jobs: Vec<WireJobInfo<'a>>,
        after: u64,
        more: bool,
    },
    Changed {
        count: u64,
        more: bool,
    },
    Topic(#[serde(borrow)] Box<WireTopic<'a>>),
    Topics {
        #[serde(borrow)]
        topics: Vec<WireTopic<'a>>,
        more: bool,
    },
    Schedules {
        #[serde(borrow)]
        schedules: Vec<WireScheduleInfo<'a>>,
    },
    Resumed {
        /// The topic of each; `None`: it is lost.
        #[serde(borrow)]
        topics: Vec<WireBytes<'a>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct WirePushed {
    id: u64,
    state: WireJobState,
    existing: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireReserved<'a> {
    reservation: WireReservation,
    #[serde(borrow, with = "serde_bytes")]
    topic: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    payload: &'a [u8],
    #[serde(borrow)]
    index: WireBytes<'a>,
    #[serde(borrow)]
    order_key: WireBytes<'a>,
    failures: u32,
    losses: u32,
    pushed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireJobInfo<'a> {
    id: u64,
    #[serde(borrow, with = "serde_bytes")]
    topic: &'a [u8],
    state: WireJobState,
    #[serde(borrow)]
    payload: WireBytes<'a>,
    #[serde(borrow)]
    index: WireBytes<'a>,
    #[serde(borrow)]
    order_key: WireBytes<'a>,
    priority: u8,
    epoch: u32,
    failures: u32,
    losses: u32,
    retry_max: u32,
    pushed: u64,
    due: Option<u64>,
    started: Option<u64>,
    finished: Option<u64>,
    #[serde(borrow)]
    progress: WireBytes<'a>,
    #[serde(borrow)]
    errors: Vec<&'a str>,
    #[serde(borrow)]
    output: WireBytes<'a>,
    outcome: Option<u64>,
}

impl<'a> From<&'a JobReply> for WireJobReply<'a> {
    fn from(reply: &'a JobReply) -> Self {
        match reply {
            JobReply::Pushed(pushed) => {
                Self::Pushed { pushed: pushed.iter().map(WirePushed::from).collect() }
            }
            JobReply::Reserved(jobs) => {
                Self::Reserved { jobs: jobs.iter().map(WireReserved::from).collect() }
            }
            JobReply::Settled(errors) => Self::Settled {
                errors: errors.iter().map(|error| error.as_ref().map(WireError::from)).collect(),
            },
            JobReply::Revoked(reservations) => Self::Revoked {
                reservations: reservations.iter().map(WireReservation::from).collect(),
            },
            JobReply::Job(job) => Self::Job(Box::new((&**job).into())),
            JobReply::Jobs(page) => Self::Jobs {
                jobs: page.jobs.iter().map(WireJobInfo::from).collect(),
                after: page.after,
                more: page.more,
            },
            JobReply::Changed { count, more } => Self::Changed { count: *count, more: *more },
            JobReply::Topic(topic) => Self::Topic(Box::new((&**topic).into())),
            JobReply::Topics { topics, more } => {
                Self::Topics { topics: topics.iter().map(WireTopic::from).collect(), more: *more }
            }
            JobReply::Schedules(schedules) => Self::Schedules {
                schedules: schedules.iter().map(WireScheduleInfo::from).collect(),
            },
            JobReply::Resumed(topics) => {
                Self::Resumed { topics: topics.iter().map(some_bytes).collect() }
            }
        }
    }
}

impl From<WireJobReply<'_>> for JobReply {
    fn from(wire: WireJobReply<'_>) -> Self {
        use WireJobReply as W;
        match wire {
            W::Pushed { pushed } => Self::Pushed(pushed.into_iter().map(Pushed::from).collect()),
            W::Reserved { jobs } => {
                Self::Reserved(jobs.into_iter().map(ReservedJob::from).collect())
            }
            W::Settled { errors } => {
                Self::Settled(errors.into_iter().map(|error| error.map(Error::from)).collect())
            }
            W::Revoked { reservations } => {
                Self::Revoked(reservations.into_iter().map(Reservation::from).collect())
            }
            W::Job(job) => Self::Job(Box::new((*job).into())),
            W::Jobs { jobs, after, more } => {
                let jobs = jobs.into_iter().map(JobInfo::from).collect();
                Self::Jobs(JobPage { jobs, after, more })
            }
            W::Changed { count, more } => Self::Changed { count, more },
            W::Topic(topic) => Self::Topic(Box::new((*topic).into())),
            W::Topics { topics, more } => {
                Self::Topics { topics: topics.into_iter().map(TopicInfo::from).collect(), more }
            }
            W::Schedules { schedules } => {
                Self::Schedules(schedules.into_iter().map(ScheduleInfo::from).collect())
            }
            W::Resumed { topics } => Self::Resumed(topics.into_iter().map(some_blob).collect()),
        }
    }
}

impl From<&Pushed> for WirePushed {
    fn from(pushed: &Pushed) -> Self {
        Self { id: pushed.id, state: pushed.state.into(), existing: pushed.existing }
    }
}

impl From<WirePushed> for Pushed {
    fn from(wire: WirePushed) -> Self {
        Self { id: wire.id, state: wire.state.into(), existing: wire.existing }
    }
}

impl<'a> From<&'a ReservedJob> for WireReserved<'a> {
    fn from(job: &'a ReservedJob) -> Self {
        Self {
            reservation: (&job.reservation).into(),
            topic: &job.topic,
            payload: &job.payload,
            index: some_bytes(&job.index),
            order_key: some_bytes(&job.order_key),
            failures: job.failures,
            losses: job.losses,
            pushed: job.pushed,
        }
    }
}

impl From<WireReserved<'_>> for ReservedJob {
    fn from(wire: WireReserved<'_>) -> Self {
        Self {
            reservation: wire.reservation.into(),
            topic: Blob::from(wire.topic),
            payload: Blob::from(wire.payload),
            index: some_blob(wire.index),
            order_key: some_blob(wire.order_key),
            failures: wire.failures,
            losses: wire.losses,
            pushed: wire.pushed,
        }
    }
}

impl<'a> From<&'a JobInfo> for WireJobInfo<'a> {
    fn from(job: &'a JobInfo) -> Self {
        Self {
            id: job.id,
            topic: &job.topic,
            state: job.state.into(),
            payload: some_bytes(&job.payload),
            index: some_bytes(&job.index),
            order_key: some_bytes(&job.order_key),
            priority: job.priority,
            epoch: job.epoch,
            failures: job.failures,
            losses: job.losses,
            retry_max: job.retry_max,
            pushed: job.pushed,
            due: job.due,
            started: job.started,
            finished: job.finished,
            progress: some_bytes(&job.progress),
            errors: job.errors.iter().map(String::as_str).collect(),
            output: some_bytes(&job.output),
            outcome: job.outcome,
        }
    }
}

impl From<WireJobInfo<'_>> for JobInfo {
    fn from(wire: WireJobInfo<'_>) -> Self {
        Self {
            id: wire.id,
            topic: Blob::from(wire.topic),
            state: wire.state.into(),
            payload: some_blob(wire.payload),
            index: some_blob(wire.index),
            order_key: some_blob(wire.order_key),
            priority: wire.priority,
            epoch: wire.epoch,
            failures: wire.failures,
            losses: wire.losses,
            retry_max: wire.retry_max,
            pushed: wire.pushed,
            due: wire.due,
            started: wire.started,
            finished: wire.finished,
            progress: some_blob(wire.progress),
            errors: wire.errors.into_iter().map(str::to_owned).collect(),
            output: some_blob(wire.output),
            outcome: wire.outcome,
        }
    }
}
