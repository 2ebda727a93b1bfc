//! `wakeful get`

use super::argument::bytes;
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{Blob, Operations, Reply, Revision};

/// Print the value of a key
///
/// Prints the value, byte by byte, and a newline. Exits with 3 if the key does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful get greeting
  wakeful get image --raw > image.png      no newline after the value
  wakeful get greeting --revision 7        as it was after revision 7
  wakeful get greeting --json              with revisions, version and lease")]
pub(crate) struct GetArgs {
    /// The key
    #[arg(value_name = "KEY", value_parser = bytes())]
    key: Blob,
    /// Read the value as of this revision; 0 means now
    #[arg(long, value_name = "REV", default_value_t = 0, hide_default_value = true)]
    revision: Revision,
    /// Print no newline after the value
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

impl GetArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let reply = store.get_at(&self.key, self.revision).await?;
        let Some(kv) = &reply.kv else {
            let when = if self.revision == 0 { reply.revision } else { self.revision };
            let mut message = format!("no key `{}` at revision {when}", self.key);
            if self.revision == 0 {
                message += "; set it, or wait for it with `wakeful wait KEY --exists`";
            }
            return Err(Failure::not_found(message));
        };
        if out.json() {
            out.reply(&Reply::Get(reply));
        } else {
            out.bytes(&kv.value);
            if !self.raw {
                out.bytes(b"\n");
            }
        }
        Ok(Exit::Done)
    }
}
