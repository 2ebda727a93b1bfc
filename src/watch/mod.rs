//! Waits and watches: finding those that a key concerns, and what they are shown.
//!
//! [`Hub`] combines the store with its watchers, and is as pure as the store: requests, waits and
//! time come in; replies, answers and batches go out. [`WatcherRegistry`] finds the watchers that a
//! changed key concerns.
//!
//! # Design
//!
//! - `WatcherRegistry` finds exact keys by hash, prefixes by hash per distinct length, and other ranges
//!   in an interval tree (AVL, CLRS 14.3). The cost of an event does not depend on which other
//!   keys are watched.
//! - Watchers are notified of an event in slices (`notices`). Until all of them are, no watch is shown
//!   anything, no wait times out, and none is added, so clients cannot observe the slices.
//! - A wait examines its state in slices (`search`): keys as they are visible, or the history. The
//!   number of keys that existed at a revision is computed back from those that exist now, by the
//!   events since.
//! - While a large write is applied, the hub lets only reads pass; while its watchers are notified,
//!   reads and, with a journal, writes (`ask`). The actor keeps other messages in its backlog.
//! - A wait is a `Watcher` with a condition and a deadline. A stream has any number of watch ids,
//!   each a `Watcher` with a cursor. Both share one slab, one registry and one set of deadlines.
//! - A cursor is enough: there is no queue of events per watcher. A stream reads a batch from the
//!   history when its consumer has credit.
//! - A snapshot is read page by page *at its revision*, while writes continue; then the watch
//!   continues as a cursor from the next event. No copy, no lock, no gap.

mod ask;
mod batch;
mod collect;
mod hub;
mod interval_tree;
mod notices;
mod paused;
mod registry;
mod search;
mod slot_set;
mod stream;
mod wait;
mod watcher;
mod watcher_set;

#[cfg(test)]
mod tests;

pub(crate) use batch::{EventBatch, WatchDelivery, WatchUpdate};
pub(crate) use hub::{Hub, NextBatch};
#[cfg(any(test, feature = "internals"))]
pub(crate) use registry::WatcherRegistry;
pub(crate) use wait::WaitStart;
pub(crate) use watcher::{View, WatchOwner, WatcherHandle};
