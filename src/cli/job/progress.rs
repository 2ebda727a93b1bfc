//! `wakeful job progress`

use super::options::Held;
use super::settle;
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, Jobs, Operations};

/// Tell how far a job is that is handed out
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`job get` shows it. It is not recorded: a server that ends forgets it.

Examples:
  wakeful job progress 17 1 '50 %'
  wakeful job progress $WAKEFUL_JOB_ID $WAKEFUL_JOB_EPOCH '50 %'   in what `job work` runs")]
pub(crate) struct ProgressArgs {
    #[command(flatten)]
    held: Held,
    /// How far
    #[arg(value_name = "PROGRESS", value_parser = bytes(), allow_negative_numbers = true)]
    progress: Blob,
}

impl ProgressArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let reservation = self.held.reservation();
        jobs.progress(reservation, self.progress).await?;
        settle::tell(reservation, "noted", out);
        Ok(Exit::Done)
    }
}
