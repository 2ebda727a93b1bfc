//! `wakeful compact`

use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{Operations, Reply, Revision};

/// Discard the history before a revision
///
/// REV becomes the oldest revision that can be read or watched from. Current keys are unchanged.
/// The server also compacts by itself, past store.history_revisions_max and history_bytes_max.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful compact 1000")]
pub(crate) struct CompactArgs {
    /// The oldest revision to keep
    #[arg(value_name = "REV")]
    revision: Revision,
}

impl CompactArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let reply = store.compact(self.revision).await?;
        if out.json() {
            out.reply(&Reply::Compact(reply));
        } else {
            out.line(format_args!("oldest {} (revision {})", reply.oldest, reply.revision));
        }
        Ok(Exit::Done)
    }
}
