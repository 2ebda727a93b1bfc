//! `wakeful job work`

use std::cell::Cell;
use std::ffi::OsString;
use std::time::Duration;

use tokio::sync::mpsc;

use super::guard::Guard;
use super::options::Topic;
use super::plan::Plan;
use super::program::Program;
use super::stops::Stops;
use super::worker;
use crate::Operations;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::server_limits;
use crate::config::QueueConfig;

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
SIGKILL. If the worker is killed, its commands are killed at once by a second process, job-guard.
It runs on while the connection is lost or the server restarts, and its result counts if the worker
is back within the server's `queue.resume_grace` (and --visibility).

A command that cannot be run costs no job anything: the job goes back, and the worker exits with
127 if there is no such command, with 126 if it cannot be executed or the working directory was
removed. For want of processes, memory or open files the worker tries again, with fewer at once.

Prints one line for each: done ID, failed ID: REASON, released ID, revoked ID. If nobody reads them,
no more jobs are taken after 1,000. What commands print to standard error is passed on as far as it
is read, and dropped beyond.

Ctrl-C, SIGTERM, SIGHUP or SIGQUIT: no more jobs are taken, and what runs may end within --grace;
then, or at a second signal, it is ended, and its jobs go back to the head of the topic, at no cost.
So do those of commands that a service manager ended with the same signal. If the reader of what the
worker prints leaves, that is a first signal, and it exits with 141. While the server cannot be
reached it tries again, for ever.

--once exits as the command did: with its exit code, or 128 and the number of the signal that ended
it; with 4 if its time was over, with 1 if its result was not taken.

Examples:
  wakeful job work shout -- tr a-z A-Z
  wakeful job work resize --concurrency 4 --timeout 30s -- ./resize.sh
  wakeful job work mail --drain --concurrency 8 -- ./send
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
        value_parser = clap::value_parser!(u32).range(1..))]
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
    /// Do one job, and exit as its command did
    #[arg(long, conflicts_with = "max_jobs")]
    once: bool,
    /// Do so many jobs, and exit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    /// Exit when no job is ready and none runs here; delayed jobs are left
    #[arg(long)]
    drain: bool,
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
        let mut ends = Stops::new().map_err(|error| Failure::io("signals", &error))?;
        let guard = Guard::start().await.map_err(|error| {
            Failure::io("the process that ends commands if this one is killed", &error)
        })?;
        let (stop, mut stops) = mpsc::channel(2);
        let plan = self.plan(server_limits::ask(jobs).await?.queue);
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
            result = worker::work(jobs, &plan, guard, &mut stops, out) => result?,
            never = listen => never,
        };
        Ok(if reader_gone.get() && exit == Exit::Done { Exit::ReaderGone } else { exit })
    }

    /// `queue` has the limits of the server.
    fn plan(self, queue: QueueConfig) -> Plan {
        let mut program = Program::new(self.command, &queue);
        program.timeout = self.timeout;
        program.fail_exits = self.fail_exit;
        Plan {
            topic: self.topic.topic,
            program,
            concurrency: self.concurrency,
            visibility: self.visibility,
            jobs_max: if self.once { 1 } else { self.max_jobs.unwrap_or(u64::MAX) },
            once: self.once,
            drain: self.drain,
            grace: self.grace,
            queue,
        }
    }
}
