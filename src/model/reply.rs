//! What the store answers. Every reply of the store carries the revision it was made at.

use std::sync::Arc;
use std::time::Duration;

use super::{Blob, JobReply, KeyRange, KeyValue, LeaseId, Payload, Revision, ServiceInfo};

/// The answer to the [`Request`](super::Request) of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant answers the request of its name")]
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

/// A limit of a service, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitInfo {
    /// Its dotted name, as refusals have it ([`Details::Limit`](crate::Details::Limit)).
    pub name: String,
    /// Its value: bytes, a count, or milliseconds.
    pub value: u64,
}

/// A figure of a service beside its [`StatusReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaugeInfo {
    /// Its dotted name: that of the limit which holds for it, without `_max`.
    pub name: String,
    /// Its value now.
    pub value: u64,
}

/// A snapshot that is safe on the server's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotReply {
    /// The revision it has the store at.
    pub revision: Revision,
    /// Names it, to read it by; until another replaces it.
    pub id: u64,
    /// Size of its file.
    pub bytes: u64,
}

/// What a set did.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A key, if it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetReply {
    /// The current revision.
    pub revision: Revision,
    /// The key; `None` if it does not exist (or did not at the revision asked for).
    pub kv: Option<Arc<KeyValue>>,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteReply {
    /// The revision it made, or the current one if there was nothing to delete.
    pub revision: Revision,
    /// How many keys it deleted.
    pub deleted: u64,
    /// The keys as they were before, in order, if asked for.
    pub previous: Vec<Arc<KeyValue>>,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnReply {
    /// The revision it made, or the current one if it wrote nothing.
    pub revision: Revision,
    /// Whether all compares held, and so which list was done.
    pub succeeded: bool,
    /// One reply for each operation of that list, in order: `Set`, `Get`, `Range` or `Delete`.
    pub results: Vec<Reply>,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseReply {
    /// The current revision.
    pub revision: Revision,
    /// Its id.
    pub id: LeaseId,
    /// Its time to live, from now.
    pub ttl: Duration,
}

/// How long a lease has left, and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTimeToLiveReply {
    /// The current revision.
    pub revision: Revision,
    /// Its id.
    pub id: LeaseId,
    /// The time to live it was granted.
    pub granted: Duration,
    /// What is left of it.
    pub remaining: Duration,
    /// The keys it ends, in order: the first page of them, as [`LeaseKeys`](crate::Request::LeaseKeys)
    /// lists all.
    pub keys: Vec<Blob>,
}

/// A page of the keys of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseKeysReply {
    /// The current revision.
    pub revision: Revision,
    /// Keys, ascending.
    pub keys: Vec<Blob>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// A page of leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseListReply {
    /// The current revision.
    pub revision: Revision,
    /// Ids, ascending.
    pub leases: Vec<LeaseId>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// What a compaction left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactReply {
    /// The current revision.
    pub revision: Revision,
    /// The oldest revision that can be read now.
    pub oldest: Revision,
}

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
pub struct WatchersReply {
    /// The current revision.
    pub revision: Revision,
    /// Ascending by id.
    pub watchers: Vec<WatcherInfo>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// A wait or a watch, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A wait or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatcherKind {
    /// One call, one answer.
    Wait,
    /// Part of a stream.
    Watch,
}
