//! The actors: thin wiring around the pure cores.
//!
//! [`StoreActor`] owns the hub and executes requests, one batch at a time. Each parked wait and
//! each stream of watches has a `WatchSession`, which passes its answer or its batches on to a
//! connection, a future or another actor. [`message`] lists the messages.
//!
//! # Design
//!
//! - There is one `StoreActor`. The store holds the only address of each `WatchSession`, so
//!   dropping a watcher ends its actor.
//! - The store and all connections share one arbiter, because a hop between threads costs more
//!   than the work.
//! - The actors of a service share one journal through `SharedLog`. They run on one thread, and
//!   each hands over what it changed before its turn ends, so a snapshot taken in between finds
//!   each state as its records have it. A record names the state it belongs to; each state
//!   replays its own records.
//! - `StorageActor` and `QueueActor` do not commit atomically: a result is recorded before its
//!   job is done, a cancel is answered when it is recorded, and a start compares the two.
//!   Requests to the storage follow everything that finished in the same turn.
//! - `DurabilityQueue` holds back answers that show what is not durable yet: in one queue until they may
//!   be shown at all, with the service's durability, and in another if their requests asked for
//!   the disk.
//! - Mailboxes do not bound `send`, so the callers do: a connection has one message in flight, a
//!   stream one batch. Timers starve while a mailbox is busy, so actors check for due work after
//!   every message. Every `do_send` states its bound.
//! - A turn ends after `rpc.turn_max` (`pace`): the store leaves the rest of a
//!   message in its `Backlog`, connections stop reading, and both continue when the runtime has
//!   polled the sockets, which by itself it does only every 61 tasks. The queue finishes the rest
//!   of a message before any other message.
//! - **Fail-stop.** The three actors that own data hold a `FailStop` each. If one is dropped before
//!   its actor was told to end, it closes the log as it is, so that no snapshot is written of the
//!   state after a panic, and [`Wakeful::failed`](crate::Wakeful::failed) completes. The
//!   journal's threads do the same.

mod answer_bytes;
mod awaited;
mod awaiting_durability;
mod backlog;
mod caller;
mod clock;
mod durability_queue;
mod fail_stop;
mod job_guard;
mod lease_guard;
mod log;
pub mod message;
mod queue;
mod reply_buffer;
mod session;
mod settling;
mod snapshot;
mod storage;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
mod work;

pub use store::StoreActor;

pub(crate) use answer_bytes::{
    admit_later, answer_bytes, done_bytes, each_blob, outcome_bytes, refusal,
};
pub(crate) use awaiting_durability::AnswerSink;
pub(crate) use clock::Clock;
pub(crate) use durability_queue::DurabilityQueue;
pub(crate) use fail_stop::FailStop;
pub(crate) use log::SharedLog;
pub(crate) use queue::QueueActor;
pub(crate) use reply_buffer::{LARGE_BYTES_MIN, ReplyBuffer, ReplyEncoder};
pub(crate) use session::{Outlet, WatchSession};
pub(crate) use snapshot::OtherState;
pub(crate) use storage::StorageActor;
pub(crate) use store::ServerFacts;
