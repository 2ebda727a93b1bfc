//! `wakeful set`

use std::time::Duration;

use super::argument::{bytes, parse_duration};
use super::durability_args::{self, DurabilityArgs};
use super::failure::{Exit, Failure};
use super::input;
use super::output::Output;
use crate::{Blob, KvRequest, LeaseId, Operations, Reply, SetReply, SetRequest};

/// Set a key, unless it already has that value
///
/// Prints `revision N`, followed by `(unchanged)` if the key had the value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful set greeting hello
  wakeful set lock $$ --ttl 30s            deleted after 30 s unless set again
  wakeful set config - < config.toml       the value from standard input
  wakeful set beat now --always            a new revision in any case
  wakeful set worker/1 up --lease 42       deleted when lease 42 ends
  wakeful set order/7 paid --durability fsync    answered once on the disk
  wakeful set flags -- --verbose           a value that looks like an option")]
pub(crate) struct SetArgs {
    /// The key
    #[arg(value_name = "KEY", value_parser = bytes())]
    key: Blob,
    /// The value; - reads standard input, including a newline at its end
    #[arg(value_name = "VALUE", value_parser = bytes(), allow_negative_numbers = true)]
    value: Blob,
    /// Delete the key after this time, as in 30s, 5m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "lease")]
    ttl: Option<Duration>,
    /// Delete the key when this lease ends
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    lease: LeaseId,
    /// Set the key, and make a revision, even if it already has that value
    #[arg(long)]
    always: bool,
    /// Also print the previous value
    #[arg(long)]
    previous: bool,
    #[command(flatten)]
    asks: DurabilityArgs,
}

impl SetArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let value = if self.value == "-" { input::read_stdin(store).await? } else { self.value };
        let request = SetRequest {
            key: self.key,
            value,
            lease: self.lease,
            ttl: self.ttl,
            only_if_changed: !self.always,
            return_previous: self.previous,
        };
        let done = self.asks.call(store, KvRequest::Set(request), out.json()).await?;
        let Reply::Set(reply) = &done.reply else {
            return Err(durability_args::unexpected_reply().into());
        };
        if out.json() {
            out.written(&done);
        } else {
            out.line(format_args!("revision {}{}", reply.revision, unchanged(reply)));
            match &reply.previous {
                _ if !self.previous => {}
                Some(kv) => out.line(format_args!("previous {}", kv.value)),
                None => out.line("no previous"),
            }
        }
        Ok(Exit::Done)
    }
}

pub(crate) fn unchanged(reply: &SetReply) -> &'static str {
    if reply.changed { "" } else { " (unchanged)" }
}
