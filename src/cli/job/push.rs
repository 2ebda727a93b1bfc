//! `wakeful job push`

use std::time::Duration;

use super::at::AtArgs;
use super::options::{JobOptions, TopicArgs, payload};
use super::spec::state_name;
use super::{SLICE, ask, moment, push_lines, wait};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::durability_args::DurabilityArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::json::WrittenItem;
use crate::cli::output::{Output, notice};
use crate::rpc::proto::SerializeWire;
use crate::{
    Blob, Durability, Error, JobRef, JobReply, JobRequest, Operations, PushRequest, Pushed, Reply,
    Request, UnixMillis,
};

/// Push a job, and print its id or, with --wait, its result
///
/// If the index is taken, nothing is pushed: the command prints the id of the job that has the
/// index, and its state, which may be a finished one, on standard error; --json prints `existing`
/// and `state`. It exits with 0 in this case too. With --lines each line of standard input is a
/// job, pushed as it arrives, many in one request; if one is refused, the message says where to
/// continue.
///
/// With --wait the command prints what `wakeful job wait` prints instead of the id, and exits like
/// it: with 0 if the job is done, with 1 and the reason if it is a dead letter or was cancelled,
/// with 4 on timeout. A job that already has the index is awaited as well.
///
/// The time of --at is compared with this machine's clock. A time in the past is refused; if it
/// passes while payloads are read, the remaining jobs are due at once.
///
/// The first push creates a topic; `wakeful topics set` changes its settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job push resize photo-17.jpg
  wakeful job push resize - < photo-17.jpg      the payload from a file
  wakeful job push resize 17 --index photo-17   once, however often it is pushed
  wakeful job push shout hello --wait 30s       its result, within 30 s
  wakeful job push report today --delay 1h --retry-max 0
  wakeful job push report today --at 2030-12-01T18:00:00+01:00
  wakeful job push report today --at '2030-12-01 18:00' --tz Europe/Berlin
  wakeful job push mail hello --order-key customer-7 --backoff 1s,1m,1h
  find . -name '*.jpg' | wakeful job push resize --lines --wait-room 1m")]
pub(crate) struct PushArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// The payload; - reads it from standard input [default: empty]
    #[arg(value_name = "PAYLOAD", value_parser = bytes(), allow_negative_numbers = true)]
    payload: Option<Blob>,
    /// Push each line of standard input as a job
    #[arg(long, conflicts_with_all = ["payload", "index"])]
    lines: bool,
    /// Maximum wait for room in a full topic
    #[arg(long, value_name = "WAIT", value_parser = parse_duration)]
    wait_room: Option<Duration>,
    /// Wait up to this long for the result, and print it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "lines")]
    wait: Option<Duration>,
    /// With --wait, print the result without a newline
    #[arg(long, requires = "wait", conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    options: JobOptions,
    #[command(flatten)]
    asks: DurabilityArgs,
}

/// The topic and options of a push.
pub(super) struct PushTarget {
    /// The request, with an empty payload.
    job: PushRequest,
    /// The due time, if --at was given.
    due: Option<UnixMillis>,
    wait_room: Duration,
    asks: DurabilityArgs,
}

impl PushArgs {
    /// Returns true if the command awaits the end of its job.
    pub(super) fn waits(&self) -> bool {
        self.wait.is_some()
    }

    /// Returns how long one of its calls may wait.
    pub(super) fn call_waits(&self) -> Duration {
        let result = self.wait.unwrap_or_default().min(SLICE);
        self.wait_room.unwrap_or_default().max(result)
    }

    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let due = self.at.due(moment::now())?;
        let options = self.options.push_options();
        let job = PushRequest { topic: self.topic.topic, payload: Blob::default(), options };
        let wait_room = self.wait_room.unwrap_or_default();
        let target = PushTarget { job, due, wait_room, asks: self.asks };
        if self.lines {
            return push_lines::run(&target, jobs, out).await;
        }
        let payload = payload(self.payload, jobs).await?;
        let (pushed, durability) = target.push(vec![payload], jobs, out.json()).await?;
        match self.wait {
            Some(timeout) => show_result(&pushed, timeout, self.raw, jobs, out).await,
            None => {
                show(&pushed, durability, out);
                Ok(Exit::Done)
            }
        }
    }
}

impl PushTarget {
    /// Pushes a job for each of `payloads`, all or none.
    pub(super) async fn push(
        &self,
        payloads: Vec<Blob>,
        jobs: &impl Operations,
        json: bool,
    ) -> Result<(Vec<Pushed>, Option<Durability>), Failure> {
        let mut job = self.job.clone();
        if let Some(due) = self.due {
            job.options.delay = Duration::from_millis(due.saturating_sub(moment::now()));
        }
        let pushes = payloads.into_iter().map(|payload| PushRequest { payload, ..job.clone() });
        let request = JobRequest::Push { jobs: pushes.collect(), wait: self.wait_room };
        let done = self.asks.call(jobs, Request::Job(request), json).await?;
        match done.reply {
            Reply::Job(JobReply::Pushed(pushed)) => Ok((pushed, done.durability)),
            _ => Err(ask::unexpected_reply().into()),
        }
    }
}

pub(super) fn show(pushed: &[Pushed], durability: Option<Durability>, out: &mut Output) {
    for one in pushed {
        if out.json() {
            out.object(&WrittenItem { item: one.shown(), durability });
        } else {
            out.line(one.id);
            notice_existing(one);
        }
    }
}

/// Waits for the pushed job, and prints its result as `wakeful job wait` does.
async fn show_result(
    pushed: &[Pushed],
    timeout: Duration,
    raw: bool,
    jobs: &impl Operations,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let [one] = pushed else { return Err(ask::unexpected_reply().into()) };
    if !out.json() {
        notice_existing(one);
    }
    let finished = wait::finished(JobRef::Id(one.id), Some(timeout), jobs).await;
    let job = finished.map_err(|error| {
        // The id was not printed yet, and without it the job cannot be found again.
        let message = format!(
            "while waiting for job {0}: {error}; `wakeful job wait {0}` continues to wait",
            one.id
        );
        Error { message, ..error }
    })?;
    wait::print(job, raw, out)
}

fn notice_existing(one: &Pushed) {
    if one.existing {
        notice(format_args!(
            "nothing was pushed: job {} ({}) has the index",
            one.id,
            state_name(one.state)
        ));
    }
}
