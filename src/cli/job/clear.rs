//! `wakeful job clear`

use super::options::TopicArgs;
use super::slices;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input;
use crate::cli::output::Output;
use crate::{JobRequest, Jobs, Operations};

/// Cancel all waiting jobs of a topic
///
/// Prints the number of waiting jobs and asks for confirmation; prints the number of cancelled
/// jobs. Reserved jobs continue, and dead letters stay. Stops after as many jobs as there were at
/// the start: jobs pushed in the meantime may remain.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job clear resize
  wakeful job clear resize --yes")]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl ClearArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let topic = self.topic.topic;
        let info = jobs.topic_info(&topic).await?;
        let waiting = info.ready + info.delayed;
        if !self.yes {
            input::agree(format_args!("cancels {waiting} jobs of {topic}")).await?;
        }
        let request = JobRequest::ClearTopic(topic.clone());
        let changed = slices::all(&request, waiting, jobs, out.json()).await?;
        slices::show(changed, out);
        Ok(Exit::Done)
    }
}
