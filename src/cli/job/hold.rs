//! `wakeful job reserve`: jobs for scripts, held for as long as the command runs.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::SLICE;
use super::options::Topic;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::signal::Ends;
use crate::rpc::proto::Shown;
use crate::{
    Error, Jobs, Operations, Reservation, ReserveRequest, ReservedJob, Settlement, Verdict,
};

/// Take jobs of a topic by hand, and hold them while others settle them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line for each, `ID EPOCH PAYLOAD`, with control characters escaped; with --json bytes are
exact. Jobs are held by the connection that took them, or by the next one if the command is back within
`queue.resume_grace` of the server. So it goes on, and holds them, until each is settled by `job ack` or
`job nack`, or is somebody else's; then it exits with 0. Ctrl-C gives back what is left, at no cost. Exits with 4 if there was none in time. `job work` is simpler for what
one command can do.

Examples:
  wakeful job reserve resize --json > job.json &
  wakeful job ack $(jq .reservation[] job.json) small.jpg
  wakeful job reserve resize --credits 10 --wait 5s")]
pub(crate) struct ReserveArgs {
    #[command(flatten)]
    topic: Topic,
    /// At most this many; the server's most is queue.credits_max
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    credits: u32,
    /// How long to wait for the first; without it, until there is one
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// How long a job stays held when nothing is heard of this command
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    visibility: Duration,
}

/// How often it is looked whether a job was settled, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl ReserveArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut ends = Ends::new().map_err(|error| Failure::io("signals", &error))?;
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
                // Who has read what it printed need not stay.
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

/// Returns when nothing is held any more.
async fn hold(
    held: &mut Vec<Reservation>,
    visibility: Duration,
    jobs: &impl Operations,
) -> Result<(), Error> {
    while !held.is_empty() {
        sleep(LOOK_EVERY.min(visibility / 3)).await;
        let mut answers = match jobs.touch(held.clone(), None).await {
            // The jobs may still be this command's when the server is back.
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
