//! `wakeful job delete`

use super::dead_letters::DeadLetters;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, JobRequest, Operations};

/// Delete dead letters for good
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints how many were deleted. Exits with 3 at the first id that is no dead letter of the topic; those
before it were deleted. --all prints how many there are, asks, and goes on until it has deleted as many
as there were at the start. `job get` still shows how the job ended, without its payload, for as long as
its outcome is kept. An index that is taken stays taken until `job free-index`.

Examples:
  wakeful job delete resize 17 23
  wakeful job delete resize --all
  wakeful job delete resize --all --yes")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    dead: DeadLetters,
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
        let deed = |dead, topic: &Blob| format!("deletes {dead} dead letters of {topic} for good");
        let deed = (!self.yes).then_some(deed as fn(u64, &Blob) -> String);
        self.dead.change(deed, |topic, id| JobRequest::DeleteDead { topic, id }, jobs, out).await
    }
}
