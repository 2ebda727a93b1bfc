//! What the store answers. Every reply of the store carries the revision it was made at.
//!
//! Replies may get more fields and variants: programs make them by `new` or `default`, and set what
//! differs.

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

/// Finds the revision in a reply, with `&mut` before it or nothing.
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
    /// Returns the revision of the store that the reply was made at, if it has one.
    pub(crate) fn revision(&self) -> Option<Revision> {
        revision!(self,)
    }

    /// Returns the revision of the store that the reply was made at, to change it.
    pub(crate) fn revision_mut(&mut self) -> Option<&mut Revision> {
        revision!(self, &mut)
    }
}

/// A limit of a service, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitInfo {
    /// Its dotted name, as refusals have it ([`Details::Limit`](crate::Details::Limit)).
    pub name: String,
    /// Its value: bytes, a count, or milliseconds.
    pub value: u64,
}

impl LimitInfo {
    /// Makes a limit of this name.
    pub fn new(name: impl Into<String>, value: u64) -> Self {
        Self { name: name.into(), value }
    }
}

/// A figure of a service beside its [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GaugeInfo {
    /// Its dotted name: that of the limit which holds for it, without `_max`.
    pub name: String,
    /// Its value now.
    pub value: u64,
}

impl GaugeInfo {
    /// Makes a figure of this name.
    pub fn new(name: impl Into<String>, value: u64) -> Self {
        Self { name: name.into(), value }
    }
}

/// A snapshot that is safe on the server's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReply {
    /// The revision it has the store at.
    pub revision: Revision,
    /// Names it, to read it by; until another replaces it.
    pub id: u64,
    /// Size of its file.
    pub bytes: u64,
}

impl SnapshotReply {
    /// Makes the reply about the snapshot `id`, of the store at `revision`.
    pub fn new(revision: Revision, id: u64, bytes: u64) -> Self {
        Self { revision, id, bytes }
    }
}

/// What a set did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetReply {
    /// The revision it made, or the current one if it changed nothing.
    pub revision: Revision,
    /// Whether it made a revision; false only with `only_if_changed`.
    pub changed: bool,
    /// The lease the key now has; 0 for none. With `ttl`, the private one.
    pub lease: LeaseId,
    /// The key as it was before, if asked for and if it existed.
    pub previous: Option<Arc<KeyValue>>,
}

impl SetReply {
    /// Makes the reply to a set that made `revision`, of a key without a lease.
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
    /// The key; `None` if it does not exist (or did not at the revision asked for).
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
    /// The keys, in the order asked for.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether there are more after the last.
    pub more: bool,
    /// With `count_only`: how many there are; otherwise how many are in `kvs`. Of a scan with
    /// `count_only`, how many this part of it has counted.
    pub count: u64,
    /// If there are more: the key to go on after, as [`RangeRequest::after`](crate::RangeRequest).
    pub next: Option<Blob>,
}

impl RangeReply {
    /// Makes a page of a store at `revision` after which there is nothing more.
    pub fn new(revision: Revision, kvs: Vec<Arc<KeyValue>>) -> Self {
        let count = kvs.len() as u64;
        Self { revision, kvs, more: false, count, next: None }
    }
}

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteReply {
    /// The revision it made, or the current one if there was nothing to delete.
    pub revision: Revision,
    /// How many keys it deleted.
    pub deleted: u64,
    /// The keys as they were before, in order, if asked for.
    pub previous: Vec<Arc<KeyValue>>,
}

impl DeleteReply {
    /// Makes the reply to a deletion of that many keys, without the keys themselves.
    pub fn new(revision: Revision, deleted: u64) -> Self {
        Self { revision, deleted, previous: Vec::new() }
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnReply {
    /// The revision it made, or the current one if it wrote nothing.
    pub revision: Revision,
    /// Whether all compares held, and so which list was done.
    pub succeeded: bool,
    /// One reply for each operation of that list, in order: `Set`, `Get`, `Range` or `Delete`.
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
    /// Its id.
    pub id: LeaseId,
    /// Its time to live, from now.
    pub ttl: Duration,
}

impl LeaseReply {
    /// Makes the reply about the lease `id`.
    pub fn new(revision: Revision, id: LeaseId, ttl: Duration) -> Self {
        Self { revision, id, ttl }
    }
}

/// How long a lease has left, and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseTimeToLiveReply {
    /// The current revision.
    pub revision: Revision,
    /// Its id.
    pub id: LeaseId,
    /// The time to live it was granted.
    pub granted: Duration,
    /// What is left of it.
    pub remaining: Duration,
    /// The keys it ends, in order: the first page of them, as [`LeaseKeys`](crate::KvRequest::LeaseKeys)
    /// lists all.
    pub keys: Vec<Blob>,
}

impl LeaseTimeToLiveReply {
    /// Makes the reply about a lease without keys that was just granted.
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
    /// Whether there are more after the last.
    pub more: bool,
}

impl LeaseKeysReply {
    /// Makes a page after which there is nothing more.
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
    /// Whether there are more after the last.
    pub more: bool,
}

impl LeaseListReply {
    /// Makes a page after which there is nothing more.
    pub fn new(revision: Revision, leases: Vec<LeaseId>) -> Self {
        Self { revision, leases, more: false }
    }
}

/// What a compaction left.
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

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StatusReply {
    /// The current revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub oldest: Revision,
    /// Drawn at random when the store was made: revisions of two stores do not compare.
    pub store_id: u64,
    /// Version of the server.
    pub server_version: String,
    /// How long the service has run.
    pub uptime: Duration,
    /// Keys that exist.
    pub keys: u64,
    /// Bytes of those keys and their values.
    pub bytes: u64,
    /// Events in history.
    pub history_events: u64,
    /// Bytes of history, overhead included.
    pub history_bytes: u64,
    /// Leases that exist.
    pub leases: u64,
    /// Waits parked.
    pub waits: u64,
    /// Watches on streams.
    pub watches: u64,
    /// Streams of watches.
    pub streams: u64,
    /// Connections of the TCP door.
    pub connections: u64,
    /// Requests done since the start.
    pub requests: u64,
    /// Records written since the start; 0 for a store in memory, like the rest.
    pub journal_records: u64,
    /// Commits since the start; each is one sync, and any number of records.
    pub journal_commits: u64,
    /// Bytes that the log and the snapshot take on disk.
    pub journal_bytes: u64,
    /// How long the last sync took, whole microseconds.
    pub journal_sync: Duration,
    /// The newest revision that no power cut takes back. `revision` is higher only with durability
    /// `interval`.
    pub durable_revision: Revision,
    /// Bytes of the newest snapshot; 0 without one.
    pub snapshot_bytes: u64,
    /// Bytes of records since then, which a start replays.
    pub log_bytes: u64,
}

/// A page of waits and watches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchersReply {
    /// The current revision.
    pub revision: Revision,
    /// Ascending by id.
    pub watchers: Vec<WatcherInfo>,
    /// Whether there are more after the last.
    pub more: bool,
}

impl WatchersReply {
    /// Makes a page after which there is nothing more.
    pub fn new(revision: Revision, watchers: Vec<WatcherInfo>) -> Self {
        Self { revision, watchers, more: false }
    }
}

/// A wait or a watch, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatcherInfo {
    /// Its id, to end it by; never used again.
    pub id: u64,
    /// A wait or a watch.
    pub kind: WatcherKind,
    /// Who: the peer's address and the name it gave, or the name given in process.
    pub owner: String,
    /// Which keys.
    pub range: KeyRange,
    /// How many revisions it has yet to be shown; 0 when it has seen everything.
    pub behind: u64,
}

impl WatcherInfo {
    /// Makes a wait or watch of `range` that has seen everything.
    pub fn new(id: u64, kind: WatcherKind, range: KeyRange) -> Self {
        Self { id, kind, owner: String::new(), range, behind: 0 }
    }
}

/// A wait or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatcherKind {
    /// One call, one answer.
    Wait,
    /// Part of a stream.
    Watch,
}
