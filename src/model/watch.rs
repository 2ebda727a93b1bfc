//! Requests that await changes: one change (`wait`), or all of them (`watch`).

use std::sync::Arc;
use std::time::Duration;

use super::{Blob, Event, KeyRange, KeyValue, Revision};

/// Waits for one change; answered with one [`WaitOutcome`].
///
/// Without `after`, the wait first checks the current state: a condition that already holds is answered
/// at once (`Changed` never holds yet). With `after`, only events of later revisions count, beginning
/// with those in the history: the answer is the first event that makes the condition hold. A loop that
/// passes the revision of each answer on as the next `after` therefore misses no revision; if several
/// events of one revision meet the condition, it gets the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRequest {
    /// The keys; [`KeyRange::all`] for any key.
    pub range: KeyRange,
    /// The condition to wait for.
    pub condition: WaitCondition,
    /// Consider only events after this revision, exclusive: `oldest - 1 ..= current`. `None` for from
    /// now on.
    pub after: Option<Revision>,
    /// The longest wait, up to `watch.wait_timeout_max`, whole milliseconds; `None` for
    /// `watch.wait_timeout_default`.
    pub timeout: Option<Duration>,
}

impl WaitRequest {
    /// Waits until a key of `range` changes.
    pub fn new(range: KeyRange) -> Self {
        Self { range, condition: WaitCondition::Changed, after: None, timeout: None }
    }
}

/// The condition of a wait. On a range, it must hold for any one key, except `Absent`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitCondition {
    /// A key is set or deleted.
    Changed,
    /// A key exists.
    Exists,
    /// The key does not exist; on a range, none of the keys exists.
    Absent,
    /// A key has this value.
    Equals(Blob),
    /// A key has another value. A deleted key, and a single key that does not exist, count as having
    /// another value.
    Differs(Blob),
    /// A key has a mod revision above this one; a delete counts.
    ModRevisionAbove(Revision),
}

/// The answer to a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The condition holds.
    Met {
        /// The revision at which the condition was found to hold; pass it as the next `after`.
        revision: Revision,
        /// The event that met the condition; if it already held, the key as a put, if the key exists.
        event: Option<Event>,
    },
    /// The timeout has passed.
    Timeout {
        /// Everything up to this revision was considered; pass it as the next `after`.
        revision: Revision,
    },
}

/// Watches keys: a stream of [`WatchItem`]s that ends only with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// The keys.
    pub range: KeyRange,
    /// The start of the watch.
    pub from: WatchFrom,
    /// Include sets; true by default.
    pub puts: bool,
    /// Include deletes; true by default.
    pub deletes: bool,
    /// Include each key as it was before.
    pub previous: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// The interval of [`WatchItem::Progress`], sent while the watch is up to date; at least
    /// `watch.progress_interval_min`.
    pub progress: Option<Duration>,
    /// The delivery to a slow consumer.
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

/// The start of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchFrom {
    /// Everything after the current revision.
    Now,
    /// Everything from this revision on, inclusive: `oldest ..= current + 1`.
    Revision(Revision),
    /// The current state, a marker, and everything after it.
    Snapshot,
}

/// The delivery to a slow consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Every event, in revision order.
    All,
    /// Only the newest event of each key, with the number of skipped events. Revisions may be split.
    Latest,
}

/// An item of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchItem {
    /// Part of the current state, in key order, before [`WatchItem::SnapshotEnd`].
    Snapshot {
        /// Revision of the state.
        revision: Revision,
        /// A part of the keys.
        kvs: Vec<Arc<KeyValue>>,
    },
    /// The current state is complete; events follow.
    SnapshotEnd {
        /// Revision of the state; the events are of later revisions.
        revision: Revision,
    },
    /// Whole revisions, in order.
    Events {
        /// Everything up to this revision has been shown; resume from the next one.
        revision: Revision,
        /// The events, at least one.
        events: Vec<Event>,
        /// With [`Delivery::Latest`]: the number of events left out in favour of newer ones.
        skipped: u64,
    },
    /// There is nothing new.
    Progress {
        /// Everything up to this revision has been shown; resume from the next one.
        revision: Revision,
    },
}
