//! `wakeful del`

use clap::ArgGroup;

use super::argument::Selection;
use super::asks::{self, Asks};
use super::failure::{Exit, Failure};
use super::json::Object;
use super::output::Output;
use crate::{DeleteReply, DeleteRequest, Operations, Reply, Request};

/// Delete keys, all in one revision
#[derive(Debug, clap::Args)]
// To delete everything by leaving something out would be too easy.
#[command(group = ArgGroup::new("which").args(["key", "all"]).required(true))]
#[command(after_help = "\
Prints how many keys were deleted. Exits with 3 if there were none.

Examples:
  wakeful del greeting
  wakeful del jobs/ --prefix
  wakeful del a --to c                     from a up to, and without, c
  wakeful del --all
  wakeful del greeting --previous          prints the key and the value it had, too")]
pub(crate) struct DelArgs {
    #[command(flatten)]
    selection: Selection,
    /// Print the keys as they were before: one a line, a tab between key and value
    #[arg(long)]
    previous: bool,
    #[command(flatten)]
    asks: Asks,
}

impl DelArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let range = self.selection.range();
        let shown = range.to_string();
        let request = DeleteRequest { range, return_previous: self.previous };
        let done = self.asks.call(store, Request::Delete(request), out.json()).await?;
        let Reply::Delete(reply) = done.reply else { return Err(asks::unfit().into()) };
        if out.json() {
            let object = object(Object::new(), &reply, self.previous);
            out.object(asks::durable(object, done.durability));
        } else {
            out.line(reply.deleted);
            for kv in &reply.previous {
                out.line(format_args!("{}\t{}", kv.key, kv.value));
            }
        }
        if reply.deleted > 0 {
            return Ok(Exit::Done);
        }
        out.flush().await?;
        Err(Failure::not_found(format!("nothing deleted: there is no key `{shown}`")))
    }
}

pub(crate) fn object(object: Object, reply: &DeleteReply, previous: bool) -> Object {
    let object = object.number("revision", reply.revision).number("deleted", reply.deleted);
    if !previous {
        return object;
    }
    let previous =
        reply.previous.iter().map(|kv| Object::new().bytes("key", &kv.key).state(kv, false));
    object.list("previous", previous)
}
