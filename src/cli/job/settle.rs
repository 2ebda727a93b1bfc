//! `wakeful job ack`, `nack` and `touch`: actions of a script on a job that it holds.

use std::time::Duration;

use super::ask;
use super::ended::SettledLine;
use super::options::{ReservationArg, payload};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, Jobs, Operations, Reservation, Settlement, Verdict};

/// Settle a reserved job as done
///
/// Exits with 1, and changes nothing, if the job is no longer held under this epoch.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job ack 17 1
  wakeful job ack 17 1 - < small.jpg       with a result, from a file")]
pub(crate) struct AckArgs {
    #[command(flatten)]
    held: ReservationArg,
    /// The result; - reads it from standard input
    #[arg(value_name = "OUTPUT", value_parser = bytes(), allow_negative_numbers = true)]
    output: Option<Blob>,
}

/// Settle a reserved job as failed, or have it run later
///
/// Without an option the job failed: it runs again after its backoff if it has retries left;
/// otherwise it becomes a dead letter.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job nack 17 1 'no such photo'
  wakeful job nack 17 1 busy --after 5m    the next run in 5 minutes
  wakeful job nack 17 1 'bad photo' --fail  a dead letter at once
  wakeful job nack 17 1 --snooze 1h         later, at no cost
  wakeful job nack 17 1 --release           back to the head, at no cost")]
pub(crate) struct NackArgs {
    #[command(flatten)]
    held: ReservationArg,
    /// The reason
    #[arg(value_name = "ERROR", default_value = "", hide_default_value = true)]
    error: String,
    #[command(flatten)]
    how: NackOutcome,
}

/// The way in which the job did not succeed.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct NackOutcome {
    /// Retry after this time; 0s means at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    after: Option<Duration>,
    /// Fail permanently: the job becomes a dead letter
    #[arg(long)]
    fail: bool,
    /// Run again after this time, not counted as a failure
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    snooze: Option<Duration>,
    /// Run again as soon as possible, not counted as a failure
    #[arg(long)]
    release: bool,
}

/// Extend the reservation of a job: its visibility timeout starts anew
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job touch 17 1
  wakeful job touch 17 1 --visibility 10m")]
pub(crate) struct TouchArgs {
    #[command(flatten)]
    held: ReservationArg,
    /// New visibility timeout, from now on [default: as before]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    visibility: Option<Duration>,
}

impl AckArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let output = payload(self.output, jobs).await?;
        settle(self.held.reservation(), Verdict::Done { output }, "done", jobs, out).await
    }
}

impl NackArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let (error, NackOutcome { after, fail, snooze, release }) = (self.error, self.how);
        let (verdict, what) = match snooze {
            Some(after) => (Verdict::Snooze { after }, "snoozed"),
            None if fail => (Verdict::Fail { error }, "failed"),
            None if release => (Verdict::Release, "released"),
            None => (Verdict::Retry { after, error }, "failed"),
        };
        settle(self.held.reservation(), verdict, what, jobs, out).await
    }
}

impl TouchArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let reservation = self.held.reservation();
        ask::settled(jobs.touch(vec![reservation], self.visibility).await?)?;
        print_settled(reservation, "touched", out);
        Ok(Exit::Done)
    }
}

async fn settle(
    reservation: Reservation,
    verdict: Verdict,
    what: &'static str,
    jobs: &impl Operations,
    out: &mut Output,
) -> Result<Exit, Failure> {
    ask::settled(jobs.settle(vec![Settlement { reservation, verdict }]).await?)?;
    print_settled(reservation, what, out);
    Ok(Exit::Done)
}

pub(super) fn print_settled(reservation: Reservation, what: &'static str, out: &mut Output) {
    SettledLine { reservation, what, error: None }.print(out);
}
