//! Requests about keys, their history and leases, which are answered in one step. Waits and watches,
//! which take time, are in [`watch`](super::watch).

use std::time::Duration;

use super::facts::Repeat;
use super::{Blob, KeyRange, LeaseId, Revision};

/// Reads or changes keys, their history or leases; answered at once with the [`Reply`](super::Reply) of
/// the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvRequest {
    /// Sets a key.
    Set(SetRequest),
    /// Reads a key.
    Get(GetRequest),
    /// Reads a page of keys.
    Range(RangeRequest),
    /// Reads a page of keys that may end before it has found any, with a position to continue from: a
    /// range of the past may look at very many keys that did not exist then.
    Scan(Box<RangeRequest>),
    /// Deletes keys.
    Delete(DeleteRequest),
    /// Evaluates compares, then executes one of two lists of operations, in one revision.
    Txn(TxnRequest),
    /// Grants a lease.
    LeaseGrant(LeaseGrantRequest),
    /// Restarts the lease's time to live.
    LeaseKeepAlive(LeaseId),
    /// Ends the lease now and deletes its keys, in one revision.
    LeaseRevoke(LeaseId),
    /// Returns the remaining time of the lease and its keys.
    LeaseTimeToLive(LeaseId),
    /// Lists leases in order of id.
    LeaseList {
        /// Return only ids above this one.
        after: LeaseId,
        /// Up to this many; 0 for `store.range_keys_max`.
        limit: usize,
    },
    /// Lists the keys bound to a lease, in order.
    LeaseKeys {
        /// The lease.
        id: LeaseId,
        /// Return only keys above this one; empty for all.
        after: Blob,
        /// Up to this many; 0 for `store.range_keys_max`.
        limit: usize,
    },
    /// Drops the history before this revision, which becomes the oldest readable one.
    Compact(Revision),
}

impl KvRequest {
    /// Returns whether the request takes an idempotency key: it changes keys or leases, in one
    /// revision.
    pub fn is_write(&self) -> bool {
        self.facts().repeat == Repeat::Keyed
    }
}

/// Sets a key.
///
/// ```
/// use std::time::Duration;
/// use wakeful::SetRequest;
///
/// let plain = SetRequest::new("greeting", "hello");
/// let fleeting = SetRequest { ttl: Some(Duration::from_secs(30)), ..plain };
/// # assert_eq!(fleeting.key, "greeting");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetRequest {
    /// The key: 1 ..= `store.key_bytes_max` bytes.
    pub key: Blob,
    /// The value: 0 ..= `store.value_bytes_max` bytes.
    pub value: Blob,
    /// An existing lease to bind the key to; 0 for none. Replaces the lease that the key had. The
    /// private lease of a key takes no other key.
    pub lease: LeaseId,
    /// A time to live for this key alone, `store.lease_ttl_min ..= store.lease_ttl_max`, whole
    /// milliseconds: makes a private lease that ends when the key is deleted or set again without it.
    /// Not together with `lease`.
    pub ttl: Option<Duration>,
    /// Do nothing if the key exists with this value and lease: no revision, no event. With `ttl`, a
    /// private lease that the key already has counts as the same, and its time restarts.
    pub only_if_changed: bool,
    /// Return the key as it was before.
    pub return_previous: bool,
}

impl SetRequest {
    /// Sets `key` to `value` without a lease, whether or not that changes the key.
    pub fn new(key: impl Into<Blob>, value: impl Into<Blob>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            lease: 0,
            ttl: None,
            only_if_changed: false,
            return_previous: false,
        }
    }
}

/// Reads a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GetRequest {
    /// The key.
    pub key: Blob,
    /// The revision to read at; 0 for the current one.
    pub revision: Revision,
}

/// Reads a page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangeRequest {
    /// The keys.
    pub range: KeyRange,
    /// The revision to read at; 0 for the current one.
    pub revision: Revision,
    /// Page size, up to `store.range_keys_max`; 0 for that maximum.
    pub limit: usize,
    /// The order of the keys.
    pub order: RangeOrder,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count. At a past revision, a count looks at every key: beyond `store.steps_max`, a range is
    /// refused and a scan continues in parts.
    pub count_only: bool,
    /// Continue after this key (before it, when descending): the `next` of the previous page; `None`
    /// for the first page. With the revision of the first page, the pages are consistent with each
    /// other.
    pub after: Option<Blob>,
}

impl RangeRequest {
    /// Asks for the first page of `range`: current, ascending, with values.
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            revision: 0,
            limit: 0,
            order: RangeOrder::Ascending,
            keys_only: false,
            count_only: false,
            after: None,
        }
    }
}

/// Order of keys, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeOrder {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Deletes keys, all in one revision; if there is no key to delete, there is no revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeleteRequest {
    /// The keys; at most `store.revision_events_max` of them may exist.
    pub range: KeyRange,
    /// Return the keys as they were before: up to `store.range_keys_max` keys and
    /// `store.range_bytes_max` bytes in total.
    pub return_previous: bool,
}

impl DeleteRequest {
    /// Deletes `range`.
    pub fn new(range: KeyRange) -> Self {
        Self { range, return_previous: false }
    }
}

/// Evaluates compares, then executes one of two lists of operations, in one revision.
///
/// All compares are evaluated before any operation. Operations run in order and see the effects of
/// earlier ones. A list that writes nothing makes no revision. A key may be written only once. If
/// anything is refused, nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TxnRequest {
    /// The conditions, which must all hold; up to `store.txn_ops_max`.
    pub compares: Vec<Compare>,
    /// Executed if all conditions hold; up to `store.txn_ops_max`.
    pub success: Vec<TxnOp>,
    /// Executed otherwise; up to `store.txn_ops_max`.
    pub failure: Vec<TxnOp>,
}

/// A condition that must hold for every key of the range.
///
/// A key that does not exist has version, revisions and lease 0, and no value: a compare of its value
/// never holds. A compare of a range considers only keys that exist; it holds for a range without keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compare {
    /// The keys.
    pub range: KeyRange,
    /// How the key's property relates to the target.
    pub op: CompareOp,
    /// The property and the value to compare it with.
    pub target: CompareTarget,
}

/// How the key's property relates to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// =
    Equal,
    /// !=
    NotEqual,
    /// <
    Less,
    /// >
    Greater,
}

/// The property and the value to compare it with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompareTarget {
    /// The value, byte by byte.
    Value(Blob),
    /// The version; 0 for a key that does not exist.
    Version(u64),
    /// The create revision; 0 for a key that does not exist.
    CreateRevision(Revision),
    /// The mod revision; 0 for a key that does not exist.
    ModRevision(Revision),
    /// The lease; 0 for none.
    Lease(LeaseId),
}

/// One operation of a transaction; answered by the [`Reply`](super::Reply) of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TxnOp {
    /// Sets a key.
    Set(SetRequest),
    /// Reads a key; a past revision is read as it was, 0 sees the effects of the transaction so far.
    Get(GetRequest),
    /// Reads a page of keys, as for `Get`. All replies of a transaction share the size limit of one
    /// page: a reply for which nothing is left is empty, with `more` set. The work of all operations of
    /// a transaction is limited by `store.steps_max`, beyond which the transaction is refused.
    Range(RangeRequest),
    /// Deletes keys.
    Delete(DeleteRequest),
}

/// Grants a lease: keys bound to it are deleted, in one revision, when its time ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseGrantRequest {
    /// The id of the lease; 0 to let the store choose.
    pub id: LeaseId,
    /// Time to live, `store.lease_ttl_min ..= store.lease_ttl_max`, whole milliseconds.
    pub ttl: Duration,
}
