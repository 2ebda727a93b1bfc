//! `wakeful del`

use clap::ArgGroup;

use super::argument::Selection;
use super::del_slices::{self, Slices};
use super::durability_args::{self, DurabilityArgs};
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{DeleteReply, DeleteRequest, KvRequest, Operations, Reply};

/// Delete keys, all in one revision
///
/// Prints the number of deleted keys. Exits with 3 if there were none.
///
/// More keys than one revision may change (store.revision_events_max) are deleted in parts, each a
/// revision of its own, after a confirmation at the terminal or with --yes. Keys set in the
/// meantime may remain. With --json each part is an object; with --previous the count comes last.
#[derive(Debug, clap::Args)]
// Omitting an argument must not delete everything.
#[command(group = ArgGroup::new("which").args(["key", "all"]).required(true))]
#[command(after_help = "\
Examples:
  wakeful del greeting
  wakeful del jobs/ --prefix
  wakeful del a --to c                     from a up to, but without, c
  wakeful del --all --yes
  wakeful del greeting --previous          also prints key and value")]
pub(crate) struct DelArgs {
    #[command(flatten)]
    selection: Selection,
    /// Also print each key and its last value, a tab between them
    #[arg(long)]
    previous: bool,
    /// Delete in parts, without asking, if one revision cannot hold it all
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    asks: DurabilityArgs,
}

impl DelArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        if self.selection.has_empty_key() {
            return Err(Failure::usage(
                "KEY is empty (an unset variable?); --all deletes every key",
            ));
        }
        let Self { previous, yes, asks, .. } = self;
        let range = self.selection.range();
        let shown = range.to_string();
        let request = DeleteRequest { range: range.clone(), return_previous: previous };
        let deleted = match asks.call(store, KvRequest::Delete(request), out.json()).await {
            Ok(done) => {
                let Reply::Delete(reply) = &done.reply else {
                    return Err(durability_args::unexpected_reply().into());
                };
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
        Err(Failure::not_found(format!("nothing deleted: no key `{shown}`")))
    }
}

/// Prints the keys with the values they had before.
pub(super) fn show_previous(reply: &DeleteReply, out: &mut Output) {
    for kv in &reply.previous {
        out.line(format_args!("{}\t{}", kv.key, kv.value));
    }
}
