//! `wakeful topics set`

use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::job::spec::{parse_backoff, parse_rate};
use crate::cli::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{Backoff, Blob, ErrorCode, Jobs, Operations, OrderRetry, Rate, TopicSettings};

/// Change the settings of a topic
///
/// Creates the topic if necessary. Omitted settings stay unchanged; with --reset they get their
/// defaults. Prints `set TOPIC`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics set resize --concurrency 8
  wakeful topics set mail --rate 10/s:20 --retry-max 5 --backoff exp:1s:10m
  wakeful topics set mail --jobs-max 100000 --order-retry skip
  wakeful topics set mail --reset")]
pub(super) struct TopicSetArgs {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = bytes())]
    topic: Blob,
    /// Reset omitted settings to their defaults
    #[arg(long)]
    reset: bool,
    /// Maximum number of reserved jobs
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Jobs per interval, and burst size after an idle period, as in 10/s, 600/1m:20
    #[arg(long, value_name = "JOBS/TIME[:BURST]", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// Maximum number of unfinished jobs
    #[arg(long, value_name = "N")]
    jobs_max: Option<u64>,
    /// Maximum number of bytes of unfinished jobs
    #[arg(long, value_name = "BYTES")]
    bytes_max: Option<u64>,
    /// Maximum number of reruns after failures
    #[arg(long, value_name = "N")]
    retry_max: Option<u32>,
    /// Maximum number of reruns after losses
    ///
    /// A loss is that of a worker, of its connection, or of the server
    #[arg(long, value_name = "N")]
    loss_max: Option<u32>,
    /// The delay after a failure, as in 5s
    ///
    /// A time, as in 5s; one for each failure, as in 1s,10s,1m; or exp:BASE:CAP[:FLOOR]
    #[arg(long, value_name = "SPEC", value_parser = parse_backoff)]
    backoff: Option<Backoff>,
    /// Maximum number of reserved jobs per order key; more than 1 gives up their order
    #[arg(long, value_name = "N")]
    order_limit: Option<u32>,
    /// The treatment of other jobs of an order key while one waits for a retry
    #[arg(long, value_name = "WHAT")]
    order_retry: Option<WhileRetrying>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WhileRetrying {
    /// They wait too, which preserves the order
    Block,
    /// They run without it
    Skip,
}

impl TopicSetArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let before = if self.reset { None } else { Some(jobs.topic_info(&self.topic).await) };
        let before = match before {
            Some(Ok(info)) => info.settings,
            Some(Err(error)) if error.code != ErrorCode::TopicNotFound => return Err(error.into()),
            _ => TopicSettings::default(),
        };
        let topic = self.topic.clone();
        let info = jobs.set_topic(topic, self.settings(before)).await?;
        if out.json() {
            out.object(&info.shown());
        } else {
            out.line(format_args!("set {}", info.name));
        }
        Ok(Exit::Done)
    }

    fn settings(self, before: TopicSettings) -> TopicSettings {
        TopicSettings {
            concurrency: self.concurrency.or(before.concurrency),
            rate: self.rate.or(before.rate),
            jobs_max: self.jobs_max.or(before.jobs_max),
            bytes_max: self.bytes_max.or(before.bytes_max),
            retry_max: self.retry_max.or(before.retry_max),
            loss_max: self.loss_max.or(before.loss_max),
            backoff: self.backoff.or(before.backoff),
            order_limit: self.order_limit.or(before.order_limit),
            order_retry: match self.order_retry {
                Some(WhileRetrying::Block) => OrderRetry::Block,
                Some(WhileRetrying::Skip) => OrderRetry::Skip,
                None => before.order_retry,
            },
        }
    }
}
