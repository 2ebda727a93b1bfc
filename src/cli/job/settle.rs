//! `wakeful job ack`, `nack` and `touch`: what a script does with a job that it holds.

use std::time::Duration;

use super::ask;
use super::ended::Line;
use super::options::{Held, payload};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, Jobs, Operations, Reservation, Settlement, Verdict};

/// Settle a job that is handed out: it is done
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 1 if the job is not held under this epoch any more: then nothing was changed.

Examples:
  wakeful job ack 17 1
  wakeful job ack 17 1 - < small.jpg       with a result, from standard input")]
pub(crate) struct AckArgs {
    #[command(flatten)]
    held: Held,
    /// Its result; - reads it from standard input
    #[arg(value_name = "OUTPUT", value_parser = bytes(), allow_negative_numbers = true)]
    output: Option<Blob>,
}

/// Settle a job that is handed out: it failed, or is to be done later
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an option it is a failure: another run when its backoff says, if it has one left, else a
dead letter.

Examples:
  wakeful job nack 17 1 'no such photo'
  wakeful job nack 17 1 busy --after 5m    the next run in 5 minutes
  wakeful job nack 17 1 'bad photo' --fail a dead letter at once
  wakeful job nack 17 1 --snooze 1h        later, at no cost
  wakeful job nack 17 1 --release          back to the head, at no cost")]
pub(crate) struct NackArgs {
    #[command(flatten)]
    held: Held,
    /// Why
    #[arg(value_name = "ERROR", default_value = "", hide_default_value = true)]
    error: String,
    #[command(flatten)]
    how: How,
}

/// How it is not done.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct How {
    /// The next run so long from now; 0s for at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    after: Option<Duration>,
    /// For good: a dead letter
    #[arg(long)]
    fail: bool,
    /// Another run so long from now, which is no failure
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    snooze: Option<Duration>,
    /// Another run as soon as may be, which is no failure
    #[arg(long)]
    release: bool,
}

/// Hold on to a job that is handed out: its visibility timeout starts anew
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job touch 17 1
  wakeful job touch 17 1 --visibility 10m")]
pub(crate) struct TouchArgs {
    #[command(flatten)]
    held: Held,
    /// How long it is held from now on; without it, as long as before
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
        let (error, How { after, fail, snooze, release }) = (self.error, self.how);
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
        tell(reservation, "touched", out);
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
    tell(reservation, what, out);
    Ok(Exit::Done)
}

pub(super) fn tell(reservation: Reservation, what: &'static str, out: &mut Output) {
    Line { reservation, what, error: None }.print(out);
}
