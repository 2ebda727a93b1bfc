//! [`DeadLetterPages`]: the dead letters of a topic that a command applies to.

use super::options::TopicArgs;
use super::{ask, slices};
use crate::cli::failure::{Exit, Failure};
use crate::cli::input;
use crate::cli::output::Output;
use crate::{Blob, JobId, JobRequest, Jobs, Operations};

#[derive(Debug, clap::Args)]
pub(super) struct DeadLetterPages {
    #[command(flatten)]
    topic: TopicArgs,
    /// The dead letters
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<JobId>,
    /// All current dead letters of the topic, oldest first
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

impl DeadLetterPages {
    /// Sends `request` for each id, or for all dead letters, and prints the number of changed ones.
    /// With --all, first asks for confirmation in the words of `deed`, which gets their number and
    /// the topic.
    pub(super) async fn change(
        self,
        deed: Option<fn(u64, &Blob) -> String>,
        request: impl Fn(Blob, Option<JobId>) -> JobRequest,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let topic = self.topic.topic;
        let mut changed = (0, false);
        if self.all {
            let dead = jobs.topic_info(&topic).await?.dead;
            if let Some(deed) = deed {
                input::agree(deed(dead, &topic)).await?;
            }
            changed = slices::all(&request(topic.clone(), None), dead, jobs, out.json()).await?;
        }
        for id in self.ids {
            changed.0 += ask::changed(jobs, request(topic.clone(), Some(id))).await?.0;
        }
        slices::show(changed, out);
        Ok(Exit::Done)
    }
}
