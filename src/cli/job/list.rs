//! `wakeful job ls`

use super::options::TopicArgs;
use super::spec::{parse_state, state_name};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::table::{ColumnKind, Table};
use crate::rpc::proto::SerializeWire;
use crate::{Blob, Error, JobInfo, JobState, Jobs, Operations};

/// List the jobs of a topic
///
/// Prints a table: the id, the state, the number of runs, failures and losses, and the index.
/// Without --state it lists unfinished jobs. Jobs in one state are in order of id. Payloads are
/// omitted; `job get` shows one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job ls resize
  wakeful job ls resize --state dead --limit 10
  wakeful job ls resize --state done --json | jq .output")]
pub(crate) struct JobListArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// List jobs in this state only: ready, delayed, reserved, done, dead or cancelled
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Option<JobState>,
    /// List up to N jobs [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl JobListArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let states = match self.state {
            Some(state) => vec![state],
            None => JobState::ALL.into_iter().filter(|state| !state.is_finished()).collect(),
        };
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut table = Table::new(COLUMNS, out);
        for state in states {
            let mut pages = Pages::new(&self.topic.topic, state);
            while let Some(page) = pages.next(left, jobs).await? {
                if out.json() {
                    page.iter().for_each(|job| out.object(&job.shown()));
                } else {
                    table.print(page.iter().map(row).collect(), out);
                }
                left -= page.len() as u64;
                out.flush().await?;
            }
            if pages.more && !out.json() {
                notice("there are more jobs; raise --limit to see them");
                break;
            }
        }
        Ok(Exit::Done)
    }
}

/// The jobs of a topic in one state, page by page.
pub(super) struct Pages<'a> {
    topic: &'a Blob,
    state: JobState,
    after: u64,
    /// True if there are jobs that were not returned.
    pub(super) more: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(topic: &'a Blob, state: JobState) -> Self {
        Self { topic, state, after: 0, more: true }
    }

    /// Returns the next page, of up to `left` jobs; `None` after the last.
    pub(super) async fn next(
        &mut self,
        left: u64,
        jobs: &impl Operations,
    ) -> Result<Option<Vec<JobInfo>>, Error> {
        /// Below any sensible `queue.list_jobs_max`: request this many exactly.
        const FEW: u64 = 100;
        if !self.more || left == 0 {
            return Ok(None);
        }
        let limit = if left <= FEW { left as usize } else { 0 };
        let mut page = jobs.list_jobs(self.topic, self.state, self.after, limit).await?;
        let cut = page.jobs.len() as u64 > left;
        page.jobs.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.more = cut || page.more && page.after > self.after;
        self.after = page.after;
        Ok(Some(page.jobs).filter(|jobs| !jobs.is_empty()))
    }
}

const COLUMNS: [(&str, ColumnKind); 6] = [
    ("ID", ColumnKind::Number),
    ("STATE", ColumnKind::Word),
    ("RUNS", ColumnKind::Number),
    ("FAILURES", ColumnKind::Number),
    ("LOSSES", ColumnKind::Number),
    ("INDEX", ColumnKind::Name),
];

fn row(job: &JobInfo) -> [String; 6] {
    [
        job.id.to_string(),
        state_name(job.state).to_owned(),
        job.epoch.to_string(),
        job.failures.to_string(),
        job.losses.to_string(),
        job.index.as_ref().map_or(String::new(), Blob::to_string),
    ]
}
