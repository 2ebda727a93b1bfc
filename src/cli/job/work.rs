//! `wakeful job work`

use std::cell::Cell;
use std::ffi::OsString;
use std::time::Duration;

use tokio::sync::mpsc;

use super::guard::GuardProcess;
use super::options::TopicArgs;
use super::plan::WorkPlan;
use super::program::Program;
use super::stops::StopSignals;
use super::worker;
use crate::Operations;
use crate::cli::argument::parse_duration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::server_limits;
use crate::config::QueueConfig;

/// Run a command for each job of a topic
///
/// The command reads the payload from its standard input; its output is the result, and its exit
/// code determines the outcome of the job. A failed job runs again while it has retries left;
/// otherwise it becomes a dead letter. The end of the command's standard error is recorded as the
/// reason. Output longer than `queue.output_bytes_max` is a failure too.
///
/// The environment of the command holds WAKEFUL_JOB_ID and _EPOCH (of two runs with the same id,
/// only the higher epoch is valid), _TOPIC, _INDEX, _ORDER_KEY, _ATTEMPT (from 1, failures
/// counted), _LOSSES and _PUSHED_MS.
///
/// A job is reserved for as long as its command runs. The command and the processes it started are
/// ended on timeout, or when the job is cancelled or reserved by another worker: by SIGTERM, and 2
/// s later by SIGKILL. If the worker is killed, a second process, job-guard, kills its commands at
/// once. A command continues while the connection is lost or the server restarts, and its result
/// counts if the worker reconnects within the server's `queue.resume_grace` (and --visibility).
///
/// A command that cannot be run costs its job nothing: the job goes back, and the worker exits with
/// 127 if the command does not exist, with 126 if it cannot be executed or the working directory
/// was removed. On a lack of processes, memory or open files the worker tries again, with fewer
/// commands at once.
///
/// Prints one line for each job: done ID, failed ID: REASON, released ID, revoked ID. After 1,000
/// unread lines no more jobs are reserved. Standard error of commands is passed on as far as it is
/// read, and dropped beyond that.
///
/// After Ctrl-C, SIGTERM, SIGHUP or SIGQUIT no more jobs are reserved, and running commands may end
/// within --grace; then, or at a second signal, they are ended, and their jobs go back to the head
/// of the topic at no cost. So do jobs whose commands a service manager ended with the same signal.
/// If the reader of the worker's output closes it, that counts as a first signal, and the worker
/// exits with 141. While the server is unreachable, the worker keeps trying to reconnect.
///
/// With --once the worker exits as the command did: with its exit code, or 128 plus the number of
/// the signal that ended it; with 4 on timeout, with 1 if the result was not accepted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code of the command:
  0              done
  75             failed temporarily: runs again after the job's backoff
  --fail-exit    failed permanently: a dead letter
  anything else  failed: runs again after the job's backoff

Examples:
  wakeful job work shout -- tr a-z A-Z
  wakeful job work resize --concurrency 4 --timeout 30s -- ./resize.sh
  wakeful job work mail --drain --concurrency 8 -- ./send
  wakeful job work mail --once -- sh -c 'sendmail \"$WAKEFUL_JOB_INDEX\"'
  wakeful job work mail --fail-exit 65 -- ./send     65 is EX_DATAERR")]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
    /// Number of jobs at a time
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// Maximum run time of the command [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Time without a sign of life after which the server takes a job back
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    visibility: Duration,
    /// Exit code that fails the job permanently; repeatable
    #[arg(long, value_name = "CODE")]
    fail_exit: Vec<i32>,
    /// Run one job, and exit as its command did
    #[arg(long, conflicts_with = "max_jobs")]
    once: bool,
    /// Run N jobs, and exit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    /// Exit when no job is ready and none runs here; delayed jobs are left
    #[arg(long)]
    drain: bool,
    /// How long running commands may continue after Ctrl-C or SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "25s")]
    grace: Duration,
}

impl WorkArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut ends = StopSignals::new().map_err(|error| Failure::io("signals", &error))?;
        let guard = GuardProcess::start().await.map_err(|error| {
            Failure::io("the guard process that ends commands if this one is killed", &error)
        })?;
        let (stop, mut stops) = mpsc::channel(2);
        let plan = self.plan(server_limits::ask(jobs).await?.queue);
        let reader_gone = Cell::new(false);
        let listen = async {
            loop {
                let end = ends.next().await;
                reader_gone.set(reader_gone.get() || end == Exit::ReaderGone);
                // A stop beyond the channel's capacity changes nothing.
                let _ = stop.try_send(end);
            }
        };
        let exit = tokio::select! {
            result = worker::work(jobs, &plan, guard, &mut stops, out) => result?,
            never = listen => never,
        };
        Ok(if reader_gone.get() && exit == Exit::Done { Exit::ReaderGone } else { exit })
    }

    /// Returns the plan, within the server's limits in `queue`.
    fn plan(self, queue: QueueConfig) -> WorkPlan {
        let mut program = Program::new(self.command, &queue);
        program.timeout = self.timeout;
        program.fail_exits = self.fail_exit;
        WorkPlan {
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
