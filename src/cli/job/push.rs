//! `wakeful job push`

use std::time::Duration;

use super::options::{Options, Topic, payload};
use super::spec::state_name;
use super::{ask, push_lines};
use crate::cli::argument::{bytes, parse_duration};
use crate::cli::asks::{self, Asks};
use crate::cli::failure::{Exit, Failure};
use crate::cli::json::Object;
use crate::cli::output::{Output, notice};
use crate::{
    Blob, Durability, JobReply, JobRequest, Operations, PushRequest, Pushed, Reply, Request,
};

/// Push a job, and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the id. If the index is taken, nothing is pushed: it prints the id of the job that has it, and on
standard error in which state that is, which may be finished; --json says `existing`, and `state`. Exits
with 0 then too. With --lines each line of standard input is a job, pushed as it comes, many in one
request; if one is refused, the message says where to go on.

A topic is made by its first push; `wakeful topics set` says how it is run.

Examples:
  wakeful job push resize photo-17.jpg
  wakeful job push resize - < photo-17.jpg         the payload from standard input, byte by byte
  wakeful job push resize 17 --index photo-17      once, however often it is pushed
  wakeful job push report today --delay 1h --retry-max 0
  wakeful job push mail '{\"to\": 7}' --order-key customer-7 --backoff 1s,1m,1h
  find . -name '*.jpg' | wakeful job push resize --lines --wait 1m")]
pub(crate) struct PushArgs {
    #[command(flatten)]
    topic: Topic,
    /// What the worker gets; - reads it from standard input; without it, nothing
    #[arg(value_name = "PAYLOAD", value_parser = bytes(), allow_negative_numbers = true)]
    payload: Option<Blob>,
    /// Each line of standard input is a job
    #[arg(long, conflicts_with_all = ["payload", "index"])]
    lines: bool,
    /// How long to wait for room in a topic that is full
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    asks: Asks,
}

/// Where pushes go, and how.
pub(super) struct Target {
    /// With an empty payload.
    pub(super) job: PushRequest,
    pub(super) wait: Duration,
    pub(super) asks: Asks,
}

impl PushArgs {
    /// How long one of its calls may wait.
    pub(super) fn waits(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let wait = self.waits();
        let options = self.options.push_options();
        let job = PushRequest { topic: self.topic.topic, payload: Blob::default(), options };
        let target = Target { job, wait, asks: self.asks };
        if self.lines {
            return push_lines::run(&target, jobs, out).await;
        }
        let payload = payload(self.payload, jobs).await?;
        let (pushed, durability) = target.push(vec![payload], jobs, out.json()).await?;
        show(&pushed, durability, out);
        Ok(Exit::Done)
    }
}

impl Target {
    /// Pushes a job for each of `payloads`, all or none.
    pub(super) async fn push(
        &self,
        payloads: Vec<Blob>,
        jobs: &impl Operations,
        json: bool,
    ) -> Result<(Vec<Pushed>, Option<Durability>), Failure> {
        let pushes =
            payloads.into_iter().map(|payload| PushRequest { payload, ..self.job.clone() });
        let request = JobRequest::Push { jobs: pushes.collect(), wait: self.wait };
        let done = self.asks.call(jobs, Request::Job(request), json).await?;
        match done.reply {
            Reply::Job(JobReply::Pushed(pushed)) => Ok((pushed, done.durability)),
            _ => Err(ask::unfit().into()),
        }
    }
}

pub(super) fn show(pushed: &[Pushed], durability: Option<Durability>, out: &mut Output) {
    for one in pushed {
        if out.json() {
            let object = Object::new()
                .number("id", one.id)
                .text("state", state_name(one.state))
                .flag("existing", one.existing);
            out.object(asks::durable(object, durability));
        } else {
            out.line(one.id);
            if one.existing {
                notice(format_args!(
                    "nothing was pushed: job {}, which is {}, has the index",
                    one.id,
                    state_name(one.state)
                ));
            }
        }
    }
}
