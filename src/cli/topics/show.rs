//! `wakeful topics show`

use super::{age, order_retry, per_second};
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::job::spec::{show_backoff, show_rate};
use crate::cli::output::Output;
use crate::cli::server_limits;
use crate::config::QueueConfig;
use crate::rpc::proto::SerializeWire;
use crate::{Backoff, Blob, Jobs, Operations, TopicInfo, TopicSettings};

/// Print the settings, counts and rates of a topic
///
/// Prints one fact per line: whether the topic is paused; its jobs by state, with the kept dead
/// letters; the bytes of its unfinished jobs; the age of the next ready job; workers that wait for
/// jobs; jobs pushed and finished per second (over the last ten); the total numbers of jobs pushed,
/// done, dead and cancelled, and of dead letters evicted for room or age or deleted. Then its
/// settings, under their names in `topics set`; `(default)` marks those not set. With --json it
/// prints the object of `topics list --json`, in which settings that are not set are null. Exits
/// with 3 if the topic does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics show resize
  wakeful topics show resize --json | jq .settings")]
pub(super) struct TopicShowArgs {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = bytes())]
    topic: Blob,
}

impl TopicShowArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let topic = jobs.topic_info(&self.topic).await?;
        if out.json() {
            out.object(&topic.shown());
            return Ok(Exit::Done);
        }
        let limits = server_limits::ask(jobs).await?;
        let facts = facts(&topic).into_iter().chain(settings(&topic.settings, &limits.queue));
        for (name, value) in facts {
            out.line(format_args!("{name:<16} {value}"));
        }
        Ok(Exit::Done)
    }
}

fn facts(topic: &TopicInfo) -> [(&'static str, String); 16] {
    [
        ("topic", topic.name.to_string()),
        ("paused", if topic.paused { "yes" } else { "no" }.to_owned()),
        ("ready", topic.ready.to_string()),
        ("delayed", topic.delayed.to_string()),
        ("reserved", topic.reserved.to_string()),
        ("dead", topic.dead.to_string()),
        ("bytes", topic.bytes.to_string()),
        ("oldest", age(topic)),
        ("waiting workers", topic.waiting_workers.to_string()),
        ("pushed/s", per_second(topic.pushed_recent)),
        ("finished/s", per_second(topic.finished_recent)),
        ("pushed ever", topic.pushed_total.to_string()),
        ("done ever", topic.done_total.to_string()),
        ("dead ever", topic.dead_total.to_string()),
        ("cancelled ever", topic.cancelled_total.to_string()),
        ("evicted ever", topic.evicted_total.to_string()),
    ]
}

/// Returns the effective settings: those of the topic, or else the server's defaults in `queue`.
fn settings(set: &TopicSettings, queue: &QueueConfig) -> [(&'static str, String); 9] {
    let QueueConfig { backoff_base: base, backoff_cap: cap, backoff_floor: floor, .. } = *queue;
    let backoff = Backoff::Exponential { base, cap, floor };
    let any = || "any".to_owned();
    [
        ("concurrency", or_default(set.concurrency.map(|it| it.to_string()), any())),
        ("rate", or_default(set.rate.as_ref().map(show_rate), any())),
        ("jobs-max", or_default(set.jobs_max, queue.topic_jobs_max)),
        ("bytes-max", or_default(set.bytes_max, queue.topic_bytes_max)),
        ("retry-max", or_default(set.retry_max, queue.retry_max)),
        ("loss-max", or_default(set.loss_max, queue.loss_max)),
        ("backoff", or_default(set.backoff.as_ref().map(show_backoff), show_backoff(&backoff))),
        ("order-limit", or_default(set.order_limit, 1)),
        ("order-retry", order_retry(set.order_retry).to_owned()),
    ]
}

fn or_default<T: ToString>(set: Option<T>, default: T) -> String {
    set.map_or_else(|| format!("{} (default)", default.to_string()), |set| set.to_string())
}
