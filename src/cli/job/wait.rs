//! `wakeful job wait`

use std::time::{Duration, Instant};

use super::SLICE;
use super::options::JobSelection;
use super::show;
use super::spec::state_name;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::rpc::proto::SerializeWire;
use crate::{Error, ErrorCode, JobInfo, JobRef, JobState, Jobs, Operations};

/// Wait until a job is finished, and print its result
///
/// Prints the result, and a newline if it does not end with one. Exits with 0 if the job is done,
/// with 1 and the reason if it is a dead letter or was cancelled, with 3 if it does not exist, with
/// 4 on timeout. With --json it prints the job in its current state in every case.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job wait 17
  wakeful job wait $(wakeful job push shout hello) --timeout 1m
  wakeful job wait resize --index photo-17 --raw > small.jpg")]
pub(crate) struct JobWaitArgs {
    #[command(flatten)]
    which: JobSelection,
    /// Maximum wait, as in 30s, 5m, 1h30m [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Print the exact bytes of the result, without a newline
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

impl JobWaitArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let job = finished(self.which.job()?, self.timeout, jobs).await?;
        print(job, self.raw, out)
    }
}

/// Prints the outcome of a job, and returns the exit status. `raw` omits the newline after the
/// result.
pub(super) fn print(job: JobInfo, raw: bool, out: &mut Output) -> Result<Exit, Failure> {
    let exit = match job.state {
        JobState::Done => Exit::Done,
        JobState::Dead | JobState::Cancelled => Exit::Failed,
        _ => Exit::Timeout,
    };
    if out.json() {
        out.object(&job.shown());
        return Ok(exit);
    }
    match job.state {
        JobState::Done => {
            let output = job.output.unwrap_or_default();
            out.bytes(&output);
            if !raw && !output.ends_with(b"\n") {
                out.bytes(b"\n");
            }
        }
        JobState::Dead => {
            return Err(Error::new(ErrorCode::JobDead, show::reason(&job)).into());
        }
        JobState::Cancelled => {
            return Err(Error::new(ErrorCode::JobCancelled, show::reason(&job)).into());
        }
        state => {
            notice(format_args!("timeout; job {} is {}", job.id, state_name(state)));
        }
    }
    Ok(exit)
}

/// Returns the job once it is finished, or its current state after the timeout.
pub(super) async fn finished(
    mut job: JobRef,
    timeout: Option<Duration>,
    jobs: &impl Operations,
) -> Result<JobInfo, Error> {
    let start = Instant::now();
    let mut left = timeout;
    loop {
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        let info = jobs.await_job(job, Some(slice)).await?;
        if info.state.is_finished() || left == Some(slice) {
            return Ok(info);
        }
        // Follows this job even if another is pushed with the same index.
        job = JobRef::Id(info.id);
        left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
    }
}
