//! `wakeful del`

use clap::ArgGroup;

use super::argument::Selection;
use super::asks::{self, Asks};
use super::del_slices::{self, Slices};
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{DeleteReply, DeleteRequest, Operations, Reply, Request};

/// Delete keys, all in one revision
#[derive(Debug, clap::Args)]
// To delete everything by leaving something out would be too easy.
#[command(group = ArgGroup::new("which").args(["key", "all"]).required(true))]
#[command(after_help = "\
Prints how many keys were deleted. Exits with 3 if there were none.

More keys than one revision may change (store.revision_events_max) are deleted in parts, each a
revision of its own: asked for at a terminal, or with --yes. Keys that are set meanwhile may stay.
With --json each part is an object; with --previous the count comes last.

Examples:
  wakeful del greeting
  wakeful del jobs/ --prefix
  wakeful del a --to c                     from a up to, and without, c
  wakeful del --all --yes
  wakeful del greeting --previous          prints the key and the value it had, too")]
pub(crate) struct DelArgs {
    #[command(flatten)]
    selection: Selection,
    /// Print the keys as they were before: one a line, a tab between key and value
    #[arg(long)]
    previous: bool,
    /// Delete in parts what is too much for one revision, without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    asks: Asks,
}

impl DelArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        if self.selection.has_empty_key() {
            return Err(Failure::usage(
                "KEY is empty, as a variable without a value is; --all deletes every key",
            ));
        }
        let Self { previous, yes, asks, .. } = self;
        let range = self.selection.range();
        let shown = range.to_string();
        let request = DeleteRequest { range: range.clone(), return_previous: previous };
        let deleted = match asks.call(store, Request::Delete(request), out.json()).await {
            Ok(done) => {
                let Reply::Delete(reply) = &done.reply else { return Err(asks::unfit().into()) };
                if out.json() {
                    out.written(&done);
                } else {
                    out.line(reply.deleted);
                    show_previous(reply, out);
                }
                reply.deleted
            }
            Err(error) if del_slices::would_help(&error, &range) => {
                let slices = Slices { range, previous, asks, store };
                slices.agree(error, yes, out).await?;
                slices.delete(out).await?
            }
            Err(error) => return Err(error.into()),
        };
        if deleted > 0 {
            return Ok(Exit::Done);
        }
        out.flush().await?;
        Err(Failure::not_found(format!("nothing deleted: there is no key `{shown}`")))
    }
}

/// Prints the keys as they were before.
pub(super) fn show_previous(reply: &DeleteReply, out: &mut Output) {
    for kv in &reply.previous {
        out.line(format_args!("{}\t{}", kv.key, kv.value));
    }
}
