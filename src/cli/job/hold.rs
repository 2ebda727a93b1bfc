//! `wakeful job reserve`: jobs for scripts, held while the command runs.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::SLICE;
use super::options::TopicArgs;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::signal::EndCauses;
use crate::rpc::proto::SerializeWire;
use crate::{
    Error, Jobs, Operations, Reservation, ReserveRequest, ReservedJob, Settlement, Verdict,
};

/// Reserve jobs of a topic, and hold them until they are settled
///
/// Prints one line per job, `ID EPOCH PAYLOAD`, with control characters escaped; with --json bytes
/// are exact. The connection that reserved a job holds it, or the next one if the command
/// reconnects within `queue.resume_grace` of the server. So the command keeps running and holds its
/// jobs until each is settled by `job ack` or `job nack`, or held by another worker; then it exits
/// with 0. Ctrl-C releases the remaining jobs at no cost. Exits with 4 if no job was ready in time.
/// Prefer `job work` if one command can do the work.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job reserve resize --json > job.json &
  wakeful job ack $(jq .reservation[] job.json) small.jpg
  wakeful job reserve resize --credits 10 --wait 5s")]
pub(crate) struct ReserveArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Reserve up to N jobs; the server allows queue.credits_max
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    credits: u32,
    /// How long to wait for the first job [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Time without a sign of life after which the server takes a job back
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    visibility: Duration,
}

/// Maximum time between two checks whether a job was settled.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl ReserveArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut ends = EndCauses::new().map_err(|error| Failure::io("signals", &error))?;
        let reserved = tokio::select! {
            reserved = self.reserve(jobs) => reserved?,
            exit = ends.next() => return Ok(exit),
        };
        if reserved.is_empty() {
            notice("timeout; no job is ready");
            return Ok(Exit::Timeout);
        }
        for job in &reserved {
            show(job, out);
        }
        let mut held = reserved.iter().map(|job| job.reservation).collect();
        let mut printed = out.flush().await;
        if printed.is_ok() {
            tokio::select! {
                ended = hold(&mut held, self.visibility, jobs) => return Ok(ended.map(|()| Exit::Done)?),
                // Output that was read in full needs no longer wait.
                _ = ends.signal() => {}
            }
        } else if matches!(printed, Err(Failure::ClosedPipe)) {
            printed = Ok(());
        }
        let release = |reservation| Settlement { reservation, verdict: Verdict::Release };
        jobs.settle(held.into_iter().map(release).collect()).await?;
        printed.map(|()| Exit::Done)
    }

    async fn reserve(&self, jobs: &impl Operations) -> Result<Vec<ReservedJob>, Error> {
        let start = Instant::now();
        let mut left = self.wait;
        loop {
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let request = ReserveRequest {
                topic: self.topic.topic.clone(),
                credits: self.credits,
                wait: Some(slice),
                visibility: Some(self.visibility),
            };
            let reserved = jobs.reserve(request).await?;
            if !reserved.is_empty() || left == Some(slice) {
                return Ok(reserved);
            }
            left = self.wait.map(|wait| wait.saturating_sub(start.elapsed()));
        }
    }
}

/// Returns when no job is held any more.
async fn hold(
    held: &mut Vec<Reservation>,
    visibility: Duration,
    jobs: &impl Operations,
) -> Result<(), Error> {
    while !held.is_empty() {
        sleep(LOOK_EVERY.min(visibility / 3)).await;
        let mut answers = match jobs.touch(held.clone(), None).await {
            // The jobs may still be held by this command when the server is back.
            Err(error) if error.retryable() => continue,
            answers => answers?.into_iter(),
        };
        held.retain(|_| matches!(answers.next(), Some(None)));
    }
    Ok(())
}

fn show(job: &ReservedJob, out: &mut Output) {
    if out.json() {
        out.object(&job.shown());
    } else {
        let Reservation { id, epoch } = job.reservation;
        out.line(format_args!("{id} {epoch} {}", job.payload));
    }
}
