//! The durability that writing commands ask for, and the report of what the server gave.

use super::output::notice;
use crate::{CallOptions, CallReply, Durability, Error, Operations, Request};

/// Options of every command that writes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct DurabilityArgs {
    /// Wait until the write has this durability
    ///
    /// It is never less than that of the server
    #[arg(long, value_name = "LEVEL")]
    durability: Option<RequestedDurability>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RequestedDurability {
    /// On the disk
    Fsync,
    /// In the operating system
    Interval,
}

impl DurabilityArgs {
    /// Sends a write. Prints a notice if the server keeps nothing on disk, so that the write is
    /// less durable than asked for.
    pub(crate) async fn call(
        self,
        store: &impl Operations,
        request: impl Into<Request>,
        json: bool,
    ) -> Result<CallReply, Error> {
        let durability = self.durability.map(|level| match level {
            RequestedDurability::Fsync => Durability::Fsync,
            RequestedDurability::Interval => Durability::Interval,
        });
        let options = CallOptions { idempotency: None, durability };
        let reply = store.call_with(request.into(), options).await?;
        if reply.durability < durability && !json {
            notice("less durable than asked for: the server keeps everything in memory");
        }
        Ok(reply)
    }
}

/// Returns the error for a reply that does not belong to the request.
pub(crate) fn unexpected_reply() -> Error {
    Error::new(crate::ErrorCode::Internal, "the reply does not fit the request")
}
