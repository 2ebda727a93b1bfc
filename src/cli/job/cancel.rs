//! `wakeful job cancel`

use super::options::JobSelection;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{Jobs, Operations};

/// Cancel a job, waiting or reserved
///
/// Prints `cancelled ID`. A worker that holds the job is notified, and `job work` kills the
/// command. Exits with 3 if the job does not exist, with 1 if it has finished.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job cancel 17
  wakeful job cancel resize --index photo-17")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    which: JobSelection,
}

impl CancelArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let job = jobs.cancel_job(self.which.job()?).await?;
        if out.json() {
            out.object(&job.shown());
        } else {
            out.line(format_args!("cancelled {}", job.id));
        }
        Ok(Exit::Done)
    }
}
