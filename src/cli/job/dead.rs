//! `wakeful job dead`

use super::list::Pages;
use super::moment;
use super::options::TopicArgs;
use super::show;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::rpc::proto::SerializeWire;
use crate::{JobInfo, JobState, Operations};

/// List the dead letters of a topic, with reasons
///
/// Prints one line for each dead letter: its id, its index if it has one, the time it became a dead letter, the
/// number of runs, and the reason, with the errors of its last runs below, oldest first. `job get`
/// shows the payload, `job replay` makes it ready again, `job delete` removes it. Beyond
/// `queue.dead_max` the oldest are evicted, which `topics` counts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job dead resize
  wakeful job dead resize --limit 10 --json | jq -r '.errors[-1]'")]
pub(crate) struct DeadArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Print up to N dead letters [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl DeadArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut pages = Pages::new(&self.topic.topic, JobState::Dead);
        while let Some(page) = pages.next(left, jobs).await? {
            for job in &page {
                if out.json() {
                    out.object(&job.shown());
                } else {
                    letter(job, out);
                }
            }
            left -= page.len() as u64;
            out.flush().await?;
        }
        if pages.more && !out.json() {
            notice("there are more dead letters; raise --limit to see them");
        }
        Ok(Exit::Done)
    }
}

fn letter(job: &JobInfo, out: &mut Output) {
    let index = job.index.as_ref().map_or(String::new(), |index| format!(" {index}"));
    let when = job.finished.map_or(String::new(), |time| format!(" at {}", moment::show(time)));
    let (reason, earlier) = match job.errors.split_last() {
        Some((reason, earlier)) => (show::one_line(reason), earlier),
        None => ("unknown reason".into(), &[][..]),
    };
    out.line(format_args!("{}{index}{when} after {} runs: {reason}", job.id, job.epoch));
    for error in earlier {
        out.line(format_args!("    {}", show::one_line(error)));
    }
}
