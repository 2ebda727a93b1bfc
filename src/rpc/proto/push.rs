//! Bodies of `Push` frames: new items of a stream.

use serde::{Deserialize, Serialize};

use super::{WireError, WireEvent, WireKeyValue};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WirePush<'a> {
    /// Events, each once, and the watches they are delivered to.
    Events {
        #[serde(borrow)]
        events: Vec<WireEvent<'a>>,
        deliveries: Vec<WireDelivery>,
    },
    Snapshot {
        watch_id: u64,
        revision: u64,
        #[serde(borrow)]
        kvs: Vec<WireKeyValue<'a>>,
    },
    SnapshotEnd {
        watch_id: u64,
        revision: u64,
    },
    Progress {
        watch_id: u64,
        revision: u64,
    },
    Ended {
        watch_id: u64,
        #[serde(borrow)]
        error: WireError<'a>,
    },
    /// The push of a wait, not of a stream: the wait is parked, and considers everything after this
    /// revision.
    Parked {
        revision: u64,
    },
}

/// `events[first .. first + count]` are for `watch_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireDelivery {
    pub(crate) watch_id: u64,
    /// Everything up to this revision has been shown once this delivery is complete.
    pub(crate) revision: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// Events left out for newer ones (`latest`).
    pub(crate) skipped: u64,
    /// The last revision continues in the next delivery to this watch.
    pub(crate) fragment: bool,
}
