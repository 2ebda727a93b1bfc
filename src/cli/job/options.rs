//! What several commands take: which topic, which job, how a job is to be done.

use std::time::Duration;

use super::spec::{parse_backoff, parse_unique};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::{Backoff, Blob, JobRef, Operations, PushOptions, Reservation, Unique};

/// A topic.
#[derive(Debug, clap::Args)]
pub(super) struct Topic {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = bytes())]
    pub(super) topic: Blob,
}

/// Which job: by id, or by topic and index.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its id; with --index its topic
    #[arg(value_name = "ID|TOPIC", value_parser = bytes())]
    id: Blob,
    /// The newest job with this index
    #[arg(long, value_name = "INDEX", value_parser = bytes())]
    index: Option<Blob>,
}

impl Which {
    pub(super) fn job(self) -> Result<JobRef, Failure> {
        if let Some(index) = self.index {
            return Ok(JobRef::Index { topic: self.id, index });
        }
        let id = std::str::from_utf8(&self.id).ok().and_then(|text| text.parse().ok());
        id.map(JobRef::Id).ok_or_else(|| {
            let id = &self.id;
            Failure::usage(format!("`{id}` is not the id of a job; or write TOPIC --index INDEX"))
        })
    }
}

/// Which hand-out of a job, as `job reserve` and a worker's environment tell it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Held {
    /// The job; WAKEFUL_JOB_ID of what a worker runs
    #[arg(value_name = "ID")]
    id: u64,
    /// Its epoch; WAKEFUL_JOB_EPOCH of what a worker runs
    #[arg(value_name = "EPOCH")]
    epoch: u32,
}

impl Held {
    pub(super) fn reservation(self) -> Reservation {
        Reservation { id: self.id, epoch: self.epoch }
    }
}

/// How a job is to be done.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A name for the job: while it is taken, a push gets the job that has it
    #[arg(long, value_name = "INDEX", value_parser = bytes())]
    pub(super) index: Option<Blob>,
    /// How long the index is taken: waiting, unfinished (the default), or so long after its end
    #[arg(long, value_name = "waiting|unfinished|DURATION", value_parser = parse_unique,
        requires = "index")]
    unique: Option<Unique>,
    /// Not before so long from now, as in 30s, 5m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// How many failures are followed by another run; 0 for one run only
    #[arg(long, value_name = "N")]
    retry_max: Option<u32>,
    /// How many losses (of a worker, its connection, the server) are followed by another run
    #[arg(long, value_name = "N")]
    loss_max: Option<u32>,
    /// Jobs with the same key are done one after the other, in order
    #[arg(long, value_name = "KEY", value_parser = bytes())]
    order_key: Option<Blob>,
    /// Before those of lower priority, 0 to 255; none waits for ever
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    priority: u8,
    /// How long after a failure the next run is: 5s, or 1s,10s,1m, or exp:BASE:CAP[:FLOOR]
    #[arg(long, value_name = "SPEC", value_parser = parse_backoff)]
    backoff: Option<Backoff>,
}

impl Options {
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

/// The payload as it was typed; `-` is standard input, nothing is empty.
pub(super) async fn payload(typed: Option<Blob>, jobs: &impl Operations) -> Result<Blob, Failure> {
    match typed {
        Some(dash) if dash == "-" => input::read_stdin(jobs).await,
        typed => Ok(typed.unwrap_or_default()),
    }
}
