//! `wakeful job pause` and `wakeful job resume`

use super::options::TopicArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{Blob, Jobs, Operations};

/// Stop handing out the jobs of a topic
///
/// Pushes are still accepted, and reserved jobs continue. The pause survives a restart of the
/// server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful job pause resize")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    topic: TopicArgs,
}

/// Resume handing out the jobs of a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful job resume resize")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    topic: TopicArgs,
}

impl PauseArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        pause(self.topic.topic, true, jobs, out).await
    }
}

impl ResumeArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        pause(self.topic.topic, false, jobs, out).await
    }
}

async fn pause(
    topic: Blob,
    paused: bool,
    jobs: &impl Operations,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let info = jobs.pause_topic(topic, paused).await?;
    if out.json() {
        out.object(&info.shown());
    } else {
        let what = if info.paused { "paused" } else { "resumed" };
        out.line(format_args!("{what} {}", info.name));
    }
    Ok(Exit::Done)
}
