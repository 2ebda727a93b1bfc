//! `wakeful job schedule`, `unschedule` and `schedules`: jobs that are pushed again and again.

use super::moment;
use super::options::{Options, Topic, payload};
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::table::{Kind, Table};
use crate::rpc::proto::Shown;
use crate::{Blob, JobRequest, Jobs, Operations, PushRequest, Reply, Schedule, ScheduleInfo};

/// Push a job again and again, as a cron expression says
#[derive(Debug, clap::Args)]
#[command(after_help = "\
CRON is `minute hour day month weekday`, or six fields with seconds in front. Another schedule under
the same name replaces it. Prints when it pushes next; what does not come within ten years is refused.
With --index, a run is left out while the one before is not finished.

Examples:
  wakeful job schedule nightly '0 3 * * *' report --tz Europe/Berlin
  wakeful job schedule beat '*/10 * * * * *' ping hello --index beat --retry-max 0")]
pub(crate) struct ScheduleArgs {
    /// Its name
    #[arg(value_name = "NAME", value_parser = bytes())]
    name: Blob,
    /// When
    #[arg(value_name = "CRON")]
    cron: String,
    #[command(flatten)]
    topic: Topic,
    /// What the worker gets; - reads it from standard input; without it, nothing
    #[arg(value_name = "PAYLOAD", value_parser = bytes(), allow_negative_numbers = true)]
    payload: Option<Blob>,
    /// The zone whose clock counts, as in Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    #[command(flatten)]
    options: Options,
}

/// End a schedule
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Jobs that it pushed stay. Exits with 3 if there is none of this name.

Example:
  wakeful job unschedule nightly")]
pub(crate) struct UnscheduleArgs {
    /// Its name
    #[arg(value_name = "NAME", value_parser = bytes())]
    name: Blob,
}

/// List schedules
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a table: the name, when it pushes next, how often it has pushed, how often it pushed nothing
as its topic was full or its index was taken, its topic, and when.

Examples:
  wakeful job schedules
  wakeful job schedules --json | jq .schedule.name")]
pub(crate) struct SchedulesArgs {}

impl ScheduleArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let payload = payload(self.payload, jobs).await?;
        let options = self.options.push_options();
        let push = PushRequest { topic: self.topic.topic, payload, options };
        let schedule = Schedule { name: self.name, cron: self.cron, timezone: self.tz, push };
        let info = jobs.set_schedule(schedule).await?;
        if out.json() {
            out.object(&info.shown());
        } else {
            out.line(next(&info));
        }
        Ok(Exit::Done)
    }
}

impl UnscheduleArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let request = JobRequest::RemoveSchedule(self.name.clone());
        let reply = jobs.job(request).await?;
        if out.json() {
            out.reply(&Reply::Job(reply));
        } else {
            out.line(format_args!("ended {}", self.name));
        }
        Ok(Exit::Done)
    }
}

impl SchedulesArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let schedules = jobs.schedules().await?;
        if out.json() {
            schedules.iter().for_each(|info| out.object(&info.shown()));
            return Ok(Exit::Done);
        }
        let columns = [
            ("NAME", Kind::Name),
            ("NEXT", Kind::Word),
            ("PUSHED", Kind::Number),
            ("MISSED", Kind::Number),
            ("TOPIC", Kind::Name),
            ("WHEN", Kind::Name),
        ];
        Table::new(columns, out).print(schedules.iter().map(row).collect(), out);
        Ok(Exit::Done)
    }
}

fn row(info: &ScheduleInfo) -> [String; 6] {
    let Schedule { name, cron, timezone, push } = &info.schedule;
    [
        name.to_string(),
        next(info),
        info.pushed.to_string(),
        info.missed.to_string(),
        push.topic.to_string(),
        format!("{cron} {timezone}"),
    ]
}

fn next(info: &ScheduleInfo) -> String {
    info.next.map_or_else(|| "never".into(), moment::show)
}
