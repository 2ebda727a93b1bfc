//! Bodies of `Reply` frames.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::invocation::{WirePayload, WireService};
use super::job_reply::WireJobReply;
use super::key_reply::{
    WireDeleteReply, WireGetReply, WireRangeReply, WireScanReply, WireSetReply, WireTxnResult,
};
use super::login::WireIdentity;
use super::{WireEvent, WireKeyRange, millis};
use crate::model::{
    Blob, CompactReply, GaugeInfo, LeaseKeysReply, LeaseListReply, LeaseReply,
    LeaseTimeToLiveReply, LimitInfo, Reply, SnapshotReply, StatusReply, TxnReply, WaitOutcome,
    WatcherInfo, WatcherKind, WatchersReply,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireReply<'a> {
    Set(#[serde(borrow)] WireSetReply<'a>),
    Get(#[serde(borrow)] WireGetReply<'a>),
    Range(#[serde(borrow)] WireRangeReply<'a>),
    Delete(#[serde(borrow)] WireDeleteReply<'a>),
    Txn {
        revision: u64,
        succeeded: bool,
        #[serde(borrow)]
        results: Vec<WireTxnResult<'a>>,
    },
    LeaseGrant(WireLease),
    LeaseKeepAlive(WireLease),
    LeaseRevoke(#[serde(borrow)] WireDeleteReply<'a>),
    LeaseTimeToLive {
        revision: u64,
        #[serde(serialize_with = "super::id::decimal")]
        id: u64,
        granted_ms: u64,
        remaining_ms: u64,
        #[serde(borrow)]
        keys: Vec<&'a serde_bytes::Bytes>,
    },
    LeaseList {
        revision: u64,
        #[serde(serialize_with = "super::id::decimals")]
        leases: Vec<u64>,
        more: bool,
    },
    Compact {
        revision: u64,
        oldest: u64,
    },
    Status(#[serde(borrow)] WireStatus<'a>),
    Watchers {
        revision: u64,
        #[serde(borrow)]
        watchers: Vec<WireWatcher<'a>>,
        more: bool,
    },
    EndWatcher,
    Wait {
        /// false: timeout.
        met: bool,
        revision: u64,
        #[serde(borrow)]
        event: Option<WireEvent<'a>>,
    },
    StreamOpen,
    WatchAdd {
        /// Events of later revisions follow (`from` now), or from the requested one on.
        revision: u64,
    },
    WatchCancel,
    Snapshot {
        revision: u64,
        id: u64,
        bytes: u64,
    },
    ReadSnapshot(#[serde(borrow)] &'a serde_bytes::Bytes),
    Job(#[serde(borrow)] WireJobReply<'a>),
    Invoke(#[serde(borrow)] WirePayload<'a>),
    Services(#[serde(borrow)] Vec<WireService<'a>>),
    Login(#[serde(borrow)] WireIdentity<'a>),
    Scan(#[serde(borrow)] WireScanReply<'a>),
    LeaseKeys {
        revision: u64,
        #[serde(borrow)]
        keys: Vec<&'a serde_bytes::Bytes>,
        more: bool,
    },
    Limits(#[serde(borrow)] Vec<WireLimit<'a>>),
    Gauges(#[serde(borrow)] Vec<WireGauge<'a>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireLease {
    revision: u64,
    #[serde(serialize_with = "super::id::decimal")]
    id: u64,
    ttl_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireStatus<'a> {
    revision: u64,
    oldest: u64,
    #[serde(serialize_with = "super::id::hexadecimal")]
    store_id: u64,
    #[serde(borrow)]
    server_version: &'a str,
    uptime_ms: u64,
    keys: u64,
    bytes: u64,
    history_events: u64,
    history_bytes: u64,
    leases: u64,
    waits: u64,
    watches: u64,
    streams: u64,
    connections: u64,
    requests: u64,
    journal_records: u64,
    journal_commits: u64,
    journal_bytes: u64,
    journal_sync_us: u64,
    durable_revision: u64,
    snapshot_bytes: u64,
    log_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireLimit<'a> {
    #[serde(borrow)]
    name: &'a str,
    value: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireGauge<'a> {
    #[serde(borrow)]
    name: &'a str,
    value: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireWatcher<'a> {
    #[serde(serialize_with = "super::id::decimal")]
    id: u64,
    /// false: a wait; true: a watch.
    watch: bool,
    #[serde(borrow)]
    owner: &'a str,
    #[serde(borrow)]
    range: WireKeyRange<'a>,
    behind: u64,
}

fn wire_keys(keys: &[Blob]) -> Vec<&serde_bytes::Bytes> {
    keys.iter().map(|key| serde_bytes::Bytes::new(key)).collect()
}

fn owned_keys(keys: Vec<&serde_bytes::Bytes>) -> Vec<Blob> {
    keys.into_iter().map(|key| Blob::from(&**key)).collect()
}

impl<'a> From<&'a Reply> for WireReply<'a> {
    fn from(reply: &'a Reply) -> Self {
        match reply {
            Reply::Set(set) => Self::Set(set.into()),
            Reply::Get(get) => Self::Get(get.into()),
            Reply::Range(range) => Self::Range(range.into()),
            Reply::Scan(scan) => Self::Scan(scan.into()),
            Reply::Delete(delete) => Self::Delete(delete.into()),
            Reply::Txn(txn) => Self::Txn {
                revision: txn.revision,
                succeeded: txn.succeeded,
                results: txn.results.iter().filter_map(WireTxnResult::of).collect(),
            },
            Reply::LeaseGrant(lease) => Self::LeaseGrant(lease.into()),
            Reply::LeaseKeepAlive(lease) => Self::LeaseKeepAlive(lease.into()),
            Reply::LeaseRevoke(delete) => Self::LeaseRevoke(delete.into()),
            Reply::LeaseTimeToLive(lease) => Self::LeaseTimeToLive {
                revision: lease.revision,
                id: lease.id,
                granted_ms: millis(lease.granted),
                remaining_ms: millis(lease.remaining),
                keys: wire_keys(&lease.keys),
            },
            Reply::LeaseList(list) => Self::LeaseList {
                revision: list.revision,
                leases: list.leases.clone(),
                more: list.more,
            },
            Reply::Compact(compact) => {
                Self::Compact { revision: compact.revision, oldest: compact.oldest }
            }
            Reply::Status(status) => Self::Status((&**status).into()),
            Reply::Watchers(list) => Self::Watchers {
                revision: list.revision,
                watchers: list.watchers.iter().map(WireWatcher::from).collect(),
                more: list.more,
            },
            Reply::EndWatcher => Self::EndWatcher,
            Reply::Snapshot(SnapshotReply { revision, id, bytes }) => {
                Self::Snapshot { revision: *revision, id: *id, bytes: *bytes }
            }
            Reply::ReadSnapshot(part) => Self::ReadSnapshot(serde_bytes::Bytes::new(part)),
            Reply::Job(reply) => Self::Job(reply.into()),
            Reply::Invoke(output) => Self::Invoke(output.into()),
            Reply::Services(services) => {
                Self::Services(services.iter().map(WireService::from).collect())
            }
            Reply::LeaseKeys(page) => Self::LeaseKeys {
                revision: page.revision,
                keys: wire_keys(&page.keys),
                more: page.more,
            },
            Reply::Limits(limits) => {
                let wire =
                    |limit: &'a LimitInfo| WireLimit { name: &limit.name, value: limit.value };
                Self::Limits(limits.iter().map(wire).collect())
            }
            Reply::Gauges(gauges) => {
                let wire =
                    |guard: &'a GaugeInfo| WireGauge { name: &guard.name, value: guard.value };
                Self::Gauges(gauges.iter().map(wire).collect())
            }
        }
    }
}

impl<'a> From<&'a WaitOutcome> for WireReply<'a> {
    fn from(outcome: &'a WaitOutcome) -> Self {
        match outcome {
            WaitOutcome::Met { revision, event } => Self::Wait {
                met: true,
                revision: *revision,
                event: event.as_ref().map(|event| WireEvent::of(event, true, false)),
            },
            WaitOutcome::Timeout { revision } => {
                Self::Wait { met: false, revision: *revision, event: None }
            }
        }
    }
}

impl WireReply<'_> {
    /// Converts a reply of the store; returns `None` for replies of waits, streams and logins.
    pub(crate) fn into_store_reply(self) -> Option<Reply> {
        Some(match self {
            Self::Set(set) => Reply::Set(set.into()),
            Self::Get(get) => Reply::Get(get.into()),
            Self::Range(range) => Reply::Range(range.into()),
            Self::Scan(scan) => Reply::Scan(scan.into()),
            Self::Delete(delete) => Reply::Delete(delete.into()),
            Self::Txn { revision, succeeded, results } => Reply::Txn(TxnReply {
                revision,
                succeeded,
                results: results.into_iter().map(Reply::from).collect(),
            }),
            Self::LeaseGrant(lease) => Reply::LeaseGrant(lease.into()),
            Self::LeaseKeepAlive(lease) => Reply::LeaseKeepAlive(lease.into()),
            Self::LeaseRevoke(delete) => Reply::LeaseRevoke(delete.into()),
            Self::LeaseTimeToLive { revision, id, granted_ms, remaining_ms, keys } => {
                Reply::LeaseTimeToLive(LeaseTimeToLiveReply {
                    revision,
                    id,
                    granted: Duration::from_millis(granted_ms),
                    remaining: Duration::from_millis(remaining_ms),
                    keys: owned_keys(keys),
                })
            }
            Self::LeaseList { revision, leases, more } => {
                Reply::LeaseList(LeaseListReply { revision, leases, more })
            }
            Self::Compact { revision, oldest } => Reply::Compact(CompactReply { revision, oldest }),
            Self::Status(status) => Reply::Status(Box::new(status.into())),
            Self::Watchers { revision, watchers, more } => Reply::Watchers(WatchersReply {
                revision,
                watchers: watchers.into_iter().map(WatcherInfo::from).collect(),
                more,
            }),
            Self::EndWatcher => Reply::EndWatcher,
            Self::Snapshot { revision, id, bytes } => {
                Reply::Snapshot(SnapshotReply { revision, id, bytes })
            }
            Self::ReadSnapshot(part) => Reply::ReadSnapshot(Blob::from(&**part)),
            Self::Job(reply) => Reply::Job(reply.into()),
            Self::Invoke(output) => Reply::Invoke(output.into()),
            Self::Services(services) => {
                Reply::Services(services.into_iter().map(Into::into).collect())
            }
            Self::LeaseKeys { revision, keys, more } => {
                Reply::LeaseKeys(LeaseKeysReply { revision, keys: owned_keys(keys), more })
            }
            Self::Limits(limits) => {
                let info = |wire: WireLimit<'_>| LimitInfo {
                    name: wire.name.to_owned(),
                    value: wire.value,
                };
                Reply::Limits(limits.into_iter().map(info).collect())
            }
            Self::Gauges(gauges) => {
                let info = |wire: WireGauge<'_>| GaugeInfo {
                    name: wire.name.to_owned(),
                    value: wire.value,
                };
                Reply::Gauges(gauges.into_iter().map(info).collect())
            }
            Self::Wait { .. }
            | Self::StreamOpen
            | Self::WatchAdd { .. }
            | Self::WatchCancel
            | Self::Login(_) => return None,
        })
    }
}

impl From<&LeaseReply> for WireLease {
    fn from(lease: &LeaseReply) -> Self {
        Self { revision: lease.revision, id: lease.id, ttl_ms: millis(lease.ttl) }
    }
}

impl From<WireLease> for LeaseReply {
    fn from(wire: WireLease) -> Self {
        Self { revision: wire.revision, id: wire.id, ttl: Duration::from_millis(wire.ttl_ms) }
    }
}

impl<'a> From<&'a StatusReply> for WireStatus<'a> {
    fn from(status: &'a StatusReply) -> Self {
        Self {
            revision: status.revision,
            oldest: status.oldest,
            store_id: status.store_id,
            server_version: &status.server_version,
            uptime_ms: millis(status.uptime),
            keys: status.keys,
            bytes: status.bytes,
            history_events: status.history_events,
            history_bytes: status.history_bytes,
            leases: status.leases,
            waits: status.waits,
            watches: status.watches,
            streams: status.streams,
            connections: status.connections,
            requests: status.requests,
            journal_records: status.journal_records,
            journal_commits: status.journal_commits,
            journal_bytes: status.journal_bytes,
            journal_sync_us: u64::try_from(status.journal_sync.as_micros()).unwrap_or(u64::MAX),
            durable_revision: status.durable_revision,
            snapshot_bytes: status.snapshot_bytes,
            log_bytes: status.log_bytes,
        }
    }
}

impl From<WireStatus<'_>> for StatusReply {
    fn from(wire: WireStatus<'_>) -> Self {
        Self {
            revision: wire.revision,
            oldest: wire.oldest,
            store_id: wire.store_id,
            server_version: wire.server_version.to_owned(),
            uptime: Duration::from_millis(wire.uptime_ms),
            keys: wire.keys,
            bytes: wire.bytes,
            history_events: wire.history_events,
            history_bytes: wire.history_bytes,
            leases: wire.leases,
            waits: wire.waits,
            watches: wire.watches,
            streams: wire.streams,
            connections: wire.connections,
            requests: wire.requests,
            journal_records: wire.journal_records,
            journal_commits: wire.journal_commits,
            journal_bytes: wire.journal_bytes,
            journal_sync: Duration::from_micros(wire.journal_sync_us),
            durable_revision: wire.durable_revision,
            snapshot_bytes: wire.snapshot_bytes,
            log_bytes: wire.log_bytes,
        }
    }
}

impl<'a> From<&'a WatcherInfo> for WireWatcher<'a> {
    fn from(watcher: &'a WatcherInfo) -> Self {
        Self {
            id: watcher.id,
            watch: watcher.kind == WatcherKind::Watch,
            owner: &watcher.owner,
            range: (&watcher.range).into(),
            behind: watcher.behind,
        }
    }
}

impl From<WireWatcher<'_>> for WatcherInfo {
    fn from(wire: WireWatcher<'_>) -> Self {
        Self {
            id: wire.id,
            kind: if wire.watch { WatcherKind::Watch } else { WatcherKind::Wait },
            owner: wire.owner.to_owned(),
            range: wire.range.into(),
            behind: wire.behind,
        }
    }
}
