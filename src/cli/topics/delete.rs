//! `wakeful topics delete`

use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input;
use crate::cli::job::slices;
use crate::cli::output::Output;
use crate::{Blob, JobRequest, Jobs, Operations};

/// Delete a topic, with its settings and counts
///
/// Prints `deleted TOPIC`. Exits with 1, and changes nothing, while the topic has unfinished jobs
/// or dead letters, a schedule pushes to it, or a request waits for its jobs or for room in it.
/// With --force it first cancels the waiting jobs and deletes the dead letters, in parts: it prints
/// how many there are, and asks for confirmation. Even then it is refused while jobs are reserved, a
/// schedule pushes or a request waits, because those would create the topic again. Indexes of its
/// finished jobs become free; `job get` still shows how its jobs ended while their outcomes are
/// kept. With --json the object counts the deleted jobs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful topics delete misspelt
  wakeful topics delete resize --force
  wakeful topics delete resize --force --yes")]
pub(super) struct TopicDeleteArgs {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = bytes())]
    topic: Blob,
    /// First cancel its waiting jobs and delete its dead letters
    #[arg(long)]
    force: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl TopicDeleteArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let Self { topic, force, yes } = self;
        if force && !yes {
            let info = jobs.topic_info(&topic).await?;
            let (waiting, dead) = (info.ready + info.delayed, info.dead);
            if waiting + dead > 0 {
                let what = format!("deletes {topic} with {waiting} waiting and {dead} dead jobs");
                input::agree(what).await?;
            }
        }
        let request = JobRequest::DeleteTopic { topic: topic.clone(), force };
        let cleared = slices::all(&request, u64::MAX, jobs, out.json()).await?;
        if out.json() {
            slices::show(cleared, out);
        } else {
            out.line(format_args!("deleted {topic}"));
        }
        Ok(Exit::Done)
    }
}
