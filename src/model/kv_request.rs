//! Requests to the keys, their history and leases, which are answered in one step. Waits and watches,
//! which take time, are in [`watch`](super::watch).

use std::time::Duration;

use super::facts::Repeat;
use super::{Blob, KeyRange, LeaseId, Revision};

/// Reads or changes keys, their history and leases; answered at once by the
/// [`Reply`](super::Reply) of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvRequest {
    /// Sets a key.
    Set(SetRequest),
    /// Reads a key.
    Get(GetRequest),
    /// Reads a page of keys.
    Range(RangeRequest),
    /// Reads a page of keys that may end, with a place to go on from, before it has found any: a
    /// range of the past may look at very many keys that were not there.
    Scan(Box<RangeRequest>),
    /// Deletes keys.
    Delete(DeleteRequest),
    /// Compares, then does one of two lists of operations, in one revision.
    Txn(TxnRequest),
    /// Makes a lease.
    LeaseGrant(LeaseGrantRequest),
    /// Starts the lease's time to live again from now.
    LeaseKeepAlive(LeaseId),
    /// Ends the lease now and deletes its keys, in one revision.
    LeaseRevoke(LeaseId),
    /// Returns how long the lease has left, and its keys.
    LeaseTimeToLive(LeaseId),
    /// Lists leases in order of id.
    LeaseList {
        /// Only ids above this.
        after: LeaseId,
        /// Up to this many; 0 for `store.range_keys_max`.
        limit: usize,
    },
    /// Lists the keys that end with a lease, in order.
    LeaseKeys {
        /// Which lease.
        id: LeaseId,
        /// Only keys above this; empty for all.
        after: Blob,
        /// Up to this many; 0 for `store.range_keys_max`.
        limit: usize,
    },
    /// Gives up the history before this revision: it becomes the oldest readable one.
    Compact(Revision),
}

impl KvRequest {
    /// Returns whether the request takes an idempotency key: it changes keys or leases, in one revision.
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
    /// An existing lease to end with; 0 for none. Replaces the lease the key had. The private
    /// lease of a key takes no other key.
    pub lease: LeaseId,
    /// A time to live of its own, `store.lease_ttl_min ..= store.lease_ttl_max`, whole
    /// milliseconds: a private lease that ends when the key is deleted or set again without it.
    /// Not together with `lease`.
    pub ttl: Option<Duration>,
    /// Do nothing if the key exists with this value and lease: no revision, no event. With `ttl`,
    /// a private lease the key already has counts as the same, and its time starts again.
    pub only_if_changed: bool,
    /// Answer with the key as it was before.
    pub return_previous: bool,
}

impl SetRequest {
    /// Sets `key` to `value` for good, whether it changes or not.
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
    /// As it was after this revision; 0 for now.
    pub revision: Revision,
}

/// Reads a page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// As they were after this revision; 0 for now.
    pub revision: Revision,
    /// At most so many, up to `store.range_keys_max`; 0 for as many as that.
    pub limit: usize,
    /// In which order of keys.
    pub order: RangeOrder,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count. At a past revision a count looks at every key: beyond `store.steps_max` a
    /// range is refused, and a scan goes on in parts.
    pub count_only: bool,
    /// Go on after this key (before it, when descending): `next` of the page before. `None`
    /// for the first page. Give the revision of the first page too and the pages fit together.
    pub after: Option<Blob>,
}

impl RangeRequest {
    /// The first page of `range`, now, ascending, with values.
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

/// Deletes keys, all in one revision; without keys to delete there is no revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeleteRequest {
    /// Which keys; at most `store.revision_events_max` may exist.
    pub range: KeyRange,
    /// Answer with the keys as they were before: at most `store.range_keys_max` of them, together
    /// at most `store.range_bytes_max` bytes.
    pub return_previous: bool,
}

impl DeleteRequest {
    /// Deletes `range`.
    pub fn new(range: KeyRange) -> Self {
        Self { range, return_previous: false }
    }
}

/// Compares, then does one of two lists of operations, in one revision.
///
/// All compares are made before any operation. Operations run in order and see those before
/// them. A list that writes nothing makes no revision. A key may be written only once; nothing
/// is changed if anything is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TxnRequest {
    /// What must all hold; at most `store.txn_ops_max`.
    pub compares: Vec<Compare>,
    /// Done when all hold; at most `store.txn_ops_max`.
    pub success: Vec<TxnOp>,
    /// Done when not; at most `store.txn_ops_max`.
    pub failure: Vec<TxnOp>,
}

/// One thing that must hold, for every key of the range.
///
/// A key that does not exist has version, revisions and lease 0, and no value: a compare of its
/// value never holds. On a range, only keys that exist are compared; a range without keys holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// How the key's own side relates to the target's.
    pub op: CompareOp,
    /// What is compared, and with what.
    pub target: CompareTarget,
}

/// How the key's own side relates to the target's.
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

/// What is compared, and with what.
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
    /// Reads a key; a past revision is read as it was, 0 sees what the transaction did so far.
    Get(GetRequest),
    /// Reads a page of keys; as for `Get`. All replies of a transaction have the room of one page:
    /// one that comes when it is used up is empty, with `more` set. What all operations of a
    /// transaction look at is limited by `store.steps_max`, beyond which it is refused.
    Range(RangeRequest),
    /// Deletes keys.
    Delete(DeleteRequest),
}

/// Makes a lease: keys set with it are deleted, in one revision, when its time ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseGrantRequest {
    /// The id to have; 0 for one the store picks.
    pub id: LeaseId,
    /// Time to live, `store.lease_ttl_min ..= store.lease_ttl_max`, whole milliseconds.
    pub ttl: Duration,
}
