//! `wakeful topics`

mod delete;
mod set;
mod show;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::table::{ColumnKind, Table};
use crate::rpc::proto::SerializeWire;
use crate::{Jobs, Operations, OrderRetry, TopicInfo};

/// List, inspect, configure and delete topics
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics                           same as `wakeful topics list`
  wakeful topics show resize
  wakeful topics set resize --concurrency 8 --rate 100/s
  wakeful topics delete misspelt
  watch -n 1 wakeful topics")]
pub(crate) struct TopicsArgs {
    #[command(subcommand)]
    action: Option<TopicsCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum TopicsCommand {
    List(TopicListArgs),
    Show(show::TopicShowArgs),
    Set(set::TopicSetArgs),
    Delete(delete::TopicDeleteArgs),
}

/// List topics in order of name (the default)
///
/// Prints a table: the name; ready, delayed and reserved jobs; dead letters; the age of the next
/// ready job; jobs pushed and finished per second (over the last ten); jobs done in total; and
/// whether the topic is paused or workers wait. Prints nothing if there are no topics. With --json
/// it prints all details, settings included.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics list
  wakeful topics list --json | jq 'select(.dead > 0) | .name'")]
struct TopicListArgs {}

impl TopicsArgs {
    pub(crate) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        match self.action.unwrap_or(TopicsCommand::List(TopicListArgs {})) {
            TopicsCommand::List(TopicListArgs {}) => list(jobs, out).await,
            TopicsCommand::Show(args) => args.run(jobs, out).await,
            TopicsCommand::Set(args) => args.run(jobs, out).await,
            TopicsCommand::Delete(args) => args.run(jobs, out).await,
        }
    }
}

async fn list(jobs: &impl Operations, out: &mut Output) -> Result<Exit, Failure> {
    let topics = jobs.topics().await?;
    if out.json() {
        topics.iter().for_each(|topic| out.object(&topic.shown()));
        return Ok(Exit::Done);
    }
    let columns = [
        ("TOPIC", ColumnKind::Name),
        ("READY", ColumnKind::Number),
        ("DELAYED", ColumnKind::Number),
        ("RESERVED", ColumnKind::Number),
        ("DEAD", ColumnKind::Number),
        ("OLDEST", ColumnKind::Number),
        ("IN/S", ColumnKind::Number),
        ("OUT/S", ColumnKind::Number),
        ("DONE", ColumnKind::Number),
        ("", ColumnKind::Word),
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

/// Formats a rate per second from a count of ten seconds.
fn per_second(recent: u64) -> String {
    if recent < 100 {
        format!("{}.{}", recent / 10, recent % 10)
    } else {
        (recent / 10).to_string()
    }
}

fn order_retry(set: OrderRetry) -> &'static str {
    match set {
        OrderRetry::Block => "block",
        OrderRetry::Skip => "skip",
    }
}
