//! [`PendingRequest`]: what a connection has asked of the store.

use crate::auth::Access;
use crate::model::KeyRange;
use crate::watch::WatcherHandle;

/// A request handed to the store.
pub(super) struct PendingRequest {
    pub(super) id: u64,
    pub(super) about: Purpose,
    /// Of waits and watches, where there are users; to see whether they are permitted still.
    pub(super) awaits: Option<Box<PendingWatch>>,
}

/// What a wait, or a watch, is about.
pub(super) struct PendingWatch {
    /// Of a watch.
    pub(super) watch_id: u64,
    pub(super) interest: WatchScope,
}

/// What a wait, or a watch, needs for as long as it lasts.
pub(super) struct WatchScope {
    pub(super) range: KeyRange,
    /// It began with what there was, some of which may be still to be shown.
    pub(super) reads: bool,
}

impl WatchScope {
    pub(super) fn is_denied(&self, access: &Access) -> bool {
        access.permits_interest(&self.range, self.reads).is_err()
    }
}

/// A wait without its answer.
pub(super) struct UnansweredWait {
    pub(super) handle: WatcherHandle,
    /// What it is about, where there are users.
    pub(super) interest: Option<WatchScope>,
}

#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Plain,
    /// Reads a part of a file.
    File,
    Open {
        window_bytes: u32,
    },
    Add {
        stream: u64,
    },
    Cancel {
        stream: u64,
        watch_id: u64,
    },
}
