//! Replies to operations on keys, alone or in a transaction, in a `Reply` frame.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::WireKeyValue;
use crate::model::{Blob, DeleteReply, GetReply, KeyValue, RangeReply, Reply, SetReply};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireSetReply<'a> {
    revision: u64,
    changed: bool,
    #[serde(serialize_with = "super::id::decimal")]
    lease: u64,
    #[serde(borrow)]
    previous: Option<WireKeyValue<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireGetReply<'a> {
    revision: u64,
    #[serde(borrow)]
    kv: Option<WireKeyValue<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireRangeReply<'a> {
    revision: u64,
    #[serde(borrow)]
    kvs: Vec<WireKeyValue<'a>>,
    more: bool,
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireScanReply<'a> {
    revision: u64,
    #[serde(borrow)]
    kvs: Vec<WireKeyValue<'a>>,
    count: u64,
    /// The key to continue after; `None` at the end of the range.
    #[serde(borrow)]
    next: Option<&'a serde_bytes::Bytes>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireDeleteReply<'a> {
    revision: u64,
    deleted: u64,
    #[serde(borrow)]
    previous: Vec<WireKeyValue<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireTxnResult<'a> {
    Set(#[serde(borrow)] WireSetReply<'a>),
    Get(#[serde(borrow)] WireGetReply<'a>),
    Range(#[serde(borrow)] WireRangeReply<'a>),
    Delete(#[serde(borrow)] WireDeleteReply<'a>),
}

fn wire_kvs(kvs: &[Arc<KeyValue>]) -> Vec<WireKeyValue<'_>> {
    kvs.iter().map(|kv| WireKeyValue::from(&**kv)).collect()
}

fn owned(kv: WireKeyValue<'_>) -> Arc<KeyValue> {
    Arc::new(kv.into())
}

impl<'a> From<&'a SetReply> for WireSetReply<'a> {
    fn from(set: &'a SetReply) -> Self {
        Self {
            revision: set.revision,
            changed: set.changed,
            lease: set.lease,
            previous: set.previous.as_deref().map(WireKeyValue::from),
        }
    }
}

impl From<WireSetReply<'_>> for SetReply {
    fn from(wire: WireSetReply<'_>) -> Self {
        Self {
            revision: wire.revision,
            changed: wire.changed,
            lease: wire.lease,
            previous: wire.previous.map(owned),
        }
    }
}

impl<'a> From<&'a GetReply> for WireGetReply<'a> {
    fn from(get: &'a GetReply) -> Self {
        Self { revision: get.revision, kv: get.kv.as_deref().map(WireKeyValue::from) }
    }
}

impl From<WireGetReply<'_>> for GetReply {
    fn from(wire: WireGetReply<'_>) -> Self {
        Self { revision: wire.revision, kv: wire.kv.map(owned) }
    }
}

impl<'a> From<&'a RangeReply> for WireRangeReply<'a> {
    fn from(range: &'a RangeReply) -> Self {
        Self {
            revision: range.revision,
            kvs: wire_kvs(&range.kvs),
            more: range.more,
            count: range.count,
        }
    }
}

impl From<WireRangeReply<'_>> for RangeReply {
    fn from(wire: WireRangeReply<'_>) -> Self {
        let kvs: Vec<_> = wire.kvs.into_iter().map(owned).collect();
        let next = kvs.last().filter(|_| wire.more).map(|last| last.key.clone());
        Self { revision: wire.revision, kvs, more: wire.more, count: wire.count, next }
    }
}

impl<'a> From<&'a RangeReply> for WireScanReply<'a> {
    fn from(scan: &'a RangeReply) -> Self {
        let next = scan.next.as_ref().map(|next| serde_bytes::Bytes::new(next));
        Self { revision: scan.revision, kvs: wire_kvs(&scan.kvs), count: scan.count, next }
    }
}

impl From<WireScanReply<'_>> for RangeReply {
    fn from(wire: WireScanReply<'_>) -> Self {
        Self {
            revision: wire.revision,
            kvs: wire.kvs.into_iter().map(owned).collect(),
            more: wire.next.is_some(),
            count: wire.count,
            next: wire.next.map(|next| Blob::from(&**next)),
        }
    }
}

impl<'a> From<&'a DeleteReply> for WireDeleteReply<'a> {
    fn from(delete: &'a DeleteReply) -> Self {
        Self {
            revision: delete.revision,
            deleted: delete.deleted,
            previous: wire_kvs(&delete.previous),
        }
    }
}

impl From<WireDeleteReply<'_>> for DeleteReply {
    fn from(wire: WireDeleteReply<'_>) -> Self {
        Self {
            revision: wire.revision,
            deleted: wire.deleted,
            previous: wire.previous.into_iter().map(owned).collect(),
        }
    }
}

impl<'a> WireTxnResult<'a> {
    /// Returns `None` for a reply that no operation of a transaction has.
    pub(super) fn of(reply: &'a Reply) -> Option<Self> {
        Some(match reply {
            Reply::Set(set) => Self::Set(set.into()),
            Reply::Get(get) => Self::Get(get.into()),
            Reply::Range(range) => Self::Range(range.into()),
            Reply::Delete(delete) => Self::Delete(delete.into()),
            _ => return None,
        })
    }
}

impl From<WireTxnResult<'_>> for Reply {
    fn from(wire: WireTxnResult<'_>) -> Self {
        match wire {
            WireTxnResult::Set(set) => Self::Set(set.into()),
            WireTxnResult::Get(get) => Self::Get(get.into()),
            WireTxnResult::Range(range) => Self::Range(range.into()),
            WireTxnResult::Delete(delete) => Self::Delete(delete.into()),
        }
    }
}
