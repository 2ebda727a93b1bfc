//! `wakeful job progress`

use super::options::ReservationArg;
use super::settle;
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, Jobs, Operations};

/// Report the progress of a reserved job
///
/// `job get` shows the progress, which is not recorded: it is lost when the server ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job progress 17 1 '50 %'
  wakeful job progress $WAKEFUL_JOB_ID $WAKEFUL_JOB_EPOCH '50 %'")]
pub(crate) struct ProgressArgs {
    #[command(flatten)]
    held: ReservationArg,
    /// The progress, as any text
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
        settle::print_settled(reservation, "noted", out);
        Ok(Exit::Done)
    }
}
