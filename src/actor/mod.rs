//! The actors: thin wiring around the pure hub of store and watchers.
//!
//! [`StoreActor`] owns the hub and does what is asked of it, a batch at a time; each parked wait
//! and each stream of watches has a `WatchSession`, which hands its answer or its batches to
//! whoever waits: a connection, a future or another actor. [`message`] lists what they take.

mod backlog;
mod caller;
mod clock;
mod job_guard;
mod kept;
mod lease_guard;
mod ledger;
mod log;
pub mod message;
mod queue;
mod session;
mod settling;
mod snapshot;
mod storage;
mod store;
#[cfg(test)]
mod tests;
mod turn;
mod vital;
mod withheld;
mod work;

pub use store::StoreActor;

pub(crate) use clock::Clock;
pub(crate) use kept::{admit_later, answer_bytes, done_bytes, each_blob, outcome_bytes, refusal};
pub(crate) use ledger::Ledger;
pub(crate) use log::SharedLog;
pub(crate) use queue::QueueActor;
pub(crate) use session::{Outlet, WatchSession};
pub(crate) use snapshot::OtherRooms;
pub(crate) use storage::StorageActor;
pub(crate) use store::ServiceFacts;
pub(crate) use vital::Vital;
pub(crate) use withheld::AnswerSink;
