//! `wakeful job free-index`

use super::options::TopicArgs;
use super::slices;
use crate::cli::argument::bytes;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::{Blob, Jobs, Operations};

/// Free the index of a finished job, so that it can be pushed again
///
/// For an index that stays taken after its job (`job push --unique 1h`). Prints `freed INDEX`.
/// Exits with 3 if the index is free, with 1 while its job is unfinished: `job cancel TOPIC --index
/// INDEX` cancels that job and frees its index.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful job free-index resize photo-17")]
pub(crate) struct FreeIndexArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// The index
    #[arg(value_name = "INDEX", value_parser = bytes())]
    index: Blob,
}

impl FreeIndexArgs {
    pub(super) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let Self { topic: TopicArgs { topic }, index } = self;
        if !jobs.free_index(&topic, &index).await? {
            let free = format!(
                "the index `{index}` of topic {topic} is already free; nothing was changed"
            );
            return Err(Failure::not_found(free));
        }
        if out.json() {
            slices::show((1, false), out);
        } else {
            out.line(format_args!("freed {index}"));
        }
        Ok(Exit::Done)
    }
}
