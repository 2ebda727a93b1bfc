//! `wakeful job work`

use std::cell::Cell;
use std::ffi::OsString;
use std::time::Duration;

use tokio::sync::mpsc;

use super::child::Program;
use super::options::Topic;
use super::plan::Plan;
use super::worker;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::signal::Ends;
use crate::{Config, Operations};

/// Run a command for each job of a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command gets the payload on its standard input; what it prints is the result. How it exits says
what becomes of the job:
  0              done
  75             failed for now: another run, when the job's backoff says
  --fail-exit    failed for good: a dead letter
  anything else  failed: another run, when the job's backoff says
as long as there is a run left, else a dead letter. The end of what it prints to standard error is
the reason. Longer output than `queue.output_bytes_max` is a failure too.

In its environment: WAKEFUL_JOB_ID and _EPOCH (of two runs with the same id, the one with the lower
epoch has lost its right), _TOPIC, _INDEX, _ORDER_KEY, _ATTEMPT (from 1, failures counted),
_LOSSES, _PUSHED_MS.

A job is held for as long as its command runs. The command, and what it has started, is ended when
its time is over, or when the job is cancelled or somebody else's: first by SIGTERM, 2 s later by
SIGKILL.

Prints one line for each: done ID, failed ID: REASON, released ID, revoked ID. Ctrl-C or SIGTERM:
no more jobs are taken, and what runs may end within --grace; then, or at a second signal, it is
ended, and its jobs go back to the head of the topic, at no cost. If the reader of what it prints
leaves, that is a first signal, and it exits with 141. While the server cannot be
reached it tries again, for ever.

Examples:
  wakeful job work shout -- tr a-z A-Z
  wakeful job work resize --concurrency 4 --timeout 30s -- ./resize.sh
  wakeful job work mail --once -- sh -c 'sendmail \"$WAKEFUL_JOB_INDEX\"'
  wakeful job work mail --fail-exit 65 -- ./send     65 (EX_DATAERR) is no use trying again")]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    topic: Topic,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
    /// How many jobs at once
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Config::new().queue.credits_max)))]
    concurrency: u32,
    /// How long the command may run; without it, for ever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How long a job stays this worker's when nothing is heard of it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    visibility: Duration,
    /// Exit code that is a failure for good; may be given more than once
    #[arg(long, value_name = "CODE")]
    fail_exit: Vec<i32>,
    /// Do one job, and exit
    #[arg(long, conflicts_with = "max_jobs")]
    once: bool,
    /// Do so many jobs, and exit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    /// How long what runs may go on after Ctrl-C or SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "25s")]
    grace: Duration,
}

impl WorkArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut ends = Ends::new().map_err(|error| Failure::io("signals", &error))?;
        let (stop, mut stops) = mpsc::channel(2);
        let plan = self.plan();
        let reader_gone = Cell::new(false);
        let listen = async {
            loop {
                let end = ends.next().await;
                reader_gone.set(reader_gone.get() || end == Exit::ReaderGone);
                // One more than is understood changes nothing.
                let _ = stop.try_send(end);
            }
        };
        let exit = tokio::select! {
            result = worker::work(jobs, &plan, &mut stops, out) => result?,
            never = listen => never,
        };
        Ok(if reader_gone.get() && exit == Exit::Done { Exit::ReaderGone } else { exit })
    }

    fn plan(self) -> Plan {
        let program = Program {
            timeout: self.timeout,
            fail_exits: self.fail_exit,
            ..Program::new(self.command)
        };
        Plan {
            topic: self.topic.topic,
            program,
            concurrency: self.concurrency,
            visibility: self.visibility,
            jobs_max: if self.once { 1 } else { self.max_jobs.unwrap_or(u64::MAX) },
            grace: self.grace,
        }
    }
}
