//! `wakeful job replay`

use std::time::Instant;

use super::options::Topic;
use super::{SAY_EVERY, ask};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::{JobId, JobReply, JobRequest, Jobs, Operations, Reply};

/// Make dead letters ready again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints how many. Their budgets are full again, their errors are kept. Exits with 3 at the first id
that is no dead letter of the topic; those before it were replayed. With --all it goes on until it has
replayed as many as there were at the start: those that die again meanwhile may stay.

Examples:
  wakeful job replay resize 17 23
  wakeful job replay resize --all")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    topic: Topic,
    /// These
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<JobId>,
    /// As many as there are now, the oldest first
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

impl ReplayArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let topic = self.topic.topic;
        let mut changed = (0, false);
        if self.all {
            let dead = jobs.topic_info(&topic).await?.dead;
            let request = JobRequest::Replay { topic: topic.clone(), id: None };
            changed = all(&request, dead, jobs, out.json()).await?;
        }
        for id in self.ids {
            let request = JobRequest::Replay { topic: topic.clone(), id: Some(id) };
            changed.0 += ask::changed(jobs, request).await?.0;
        }
        show(changed, out);
        Ok(Exit::Done)
    }
}

/// Does `request` again until there is no more to do, or `most` are changed, as there may be more for
/// ever; says how far it is, also if the rest is refused. Returns how many were changed, and whether
/// there may be more.
pub(crate) async fn all(
    request: &JobRequest,
    most: u64,
    jobs: &impl Operations,
    quiet: bool,
) -> Result<(u64, bool), Failure> {
    let (mut total, mut said) = (0, Instant::now());
    loop {
        let changed = ask::changed(jobs, request.clone()).await;
        let (count, more) = changed.inspect_err(|_| {
            if total > 0 && !quiet {
                notice(format_args!("{total} jobs were changed before this:"));
            }
        })?;
        total += count;
        if !more || total >= most {
            return Ok((total, more));
        }
        if said.elapsed() >= SAY_EVERY && !quiet {
            said = Instant::now();
            notice(format_args!("{total} jobs"));
        }
    }
}

/// Prints how many jobs were changed, and in JSON whether there may be more.
pub(crate) fn show((count, more): (u64, bool), out: &mut Output) {
    if out.json() {
        out.reply(&Reply::Job(JobReply::Changed { count, more }));
    } else {
        out.line(count);
    }
}
