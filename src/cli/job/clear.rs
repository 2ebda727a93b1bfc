//! `wakeful job clear`

use super::options::Topic;
use super::slices;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input;
use crate::cli::output::Output;
use crate::{JobRequest, Jobs, Operations};

/// Cancel all jobs of a topic that wait
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Says how many there are, and asks; prints how many were cancelled. Those that are handed out go on,
dead letters stay. When it has cancelled as many as there were at the start it ends: some of those that
come meanwhile may stay.

Examples:
  wakeful job clear resize
  wakeful job clear resize --yes")]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    topic: Topic,
    /// Do not ask
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
