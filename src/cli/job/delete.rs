//! `wakeful job delete`

use super::dead_letters::DeadLetterPages;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, JobRequest, Operations};

/// Delete dead letters permanently
///
/// Prints the number of deleted dead letters. Exits with 3 at the first id that is not a dead
/// letter of the topic; those before it were deleted. --all prints how many there are, asks for
/// confirmation, and stops after as many as there were at the start. `job get` still shows how the
/// job ended, without its payload, while its outcome is kept. A taken index stays taken until `job
/// free-index`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job delete resize 17 23
  wakeful job delete resize --all
  wakeful job delete resize --all --yes")]
pub(crate) struct JobDeleteArgs {
    #[command(flatten)]
    dead: DeadLetterPages,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl JobDeleteArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let deed =
            |dead, topic: &Blob| format!("permanently deletes {dead} dead letters of {topic}");
        let deed = (!self.yes).then_some(deed as fn(u64, &Blob) -> String);
        self.dead.change(deed, |topic, id| JobRequest::DeleteDead { topic, id }, jobs, out).await
    }
}
