//! `wakeful job replay`

use super::dead_letters::DeadLetters;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{JobRequest, Operations};

/// Make dead letters ready again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints how many. Their budgets are full again, their errors are kept. Exits with 3 at the first id
that is no dead letter of the topic; those before it were replayed. With --all it goes on until it has
replayed as many as there were at the start: those that die again meanwhile may stay.

Examples:
  wakeful job replay resize 17 23
  wakeful job replay resize --all")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    dead: DeadLetters,
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
