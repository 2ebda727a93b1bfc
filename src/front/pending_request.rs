//! [`PendingRequest`]: a request of a connection that was handed to the store.

use crate::auth::Access;
use crate::model::KeyRange;
use crate::watch::WatcherHandle;

/// A request that was handed to the store and has no answer yet.
pub(super) struct PendingRequest {
    pub(super) id: u64,
    pub(super) about: Purpose,
    /// The scope of a wait or watch, to check its permission again; only on a server with users.
    pub(super) awaits: Option<Box<PendingWatch>>,
}

/// The identity and scope of a wait or watch.
pub(super) struct PendingWatch {
    /// The id of a watch; 0 for a wait.
    pub(super) watch_id: u64,
    pub(super) interest: WatchScope,
}

/// The keys that a wait or watch must be permitted for as long as it lasts.
pub(super) struct WatchScope {
    pub(super) range: KeyRange,
    /// True if the watch reads existing keys or events, some of which may still have to be sent.
    pub(super) reads: bool,
}

impl WatchScope {
    pub(super) fn is_denied(&self, access: &Access) -> bool {
        access.permits_interest(&self.range, self.reads).is_err()
    }
}

/// A parked wait.
pub(super) struct UnansweredWait {
    pub(super) handle: WatcherHandle,
    /// The scope of the wait; only on a server with users.
    pub(super) interest: Option<WatchScope>,
}

#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Plain,
    /// Reads part of a file, so the answer is large.
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
