//! `wakeful job delete`

use super::options::Topic;
use super::{ask, replay};
use crate::cli::failure::{Exit, Failure};
use crate::cli::input;
use crate::cli::output::Output;
use crate::{JobId, JobRequest, Jobs, Operations};

/// Delete dead letters for good
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints how many. Exits with 3 at the first id that is no dead letter of the topic; those before it were
deleted. With --all it says how many there are, asks, and goes on until it has deleted as many as there
were at the start. `job get` still tells what became of the job, without its payload, as long as
outcomes are kept; an index that stays taken stays so (`job free-index`).

Examples:
  wakeful job delete resize 17 23
  wakeful job delete resize --all
  wakeful job delete resize --all --yes")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    topic: Topic,
    /// These
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<JobId>,
    /// All dead letters of the topic, the oldest first
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl DeleteArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let topic = self.topic.topic;
        let mut changed = (0, false);
        if self.all {
            let dead = jobs.topic_info(&topic).await?.dead;
            if !self.yes {
                let what = format_args!("deletes {dead} dead letters of {topic} for good");
                input::agree(what).await?;
            }
            let request = JobRequest::DeleteDead { topic: topic.clone(), id: None };
            changed = replay::all(&request, dead, jobs, out.json()).await?;
        }
        for id in self.ids {
            let request = JobRequest::DeleteDead { topic: topic.clone(), id: Some(id) };
            changed.0 += ask::changed(jobs, request).await?.0;
        }
        replay::show(changed, out);
        Ok(Exit::Done)
    }
}
