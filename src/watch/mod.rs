//! Waits and watches: who waits for which keys.
//!
//! Pure so far: no clock, no I/O, no actors. [`Registry`] tells whom a changed key concerns; what
//! a watcher is, and what it is told, is the caller's.

mod interval_tree;
mod registry;
mod watcher_set;

pub(crate) use registry::Registry;
pub(crate) use watcher_set::WatcherIndex;
