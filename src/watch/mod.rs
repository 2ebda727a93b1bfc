//! Waits and watches: who waits for which keys, and what they are shown.
//!
//! [`Hub`] is the store together with its watchers, pure as the store is: requests, waits and
//! time come in; replies, answers and batches go out. [`Registry`] tells whom a changed key
//! concerns.

mod batch;
mod collect;
mod hub;
mod interval_tree;
mod paused;
mod places;
mod registry;
mod search;
pub mod specimen;
mod stream;
mod wait;
mod watcher;
mod watcher_set;

#[cfg(test)]
mod tests;

pub(crate) use batch::{Batch, Delivery, News};
pub(crate) use hub::{Hub, NextBatch};
pub(crate) use wait::WaitStart;
pub(crate) use watcher::{Handle, Owner, View};
