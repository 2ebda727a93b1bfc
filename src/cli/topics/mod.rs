//! `wakeful topics`

mod set;
mod show;

use super::failure::{Exit, Failure};
use super::job::spec::{show_backoff, show_rate};
use super::json::Object;
use super::output::Output;
use super::table::{Kind, Table};
use crate::{Jobs, Operations, OrderRetry, TopicInfo, duration};

/// List topics, show one, or say how one is run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics                           the same as `wakeful topics list`
  wakeful topics show resize
  wakeful topics set resize --concurrency 8 --rate 100/s
  watch -n 1 wakeful topics")]
pub(crate) struct TopicsArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(ListArgs),
    Show(show::ShowArgs),
    Set(set::SetArgs),
}

/// List topics in order of name (the default)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a table: the name, jobs that are ready, delayed and reserved, dead letters kept, how long the
next job has been ready, jobs pushed and finished per second (over the last ten), jobs done
ever, and whether the topic is paused or workers wait. Prints nothing if there are none. With --json
everything there is to tell, settings included.

Examples:
  wakeful topics list
  wakeful topics list --json | jq 'select(.dead > 0) | .topic'")]
struct ListArgs {}

impl TopicsArgs {
    pub(crate) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        match self.action.unwrap_or(Action::List(ListArgs {})) {
            Action::List(ListArgs {}) => list(jobs, out).await,
            Action::Show(args) => args.run(jobs, out).await,
            Action::Set(args) => args.run(jobs, out).await,
        }
    }
}

async fn list(jobs: &impl Operations, out: &mut Output) -> Result<Exit, Failure> {
    let topics = jobs.topics().await?;
    if out.json() {
        topics.iter().for_each(|topic| out.object(object(topic)));
        return Ok(Exit::Done);
    }
    let columns = [
        ("TOPIC", Kind::Name),
        ("READY", Kind::Number),
        ("DELAYED", Kind::Number),
        ("RESERVED", Kind::Number),
        ("DEAD", Kind::Number),
        ("OLDEST", Kind::Number),
        ("IN/S", Kind::Number),
        ("OUT/S", Kind::Number),
        ("DONE", Kind::Number),
        ("", Kind::Word),
    ];
    Table::new(columns, out).print(topics.iter().map(row).collect(), out);
    Ok(Exit::Done)
}

fn row(topic: &TopicInfo) -> [String; 10] {
    [
        topic.name.to_string(),
        topic.ready.to_string(),
        topic.delayed.to_string(),
        topic.reserved.to_string(),
        topic.dead.to_string(),
        age(topic),
        per_second(topic.pushed_recent),
        per_second(topic.finished_recent),
        topic.done_total.to_string(),
        note(topic),
    ]
}

fn note(topic: &TopicInfo) -> String {
    match (topic.paused, topic.waiting_workers) {
        (true, _) => "paused".into(),
        (false, 0) => String::new(),
        (false, workers) => format!("{workers} waiting"),
    }
}

fn age(topic: &TopicInfo) -> String {
    match topic.oldest.as_secs() {
        _ if topic.ready == 0 => "-".into(),
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Of a count of ten seconds.
fn per_second(recent: u64) -> String {
    if recent < 100 {
        format!("{}.{}", recent / 10, recent % 10)
    } else {
        (recent / 10).to_string()
    }
}

fn object(topic: &TopicInfo) -> Object {
    Object::new()
        .bytes("topic", &topic.name)
        .flag("paused", topic.paused)
        .number("ready", topic.ready)
        .number("delayed", topic.delayed)
        .number("reserved", topic.reserved)
        .number("dead", topic.dead)
        .number("bytes", topic.bytes)
        .number("oldest_ms", duration::millis(topic.oldest))
        .number("pushed_10s", topic.pushed_recent)
        .number("finished_10s", topic.finished_recent)
        .number("pushed_total", topic.pushed_total)
        .number("done_total", topic.done_total)
        .number("dead_total", topic.dead_total)
        .number("cancelled_total", topic.cancelled_total)
        .number("evicted_total", topic.evicted_total)
        .number("waiting_workers", topic.waiting_workers)
        .object("settings", settings(topic))
}

/// What was set; the rest is by default.
fn settings(topic: &TopicInfo) -> Object {
    let settings = &topic.settings;
    let mut object = Object::new();
    let numbers = [
        ("concurrency", settings.concurrency.map(u64::from)),
        ("jobs_max", settings.jobs_max),
        ("bytes_max", settings.bytes_max),
        ("retry_max", settings.retry_max.map(u64::from)),
        ("loss_max", settings.loss_max.map(u64::from)),
        ("order_limit", settings.order_limit.map(u64::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            object = object.number(name, number);
        }
    }
    if let Some(rate) = &settings.rate {
        object = object.text("rate", &show_rate(rate));
    }
    if let Some(backoff) = &settings.backoff {
        object = object.text("backoff", &show_backoff(backoff));
    }
    object.text("order_retry", order_retry(settings.order_retry))
}

fn order_retry(set: OrderRetry) -> &'static str {
    match set {
        OrderRetry::Block => "block",
        OrderRetry::Skip => "skip",
    }
}
