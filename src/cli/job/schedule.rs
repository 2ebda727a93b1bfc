//! `wakeful job schedule`, `unschedule` and `schedules`: jobs pushed repeatedly.

use super::moment;
use super::options::{JobOptions, TopicArgs, payload};
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::table::{ColumnKind, Table};
use crate::rpc::proto::SerializeWire;
use crate::{Blob, JobRequest, Jobs, Operations, PushRequest, Reply, Schedule, ScheduleInfo};

/// Push a job repeatedly, by a cron expression
///
/// CRON is `minute hour day month weekday`, or six fields with seconds first. A schedule of the
/// same name is replaced. Prints the time of the next push; an expression without a match within
/// ten years is refused. With --index, a run is skipped while the previous one is unfinished.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job schedule nightly '0 3 * * *' report --tz Europe/Berlin
  wakeful job schedule beat '*/10 * * * * *' ping hello --index beat")]
pub(crate) struct ScheduleArgs {
    /// The schedule's name
    #[arg(value_name = "NAME", value_parser = bytes())]
    name: Blob,
    /// The times, as a cron expression
    #[arg(value_name = "CRON")]
    cron: String,
    #[command(flatten)]
    topic: TopicArgs,
    /// The payload; - reads it from standard input [default: empty]
    #[arg(value_name = "PAYLOAD", value_parser = bytes(), allow_negative_numbers = true)]
    payload: Option<Blob>,
    /// The time zone of CRON, as in Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    #[command(flatten)]
    options: JobOptions,
}

/// End a schedule
///
/// Jobs that it pushed stay. Exits with 3 if the schedule does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful job unschedule nightly")]
pub(crate) struct UnscheduleArgs {
    /// The schedule's name
    #[arg(value_name = "NAME", value_parser = bytes())]
    name: Blob,
}

/// List schedules
///
/// Prints a table: the name, the time of the next push, the number of pushes, the number of missed
/// pushes (topic full or index taken), the topic, and the cron expression.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
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
            ("NAME", ColumnKind::Name),
            ("NEXT", ColumnKind::Word),
            ("PUSHED", ColumnKind::Number),
            ("MISSED", ColumnKind::Number),
            ("TOPIC", ColumnKind::Name),
            ("WHEN", ColumnKind::Name),
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
