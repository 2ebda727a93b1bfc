//! `wakeful job get`

use super::options::JobSelection;
use super::show;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{Jobs, Operations};

/// Print the details of a job
///
/// Prints one fact per line, with control characters escaped; with --json bytes are exact and times
/// are milliseconds since 1970. Exits with 3 if the job does not exist or its outcome is no longer
/// kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job get 17
  wakeful job get resize --index photo-17  the newest job with this index
  wakeful job get 17 --json | jq .state")]
pub(crate) struct JobGetArgs {
    #[command(flatten)]
    which: JobSelection,
}

impl JobGetArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let job = jobs.get_job(self.which.job()?).await?;
        if out.json() {
            out.object(&job.shown());
        } else {
            show::facts(&job, out);
        }
        Ok(Exit::Done)
    }
}
