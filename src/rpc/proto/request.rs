//! Bodies of `Request` frames.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::invocation::WireInvocation;
use super::job_request::WireJobRequest;
use super::login::WireCredentials;
use super::txn::{WireCompare, WireTxnOp};
use super::{WireKeyRange, millis};
use crate::model::{
    Blob, CallOptions, Compare, DeleteRequest, Delivery, FilesRequest, GetRequest, HubRequest,
    KvRequest, LeaseGrantRequest, NodeRequest, RangeOrder, RangeRequest, Request, RpcCall,
    SetRequest, StoreRequest, TxnOp, TxnRequest, WaitCondition, WaitRequest, WatchFrom,
    WatchRequest,
};

/// Body of a `Request` frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireCall<'a> {
    pub(crate) idempotency: Option<u128>,
    #[serde(borrow)]
    pub(crate) request: WireRequest<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireRequest<'a> {
    Set(#[serde(borrow)] WireSet<'a>),
    Get(#[serde(borrow)] WireGet<'a>),
    Range(#[serde(borrow)] WireRange<'a>),
    Delete(#[serde(borrow)] WireDelete<'a>),
    Txn {
        #[serde(borrow)]
        compares: Vec<WireCompare<'a>>,
        #[serde(borrow)]
        success: Vec<WireTxnOp<'a>>,
        #[serde(borrow)]
        failure: Vec<WireTxnOp<'a>>,
    },
    LeaseGrant {
        id: u64,
        ttl_ms: u64,
    },
    LeaseKeepAlive {
        id: u64,
    },
    LeaseRevoke {
        id: u64,
    },
    LeaseTimeToLive {
        id: u64,
    },
    LeaseList {
        after: u64,
        limit: u32,
    },
    Compact {
        revision: u64,
    },
    Status,
    Watchers {
        after: u64,
        limit: u32,
    },
    EndWatcher {
        id: u64,
    },
    Wait {
        #[serde(borrow)]
        range: WireKeyRange<'a>,
        #[serde(borrow)]
        condition: WireCondition<'a>,
        after: Option<u64>,
        /// `None`: the server's default.
        timeout_ms: Option<u64>,
    },
    /// The id of this request becomes the id of the stream.
    StreamOpen {
        window_bytes: u32,
    },
    WatchAdd {
        stream: u64,
        watch_id: u64,
        #[serde(borrow)]
        watch: WireWatch<'a>,
    },
    WatchCancel {
        stream: u64,
        watch_id: u64,
    },
    Snapshot,
    ReadSnapshot {
        id: u64,
        offset: u64,
        limit: u32,
    },
    Job(#[serde(borrow)] WireJobRequest<'a>),
    Invoke(#[serde(borrow)] WireInvocation<'a>),
    Services,
    Login(#[serde(borrow)] WireCredentials<'a>),
    Scan(#[serde(borrow)] WireRange<'a>),
    LeaseKeys {
        id: u64,
        /// Empty: from the start.
        #[serde(borrow, with = "serde_bytes")]
        after: &'a [u8],
        limit: u32,
    },
    Limits,
    Gauges,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireSet<'a> {
    #[serde(borrow, with = "serde_bytes")]
    key: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    value: &'a [u8],
    lease: u64,
    /// 0: none.
    ttl_ms: u64,
    only_if_changed: bool,
    return_previous: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireGet<'a> {
    #[serde(borrow, with = "serde_bytes")]
    key: &'a [u8],
    revision: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireRange<'a> {
    #[serde(borrow)]
    range: WireKeyRange<'a>,
    revision: u64,
    limit: u32,
    descending: bool,
    keys_only: bool,
    count_only: bool,
    /// Empty: from the start.
    #[serde(borrow, with = "serde_bytes")]
    after: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireDelete<'a> {
    #[serde(borrow)]
    range: WireKeyRange<'a>,
    return_previous: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireCondition<'a> {
    Changed,
    Exists,
    Absent,
    Equals(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Differs(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    ModRevisionAbove(u64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireWatch<'a> {
    #[serde(borrow)]
    range: WireKeyRange<'a>,
    from: WireFrom,
    puts: bool,
    deletes: bool,
    previous: bool,
    keys_only: bool,
    /// 0: no progress marks.
    progress_ms: u64,
    /// false: all events; true: only the newest of each key for a slow consumer.
    latest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireFrom {
    Now,
    Revision(u64),
    Snapshot,
}

impl From<WireCall<'_>> for RpcCall {
    fn from(wire: WireCall<'_>) -> Self {
        let request = match wire.request {
            WireRequest::Set(set) => KvRequest::Set(set.into()).into(),
            WireRequest::Get(get) => KvRequest::Get(get.into()).into(),
            WireRequest::Range(range) => KvRequest::Range(range.into()).into(),
            WireRequest::Scan(range) => KvRequest::Scan(Box::new(range.into())).into(),
            WireRequest::Delete(delete) => KvRequest::Delete(delete.into()).into(),
            WireRequest::Txn { compares, success, failure } => {
                let compares = compares.into_iter().map(Compare::from).collect();
                let success = success.into_iter().map(TxnOp::from).collect();
                let failure = failure.into_iter().map(TxnOp::from).collect();
                KvRequest::Txn(TxnRequest { compares, success, failure }).into()
            }
            WireRequest::LeaseGrant { id, ttl_ms } => {
                let ttl = Duration::from_millis(ttl_ms);
                KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl }).into()
            }
            WireRequest::LeaseKeepAlive { id } => KvRequest::LeaseKeepAlive(id).into(),
            WireRequest::LeaseRevoke { id } => KvRequest::LeaseRevoke(id).into(),
            WireRequest::LeaseTimeToLive { id } => KvRequest::LeaseTimeToLive(id).into(),
            WireRequest::LeaseList { after, limit } => {
                KvRequest::LeaseList { after, limit: limit as usize }.into()
            }
            WireRequest::LeaseKeys { id, after, limit } => {
                let after = Blob::from(after);
                KvRequest::LeaseKeys { id, after, limit: limit as usize }.into()
            }
            WireRequest::Compact { revision } => KvRequest::Compact(revision).into(),
            WireRequest::Status => HubRequest::Status.into(),
            WireRequest::Watchers { after, limit } => {
                HubRequest::Watchers { after, limit: limit as usize }.into()
            }
            WireRequest::EndWatcher { id } => HubRequest::EndWatcher(id).into(),
            WireRequest::Snapshot => FilesRequest::Snapshot.into(),
            WireRequest::ReadSnapshot { id, offset, limit } => {
                FilesRequest::ReadSnapshot { id, offset, limit: limit as usize }.into()
            }
            WireRequest::Job(job) => Request::Job(job.into()),
            WireRequest::Invoke(invocation) => Request::Invoke(invocation.into()),
            WireRequest::Services => NodeRequest::Services.into(),
            WireRequest::Limits => NodeRequest::Limits.into(),
            WireRequest::Gauges => NodeRequest::Gauges.into(),
            WireRequest::Wait { range, condition, after, timeout_ms } => {
                return RpcCall::Wait(WaitRequest {
                    range: range.into(),
                    condition: condition.into(),
                    after,
                    timeout: timeout_ms.map(Duration::from_millis),
                });
            }
            WireRequest::StreamOpen { window_bytes } => {
                return RpcCall::StreamOpen { window_bytes };
            }
            WireRequest::WatchAdd { stream, watch_id, watch } => {
                return RpcCall::WatchAdd { stream, watch_id, watch: watch.into() };
            }
            WireRequest::WatchCancel { stream, watch_id } => {
                return RpcCall::WatchCancel { stream, watch_id };
            }
            WireRequest::Login(credentials) => return RpcCall::Login(credentials.into()),
        };
        // The durability is in the header.
        let options = CallOptions { idempotency: wire.idempotency, durability: None };
        RpcCall::Store { options, request }
    }
}

impl<'a> From<&'a Request> for WireRequest<'a> {
    fn from(request: &'a Request) -> Self {
        match request {
            Request::Store(StoreRequest::Kv(request)) => request.into(),
            Request::Store(StoreRequest::Hub(request)) => match request {
                HubRequest::Status => Self::Status,
                HubRequest::Watchers { after, limit } => {
                    Self::Watchers { after: *after, limit: saturate(*limit) }
                }
                HubRequest::EndWatcher(id) => Self::EndWatcher { id: *id },
            },
            Request::Store(StoreRequest::Files(request)) => match request {
                FilesRequest::Snapshot => Self::Snapshot,
                FilesRequest::ReadSnapshot { id, offset, limit } => {
                    Self::ReadSnapshot { id: *id, offset: *offset, limit: saturate(*limit) }
                }
            },
            Request::Job(job) => Self::Job(job.into()),
            Request::Invoke(invocation) => Self::Invoke(invocation.into()),
            Request::Node(NodeRequest::Services) => Self::Services,
            Request::Node(NodeRequest::Limits) => Self::Limits,
            Request::Node(NodeRequest::Gauges) => Self::Gauges,
        }
    }
}

impl<'a> From<&'a KvRequest> for WireRequest<'a> {
    fn from(request: &'a KvRequest) -> Self {
        match request {
            KvRequest::Set(set) => Self::Set(set.into()),
            KvRequest::Get(get) => Self::Get(get.into()),
            KvRequest::Range(range) => Self::Range(range.into()),
            KvRequest::Scan(range) => Self::Scan((&**range).into()),
            KvRequest::Delete(delete) => Self::Delete(delete.into()),
            KvRequest::Txn(txn) => Self::Txn {
                compares: txn.compares.iter().map(WireCompare::from).collect(),
                success: txn.success.iter().map(WireTxnOp::from).collect(),
                failure: txn.failure.iter().map(WireTxnOp::from).collect(),
            },
            KvRequest::LeaseGrant(grant) => {
                Self::LeaseGrant { id: grant.id, ttl_ms: millis(grant.ttl) }
            }
            KvRequest::LeaseKeepAlive(id) => Self::LeaseKeepAlive { id: *id },
            KvRequest::LeaseRevoke(id) => Self::LeaseRevoke { id: *id },
            KvRequest::LeaseTimeToLive(id) => Self::LeaseTimeToLive { id: *id },
            KvRequest::LeaseList { after, limit } => {
                Self::LeaseList { after: *after, limit: saturate(*limit) }
            }
            KvRequest::LeaseKeys { id, after, limit } => {
                Self::LeaseKeys { id: *id, after, limit: saturate(*limit) }
            }
            KvRequest::Compact(revision) => Self::Compact { revision: *revision },
        }
    }
}

impl<'a> From<&'a WaitRequest> for WireRequest<'a> {
    fn from(wait: &'a WaitRequest) -> Self {
        Self::Wait {
            range: (&wait.range).into(),
            condition: match &wait.condition {
                WaitCondition::Changed => WireCondition::Changed,
                WaitCondition::Exists => WireCondition::Exists,
                WaitCondition::Absent => WireCondition::Absent,
                WaitCondition::Equals(value) => WireCondition::Equals(value),
                WaitCondition::Differs(value) => WireCondition::Differs(value),
                WaitCondition::ModRevisionAbove(revision) => {
                    WireCondition::ModRevisionAbove(*revision)
                }
            },
            after: wait.after,
            timeout_ms: wait.timeout.map(millis),
        }
    }
}

impl From<WireCondition<'_>> for WaitCondition {
    fn from(wire: WireCondition<'_>) -> Self {
        match wire {
            WireCondition::Changed => Self::Changed,
            WireCondition::Exists => Self::Exists,
            WireCondition::Absent => Self::Absent,
            WireCondition::Equals(value) => Self::Equals(Blob::from(value)),
            WireCondition::Differs(value) => Self::Differs(Blob::from(value)),
            WireCondition::ModRevisionAbove(revision) => Self::ModRevisionAbove(revision),
        }
    }
}

impl From<WireSet<'_>> for SetRequest {
    fn from(wire: WireSet<'_>) -> Self {
        Self {
            key: Blob::from(wire.key),
            value: Blob::from(wire.value),
            lease: wire.lease,
            ttl: (wire.ttl_ms > 0).then(|| Duration::from_millis(wire.ttl_ms)),
            only_if_changed: wire.only_if_changed,
            return_previous: wire.return_previous,
        }
    }
}

impl<'a> From<&'a SetRequest> for WireSet<'a> {
    fn from(set: &'a SetRequest) -> Self {
        Self {
            key: &set.key,
            value: &set.value,
            lease: set.lease,
            ttl_ms: set.ttl.map_or(0, |ttl| millis(ttl).max(1)),
            only_if_changed: set.only_if_changed,
            return_previous: set.return_previous,
        }
    }
}

impl From<WireGet<'_>> for GetRequest {
    fn from(wire: WireGet<'_>) -> Self {
        Self { key: Blob::from(wire.key), revision: wire.revision }
    }
}

impl<'a> From<&'a GetRequest> for WireGet<'a> {
    fn from(get: &'a GetRequest) -> Self {
        Self { key: &get.key, revision: get.revision }
    }
}

impl From<WireRange<'_>> for RangeRequest {
    fn from(wire: WireRange<'_>) -> Self {
        Self {
            range: wire.range.into(),
            revision: wire.revision,
            limit: wire.limit as usize,
            order: if wire.descending { RangeOrder::Descending } else { RangeOrder::Ascending },
            keys_only: wire.keys_only,
            count_only: wire.count_only,
            after: (!wire.after.is_empty()).then(|| Blob::from(wire.after)),
        }
    }
}

impl<'a> From<&'a RangeRequest> for WireRange<'a> {
    fn from(range: &'a RangeRequest) -> Self {
        Self {
            range: (&range.range).into(),
            revision: range.revision,
            limit: saturate(range.limit),
            descending: range.order == RangeOrder::Descending,
            keys_only: range.keys_only,
            count_only: range.count_only,
            after: range.after.as_deref().unwrap_or_default(),
        }
    }
}

impl From<WireDelete<'_>> for DeleteRequest {
    fn from(wire: WireDelete<'_>) -> Self {
        Self { range: wire.range.into(), return_previous: wire.return_previous }
    }
}

impl<'a> From<&'a DeleteRequest> for WireDelete<'a> {
    fn from(delete: &'a DeleteRequest) -> Self {
        Self { range: (&delete.range).into(), return_previous: delete.return_previous }
    }
}

impl From<WireWatch<'_>> for WatchRequest {
    fn from(wire: WireWatch<'_>) -> Self {
        Self {
            range: wire.range.into(),
            from: match wire.from {
                WireFrom::Now => WatchFrom::Now,
                WireFrom::Revision(revision) => WatchFrom::Revision(revision),
                WireFrom::Snapshot => WatchFrom::Snapshot,
            },
            puts: wire.puts,
            deletes: wire.deletes,
            previous: wire.previous,
            keys_only: wire.keys_only,
            progress: (wire.progress_ms > 0).then(|| Duration::from_millis(wire.progress_ms)),
            delivery: if wire.latest { Delivery::Latest } else { Delivery::All },
        }
    }
}

impl<'a> From<&'a WatchRequest> for WireWatch<'a> {
    fn from(watch: &'a WatchRequest) -> Self {
        Self {
            range: (&watch.range).into(),
            from: match watch.from {
                WatchFrom::Now => WireFrom::Now,
                WatchFrom::Revision(revision) => WireFrom::Revision(revision),
                WatchFrom::Snapshot => WireFrom::Snapshot,
            },
            puts: watch.puts,
            deletes: watch.deletes,
            previous: watch.previous,
            keys_only: watch.keys_only,
            progress_ms: watch.progress.map_or(0, |interval| millis(interval).max(1)),
            latest: watch.delivery == Delivery::Latest,
        }
    }
}

pub(super) fn saturate(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}
