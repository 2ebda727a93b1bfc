//! `wakeful job outcomes`

use super::options::TopicArgs;
use super::{PAUSE, SLICE, show};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::rpc::proto::SerializeWire;
use crate::{Jobs, Operations, OutcomeSeq};

/// Print the outcomes of a topic's jobs as they finish
///
/// Prints one line per job, in the order in which they finish, with the index, if any, after the
/// id, and control characters escaped; with --json bytes are exact. To miss none, continue with
/// --after and the last N, which is valid across connections and restarts of a server with a data
/// directory. Outcomes are kept for a limited time (`queue.outcomes_max`). Exits with 1 if outcomes
/// after N are no longer kept, or if N is in the future. Ends with Ctrl-C or --count.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Output:
  done ID (outcome N): OUTPUT
  dead ID (outcome N): REASON
  cancelled ID (outcome N)

Examples:
  wakeful job outcomes resize
  wakeful job outcomes resize --after 0    all that are kept, then new ones
  wakeful job outcomes resize --json | jq -r 'select(.state==\"Dead\") | .id'")]
pub(crate) struct OutcomesArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Start after this outcome, with those still kept [default: the latest]
    #[arg(long, value_name = "N")]
    after: Option<OutcomeSeq>,
    /// End after N outcomes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl OutcomesArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let (topic, mut after) = (self.topic.topic, self.after);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let page = match jobs.outcomes(&topic, after, 0, Some(SLICE)).await {
                Ok(page) => page,
                // Without a position to continue from, outcomes could be missed.
                Err(error) if error.retryable() && after.is_some() => {
                    if !out.json() {
                        notice(format_args!("{error}; trying again"));
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for job in page.jobs.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                if out.json() {
                    out.object(&job.shown());
                } else {
                    out.line(show::line(job));
                }
            }
            left = left.saturating_sub(page.jobs.len() as u64);
            after = Some(page.after);
            out.flush().await?;
        }
        Ok(Exit::Done)
    }
}
