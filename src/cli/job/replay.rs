//! `wakeful job replay`

use super::dead_letters::DeadLetterPages;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{JobRequest, Operations};

/// Make dead letters ready again
///
/// Prints the number of replayed jobs. Their retry budgets are reset, and their errors are kept.
/// Exits with 3 at the first id that is not a dead letter of the topic; those before it were
/// replayed. --all stops after as many as there were at the start: jobs that die again in the
/// meantime may remain.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job replay resize 17 23
  wakeful job replay resize --all")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    dead: DeadLetterPages,
}

impl ReplayArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        self.dead.change(None, |topic, id| JobRequest::Replay { topic, id }, jobs, out).await
    }
}
