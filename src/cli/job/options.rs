//! Arguments that several commands share: the topic, the job, and how a job runs.

use std::time::Duration;

use super::spec::{parse_backoff, parse_unique};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::{Backoff, Blob, JobRef, Operations, PushOptions, Reservation, Unique};

/// A topic.
#[derive(Debug, clap::Args)]
pub(super) struct TopicArgs {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = bytes())]
    pub(super) topic: Blob,
}

/// A job: by id, or by topic and index.
#[derive(Debug, clap::Args)]
pub(super) struct JobSelection {
    /// The job's id; with --index, its topic
    #[arg(value_name = "ID|TOPIC", value_parser = bytes())]
    id: Blob,
    /// Select the newest job with this index
    #[arg(long, value_name = "INDEX", value_parser = bytes())]
    index: Option<Blob>,
}

impl JobSelection {
    pub(super) fn job(self) -> Result<JobRef, Failure> {
        if let Some(index) = self.index {
            return Ok(JobRef::Index { topic: self.id, index });
        }
        let id = std::str::from_utf8(&self.id).ok().and_then(|text| text.parse().ok());
        id.map(JobRef::Id).ok_or_else(|| {
            let id = &self.id;
            Failure::usage(format!("`{id}` is not a job id; write an id, or TOPIC --index INDEX"))
        })
    }
}

/// A reservation of a job, as `job reserve` prints it and a worker's environment holds it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct ReservationArg {
    /// The job; in a worker's command, WAKEFUL_JOB_ID
    #[arg(value_name = "ID")]
    id: u64,
    /// The epoch; in a worker's command, WAKEFUL_JOB_EPOCH
    #[arg(value_name = "EPOCH")]
    epoch: u32,
}

impl ReservationArg {
    pub(super) fn reservation(self) -> Reservation {
        Reservation { id: self.id, epoch: self.epoch }
    }
}

/// How a job runs.
#[derive(Debug, clap::Args)]
pub(super) struct JobOptions {
    /// A unique name for the job
    ///
    /// While the name is taken, a push returns the job that has it
    #[arg(long, value_name = "INDEX", value_parser = bytes())]
    pub(super) index: Option<Blob>,
    /// How long the index is taken [default: unfinished]
    ///
    /// While the job waits (`waiting`), until it has finished (`unfinished`), or for a time after
    /// its end, as in 1h
    #[arg(long, value_name = "UNTIL", value_parser = parse_unique,
        requires = "index")]
    unique: Option<Unique>,
    /// Delay the job by this time, as in 30s, 5m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Maximum number of reruns after failures, 0 for none
    #[arg(long, value_name = "N")]
    retry_max: Option<u32>,
    /// Maximum number of reruns after losses
    ///
    /// A loss is that of a worker, of its connection, or of the server
    #[arg(long, value_name = "N")]
    loss_max: Option<u32>,
    /// Run jobs with the same key in order, one by one
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    order_key: Option<Blob>,
    /// Run before jobs of lower priority, 0 to 255
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    priority: u8,
    /// The delay after a failure, as in 5s
    ///
    /// A time, as in 5s; one for each failure, as in 1s,10s,1m; or exp:BASE:CAP[:FLOOR]
    #[arg(long, value_name = "SPEC", value_parser = parse_backoff)]
    backoff: Option<Backoff>,
}

impl JobOptions {
    pub(super) fn push_options(self) -> PushOptions {
        PushOptions {
            index: self.index,
            unique: self.unique.unwrap_or_default(),
            order_key: self.order_key,
            priority: self.priority,
            delay: self.delay.unwrap_or_default(),
            retry_max: self.retry_max,
            loss_max: self.loss_max,
            backoff: self.backoff,
        }
    }
}

/// Returns the payload as typed; `-` reads standard input, and no payload is an empty one.
pub(super) async fn payload(typed: Option<Blob>, jobs: &impl Operations) -> Result<Blob, Failure> {
    match typed {
        Some(dash) if dash == "-" => input::read_stdin(jobs).await,
        typed => Ok(typed.unwrap_or_default()),
    }
}
