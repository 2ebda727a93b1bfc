//! Keys: the pure state machine under everything.
//!
//! [`State`] applies requests; [`History`] holds what past revisions did. Time comes in as an
//! argument, events are read from the history; nothing here knows actix, tokio, a clock or I/O.

mod change;
mod error;
mod fingerprint;
mod history;
mod idempotency;
mod journaled;
mod keyspace;
mod lease;
mod lease_keys;
mod order;
mod read;
mod room;
mod shares;
mod snapshot;
mod spare;
mod state;
mod steps;
mod txn;
mod warm;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use error::StoreError;
pub(crate) use fingerprint::share_of;
pub(crate) use history::{Entry, Seq};
pub(crate) use idempotency::{Once, ShareId};
pub(crate) use journaled::Mark;
pub(crate) use read::PageRoom;
pub(crate) use shares::Shares;
pub(crate) use snapshot::Snapshot;
pub(crate) use state::State;
pub(crate) use steps::Steps;

/// Microseconds since the service started.
pub(crate) type Micros = u64;
