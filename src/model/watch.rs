//! What can be awaited: one change (`wait`), or all of them (`watch`).

use std::sync::Arc;
use std::time::Duration;

use super::{Blob, Event, KeyRange, KeyValue, Revision};

/// Waits for one change; answered by one [`WaitOutcome`].
///
/// Without `after`, the present state is looked at first: a condition that already holds is
/// answered at once (`Changed` never holds yet). With `after`, only events of later revisions
/// count, those in history first: the first that makes the condition hold is the answer. So a
/// loop that passes the revision of each answer on as the next `after` misses no revision; of a
/// revision with several events that meet the condition it is told the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRequest {
    /// Which keys; [`KeyRange::all`] for any key at all.
    pub range: KeyRange,
    /// Until what.
    pub condition: WaitCondition,
    /// Only events after this revision, exclusive: `oldest - 1 ..= current`. `None` for from now on.
    pub after: Option<Revision>,
    /// How long, up to `watch.wait_timeout_max`, whole milliseconds; `None` for
    /// `watch.wait_timeout_default`.
    pub timeout: Option<Duration>,
}

impl WaitRequest {
    /// Waits until a key of `range` changes.
    pub fn new(range: KeyRange) -> Self {
        Self { range, condition: WaitCondition::Changed, after: None, timeout: None }
    }
}

/// Until what a wait lasts. On a range of keys: until it holds for any one key of it, except
/// `Absent`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitCondition {
    /// A key is set or deleted.
    Changed,
    /// A key exists.
    Exists,
    /// The key does not exist; on a range: no key of it does.
    Absent,
    /// A key has this value.
    Equals(Blob),
    /// A key has another value. A key that is deleted, and a single key that does not exist,
    /// count as another.
    Differs(Blob),
    /// A key has a mod revision above this; a delete counts.
    ModRevisionAbove(Revision),
}

/// The answer to a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitOutcome {
    /// It holds.
    Met {
        /// Revision at which it was found to hold; pass it as the next `after`.
        revision: Revision,
        /// The event that made it hold; where it held already, the key as a put, if there is one.
        event: Option<Event>,
    },
    /// The time is over.
    Timeout {
        /// Everything up to this revision was considered; pass it as the next `after`.
        revision: Revision,
    },
}

/// Watches keys: a stream of [`WatchItem`]s that ends only with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Which keys.
    pub range: KeyRange,
    /// From where on.
    pub from: WatchFrom,
    /// Show sets; true by default.
    pub puts: bool,
    /// Show deletes; true by default.
    pub deletes: bool,
    /// Show each key as it was before, too.
    pub previous: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Show a [`WatchItem::Progress`] so often, as long as nothing is behind;
    /// at least `watch.progress_interval_min`.
    pub progress: Option<Duration>,
    /// What a consumer that is behind gets.
    pub delivery: Delivery,
}

impl WatchRequest {
    /// Watches all changes of `range` from now on.
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            from: WatchFrom::Now,
            puts: true,
            deletes: true,
            previous: false,
            keys_only: false,
            progress: None,
            delivery: Delivery::All,
        }
    }
}

/// From where on a watch shows events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchFrom {
    /// Everything after the current revision.
    Now,
    /// Everything from this revision on, inclusive: `oldest ..= current + 1`.
    Revision(Revision),
    /// The present state, a marker, and everything after it.
    Snapshot,
}

/// What a consumer that is behind gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Every event, in revision order.
    All,
    /// Only the newest event of each key, with how many were skipped. Revisions may be split.
    Latest,
}

/// What a watch yields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchItem {
    /// Part of the present state, in key order, before [`WatchItem::SnapshotEnd`].
    Snapshot {
        /// Revision of the state.
        revision: Revision,
        /// Some of its keys.
        kvs: Vec<Arc<KeyValue>>,
    },
    /// The present state is complete; events follow.
    SnapshotEnd {
        /// Revision of the state; events are of later ones.
        revision: Revision,
    },
    /// Whole revisions, in order.
    Events {
        /// Everything up to this revision has now been shown; resume from the next.
        revision: Revision,
        /// The events, at least one.
        events: Vec<Event>,
        /// With [`Delivery::Latest`]: how many events were left out for newer ones.
        skipped: u64,
    },
    /// Nothing new.
    Progress {
        /// Everything up to this revision has been shown; resume from the next.
        revision: Revision,
    },
}
