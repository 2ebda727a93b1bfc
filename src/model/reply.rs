//! Replies of the store, each with the revision it was made at.
//!
//! Replies may get more fields and variants: programs make them with `new` or `default` and set the
//! fields that differ.

use std::sync::Arc;
use std::time::Duration;

use super::{Blob, JobReply, KeyRange, KeyValue, LeaseId, Payload, Revision, ServiceInfo};

/// The answer to the [`Request`](super::Request) of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant answers the request of its name")]
#[non_exhaustive]
pub enum Reply {
    Set(SetReply),
    Get(GetReply),
    Range(RangeReply),
    Scan(RangeReply),
    Delete(DeleteReply),
    Txn(TxnReply),
    LeaseGrant(LeaseReply),
    LeaseKeepAlive(LeaseReply),
    LeaseRevoke(DeleteReply),
    LeaseTimeToLive(LeaseTimeToLiveReply),
    LeaseList(LeaseListReply),
    LeaseKeys(LeaseKeysReply),
    Compact(CompactReply),
    Status(Box<StatusReply>),
    Watchers(WatchersReply),
    EndWatcher,
    Snapshot(SnapshotReply),
    ReadSnapshot(Blob),
    Job(JobReply),
    Invoke(Payload),
    Services(Vec<ServiceInfo>),
    Limits(Vec<LimitInfo>),
    Gauges(Vec<GaugeInfo>),
}

/// Finds the revision in a reply; the second argument is `&mut` or empty.
macro_rules! revision {
    ($reply:expr, $($borrow:tt)*) => {
        match $reply {
            Self::Set(it) => Some($($borrow)* it.revision),
            Self::Get(it) => Some($($borrow)* it.revision),
            Self::Range(it) | Self::Scan(it) => Some($($borrow)* it.revision),
            Self::Delete(it) | Self::LeaseRevoke(it) => Some($($borrow)* it.revision),
            Self::Txn(it) => Some($($borrow)* it.revision),
            Self::LeaseGrant(it) | Self::LeaseKeepAlive(it) => Some($($borrow)* it.revision),
            Self::LeaseTimeToLive(it) => Some($($borrow)* it.revision),
            Self::LeaseList(it) => Some($($borrow)* it.revision),
            Self::LeaseKeys(it) => Some($($borrow)* it.revision),
            Self::Compact(it) => Some($($borrow)* it.revision),
            Self::Status(it) => Some($($borrow)* it.revision),
            Self::Watchers(it) => Some($($borrow)* it.revision),
            Self::Snapshot(it) => Some($($borrow)* it.revision),
            Self::EndWatcher | Self::ReadSnapshot(_) | Self::Job(_) | Self::Invoke(_) => None,
            Self::Services(_) | Self::Limits(_) | Self::Gauges(_) => None,
        }
    };
}

impl Reply {
    /// Returns the revision of the store at which the reply was made, if it has one.
    pub(crate) fn revision(&self) -> Option<Revision> {
        revision!(self,)
    }

    /// Returns the same revision, mutable.
    pub(crate) fn revision_mut(&mut self) -> Option<&mut Revision> {
        revision!(self, &mut)
    }
}

/// A limit of a service, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitInfo {
    /// The limit's dotted name, as in refusals ([`Details::Limit`](crate::Details::Limit)).
    pub name: String,
    /// The limit's value: bytes, a count, or milliseconds.
    pub value: u64,
}

impl LimitInfo {
    /// Makes a limit with this name.
    pub fn new(name: impl Into<String>, value: u64) -> Self {
        Self { name: name.into(), value }
    }
}

/// A figure of a service in addition to its [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GaugeInfo {
    /// The figure's dotted name: the name of the limit that applies to it, without `_max`.
    pub name: String,
    /// The current value.
    pub value: u64,
}

impl GaugeInfo {
    /// Makes a figure with this name.
    pub fn new(name: impl Into<String>, value: u64) -> Self {
        Self { name: name.into(), value }
    }
}

/// A snapshot that is safe on the server's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReply {
    /// The revision of the store in the snapshot.
    pub revision: Revision,
    /// The snapshot's id, valid for reads until another snapshot replaces it.
    pub id: u64,
    /// Size of the snapshot file in bytes.
    pub bytes: u64,
}

impl SnapshotReply {
    /// Makes the reply about the snapshot `id` of the store at `revision`.
    pub fn new(revision: Revision, id: u64, bytes: u64) -> Self {
        Self { revision, id, bytes }
    }
}

/// The result of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetReply {
    /// The revision that the set made, or the current one if it changed nothing.
    pub revision: Revision,
    /// Whether the set made a revision; false only with `only_if_changed`.
    pub changed: bool,
    /// The lease that the key now has; 0 for none. With `ttl`, the private lease.
    pub lease: LeaseId,
    /// The key as it was before, if requested and if it existed.
    pub previous: Option<Arc<KeyValue>>,
}

impl SetReply {
    /// Makes the reply to a set of a key without a lease that made `revision`.
    pub fn new(revision: Revision) -> Self {
        Self { revision, changed: true, lease: 0, previous: None }
    }
}

/// A key, if it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetReply {
    /// The current revision.
    pub revision: Revision,
    /// The key; `None` if it does not exist (or did not at the requested revision).
    pub kv: Option<Arc<KeyValue>>,
}

impl GetReply {
    /// Makes the reply of a store at `revision`.
    pub fn new(revision: Revision, kv: Option<Arc<KeyValue>>) -> Self {
        Self { revision, kv }
    }
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeReply {
    /// The current revision.
    pub revision: Revision,
    /// The keys, in the requested order.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether there are more after the last one.
    pub more: bool,
    /// With `count_only`, the number of keys; otherwise the number of entries in `kvs`. For a scan with
    /// `count_only`, the number counted by this part of the scan.
    pub count: u64,
    /// If there are more: the key to continue after, for [`RangeRequest::after`](crate::RangeRequest).
    pub next: Option<Blob>,
}

impl RangeReply {
    /// Makes the last page of a store at `revision`.
    pub fn new(revision: Revision, kvs: Vec<Arc<KeyValue>>) -> Self {
        let count = kvs.len() as u64;
        Self { revision, kvs, more: false, count, next: None }
    }
}

/// The result of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteReply {
    /// The revision that the delete made, or the current one if there was nothing to delete.
    pub revision: Revision,
    /// The number of deleted keys.
    pub deleted: u64,
    /// The keys as they were before, in order, if requested.
    pub previous: Vec<Arc<KeyValue>>,
}

impl DeleteReply {
    /// Makes the reply to a deletion of this many keys, without the keys themselves.
    pub fn new(revision: Revision, deleted: u64) -> Self {
        Self { revision, deleted, previous: Vec::new() }
    }
}

/// The result of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnReply {
    /// The revision that the transaction made, or the current one if it wrote nothing.
    pub revision: Revision,
    /// Whether all compares held, and so which list was executed.
    pub succeeded: bool,
    /// One reply per operation of that list, in order: `Set`, `Get`, `Range` or `Delete`.
    pub results: Vec<Reply>,
}

impl TxnReply {
    /// Makes the reply to a transaction.
    pub fn new(revision: Revision, succeeded: bool, results: Vec<Reply>) -> Self {
        Self { revision, succeeded, results }
    }
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseReply {
    /// The current revision.
    pub revision: Revision,
    /// Id of the lease.
    pub id: LeaseId,
    /// The lease's time to live, from now.
    pub ttl: Duration,
}

impl LeaseReply {
    /// Makes the reply about the lease `id`.
    pub fn new(revision: Revision, id: LeaseId, ttl: Duration) -> Self {
        Self { revision, id, ttl }
    }
}

/// The remaining time of a lease, and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseTimeToLiveReply {
    /// The current revision.
    pub revision: Revision,
    /// Id of the lease.
    pub id: LeaseId,
    /// The time to live that was granted.
    pub granted: Duration,
    /// The remaining time.
    pub remaining: Duration,
    /// The keys bound to the lease, in order: the first page;
    /// [`LeaseKeys`](crate::KvRequest::LeaseKeys) lists all.
    pub keys: Vec<Blob>,
}

impl LeaseTimeToLiveReply {
    /// Makes the reply about a new lease without keys.
    pub fn new(revision: Revision, id: LeaseId, granted: Duration) -> Self {
        Self { revision, id, granted, remaining: granted, keys: Vec::new() }
    }
}

/// A page of the keys of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseKeysReply {
    /// The current revision.
    pub revision: Revision,
    /// Keys, ascending.
    pub keys: Vec<Blob>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl LeaseKeysReply {
    /// Makes the last page.
    pub fn new(revision: Revision, keys: Vec<Blob>) -> Self {
        Self { revision, keys, more: false }
    }
}

/// A page of leases.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseListReply {
    /// The current revision.
    pub revision: Revision,
    /// Ids, ascending.
    pub leases: Vec<LeaseId>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl LeaseListReply {
    /// Makes the last page.
    pub fn new(revision: Revision, leases: Vec<LeaseId>) -> Self {
        Self { revision, leases, more: false }
    }
}

/// The result of a compaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactReply {
    /// The current revision.
    pub revision: Revision,
    /// The oldest revision that can be read now.
    pub oldest: Revision,
}

impl CompactReply {
    /// Makes the reply of a store at `revision`.
    pub fn new(revision: Revision, oldest: Revision) -> Self {
        Self { revision, oldest }
    }
}

/// The state of the store and figures of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StatusReply {
    /// The current revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub oldest: Revision,
    /// A random number, drawn when the store was created: revisions of different stores cannot be
    /// compared.
    pub store_id: u64,
    /// Version of the server.
    pub server_version: String,
    /// The service's uptime.
    pub uptime: Duration,
    /// The number of keys.
    pub keys: u64,
    /// Bytes of the current keys and values.
    pub bytes: u64,
    /// The number of events in the history.
    pub history_events: u64,
    /// Bytes of the history, overhead included.
    pub history_bytes: u64,
    /// The number of leases.
    pub leases: u64,
    /// The number of parked waits.
    pub waits: u64,
    /// The number of watches on streams.
    pub watches: u64,
    /// The number of streams of watches.
    pub streams: u64,
    /// The number of TCP connections.
    pub connections: u64,
    /// The number of requests since the start.
    pub requests: u64,
    /// Records written since the start; 0 for a store in memory, like the values below.
    pub journal_records: u64,
    /// Commits since the start; each is one sync of any number of records.
    pub journal_commits: u64,
    /// Bytes of the log and the snapshot on disk.
    pub journal_bytes: u64,
    /// Duration of the last sync, whole microseconds.
    pub journal_sync: Duration,
    /// The newest revision that survives a power failure. `revision` is higher only with durability
    /// `interval`.
    pub durable_revision: Revision,
    /// Bytes of the newest snapshot; 0 if there is none.
    pub snapshot_bytes: u64,
    /// Bytes of the records since that snapshot, which a start replays.
    pub log_bytes: u64,
}

/// A page of waits and watches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchersReply {
    /// The current revision.
    pub revision: Revision,
    /// The waits and watches, in order of id.
    pub watchers: Vec<WatcherInfo>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl WatchersReply {
    /// Makes the last page.
    pub fn new(revision: Revision, watchers: Vec<WatcherInfo>) -> Self {
        Self { revision, watchers, more: false }
    }
}

/// A wait or a watch, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatcherInfo {
    /// The id for [`EndWatcher`](crate::HubRequest::EndWatcher); never reused.
    pub id: u64,
    /// A wait or a watch.
    pub kind: WatcherKind,
    /// The owner: the peer's address and the name it gave, or the name given in process.
    pub owner: String,
    /// The watched keys.
    pub range: KeyRange,
    /// The number of revisions that were not shown yet; 0 if the watcher is up to date.
    pub behind: u64,
}

impl WatcherInfo {
    /// Makes a wait or watch of `range` that is up to date.
    pub fn new(id: u64, kind: WatcherKind, range: KeyRange) -> Self {
        Self { id, kind, owner: String::new(), range, behind: 0 }
    }
}

/// A wait or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatcherKind {
    /// One request, one answer.
    Wait,
    /// Part of a stream.
    Watch,
}
