//! What the commands that write ask of the server besides the write, and how they tell what it got.

use super::output::notice;
use crate::{CallOptions, CallReply, Durability, Error, Operations, Request};

/// Options of every command that writes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Asks {
    /// Answer only when the write is so durable; never less than what the server is run with
    #[arg(long, value_name = "LEVEL")]
    durability: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// The disk has it
    Fsync,
    /// The operating system has it
    Interval,
}

impl Asks {
    /// Does a write. Whoever gets less than was asked for, as the server keeps nothing on disk, is
    /// told so.
    pub(crate) async fn call(
        self,
        store: &impl Operations,
        request: Request,
        json: bool,
    ) -> Result<CallReply, Error> {
        let durability = self.durability.map(|level| match level {
            Level::Fsync => Durability::Fsync,
            Level::Interval => Durability::Interval,
        });
        let options = CallOptions { idempotency: None, durability };
        let reply = store.call_with(request, options).await?;
        if reply.durability < durability && !json {
            notice("not durable as asked for: the server keeps everything in memory alone");
        }
        Ok(reply)
    }
}

/// A reply of another kind than the request's.
pub(crate) fn unfit() -> Error {
    Error::new(crate::ErrorCode::Internal, "the reply does not fit the request")
}
