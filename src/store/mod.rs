//! The key-value store: a pure state machine of keys, history, leases and idempotency keys.
//!
//! [`StoreState`] applies requests; [`History`] holds the events of past revisions. Time is an argument,
//! and events are read from the history. Nothing here uses actix, tokio, a clock or I/O.
//!
//! # Design
//!
//! - Every write transaction takes the next revision. A write is checked completely before it
//!   begins, so a request that is refused at a limit has changed nothing.
//! - A hash table finds a key. Two ordered indexes, one of existing keys and one of keys that
//!   only the history contains, serve ranges at the current and at past revisions. There are two,
//!   so that a range at the current revision never steps over tombstones. Both are counted in
//!   chunks (`order`): a count adds up chunks, and a range of the past skips chunks whose keys
//!   were all deleted before.
//! - A request takes what it examines off its `StepBudget` (`step_budget`), one budget for all its
//!   operations. State and hub add up the steps of all requests, so that tests judge cost without
//!   a clock.
//! - `History` is one queue of events, which grows and shrinks by chunks (`chunked_queue`); a cursor is a sequence number. Each event links to the
//!   next event of its key, so a watch of one key never scans. A key's `Trail` has a mark every
//!   32 events, so its state at any revision is found in logarithmic time. An event holds the
//!   version before it, so compaction never has to keep a version.
//! - `prefetch` looks up the keys of one batch side by side, because each look-up alone is a chain of
//!   cache misses. `version_pool` keeps a few recently freed versions for sets to reuse.
//! - A write of more than `store.slice_max` events is applied in slices (`large`). Its events are
//!   applied and not visible, as those that wait for the journal are, until the last one is there.
//! - Anything that could take long is sliced (`store.slice_max`): mass expiry, freeing compacted
//!   memory, searching the history for a wait, freeing a stream. The store offers slices and
//!   steps, and the actor measures turns and yields between them (`pace`).
//! - A new version goes to memory that no cache holds, because a history of a million revisions
//!   (`store.history_revisions_max`) exceeds every cache. That bounds the rate of sets. Jump
//!   pointers in the history were replaced by marked trails when a profile showed a quarter of
//!   each set spent on placing them.

mod capacity;
mod change;
mod chunked_queue;
mod error;
mod fingerprint;
mod history;
mod idempotency;
mod journaled;
mod keyspace;
mod large;
mod lease;
mod lease_keys;
mod order;
mod prefetch;
mod read;
mod set_view;
mod shares;
mod snapshot;
mod state;
mod step_budget;
mod txn;
mod version_pool;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use error::StoreError;
pub(crate) use fingerprint::client_of_user;
pub(crate) use history::{EventSeq, HistoryEntry};
pub(crate) use idempotency::IdempotentWrite;
pub(crate) use journaled::Mark;
pub(crate) use large::Completed;
pub(crate) use lease_keys::LeaseBinding;
pub(crate) use read::PageCapacity;
pub(crate) use shares::Shares;
pub(crate) use snapshot::StoreSnapshot;
pub(crate) use state::StoreState;
pub(crate) use step_budget::StepBudget;
