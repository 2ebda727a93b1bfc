//! [`StoreChange`]: what a request changed, as recorded in the journal.
//!
//! Records hold effects, not requests: a replay, under other limits or by another version, decides
//! nothing again. `docs/journal.md` has the layout.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::IdempotentWrite;
use crate::fair::ClientId;
use crate::model::{
    Blob, DeleteReply, GetReply, IdempotencyKey, KeyValue, LeaseId, LeaseReply, RangeReply, Reply,
    Revision, SetReply, TxnReply,
};
use crate::record;
use crate::time::Micros;

/// The first bytes of a record's payload: the state machine that the record belongs to, and the
/// version.
pub(super) const STORE_RECORD: [u8; 2] = [1, 1];

/// A single change that a request made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreChange {
    /// A key was set. Revisions and version follow from the state before.
    Put { key: Blob, value: Blob, lease: LeaseId },
    /// A key was deleted.
    Delete { key: Blob },
    /// A lease was granted; its time starts now.
    LeaseGranted { id: LeaseId, ttl: Micros, private: bool },
    /// A lease was renewed; its time restarts now.
    LeaseRenewed { id: LeaseId, ttl: Micros },
    /// A lease ended; the deletions of its keys are changes of their own.
    LeaseEnded { id: LeaseId },
    /// The history before this revision was compacted by request.
    Compacted { revision: Revision },
    /// A reply was remembered for its idempotency key.
    Remembered { once: IdempotentWrite, fingerprint: u64, reply: Reply },
    /// A snapshot begins: the history is readable from `oldest` on; the keys that follow, about `keys`
    /// of them, are as of `revision`.
    Began { oldest: Revision, revision: Revision, keys: u64 },
    /// A key in a snapshot.
    Kept { kv: Arc<KeyValue> },
    /// A lease in a snapshot.
    LeaseKept { id: LeaseId, ttl: Micros, deadline: Micros, private: bool },
}

/// The head of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoreRecordHead {
    /// The store's clock.
    pub(super) time: Micros,
    /// The revision that the changes to keys made; the current one if no key changed.
    pub(super) revision: Revision,
    /// The number of changes that follow.
    pub(super) changes: u32,
}

#[derive(Serialize, Deserialize)]
enum StoredChange<'a> {
    Put(#[serde(borrow)] &'a Bytes, &'a Bytes, u64),
    Delete(&'a Bytes),
    LeaseGranted(u64, u64, bool),
    LeaseRenewed(u64, u64),
    LeaseEnded(u64),
    Compacted(u64),
    Remembered(u128, u64, StoredReply<'a>),
    Began(u64, u64, u64),
    Kept(StoredKeyValue<'a>),
    LeaseKept(u64, u64, u64, bool),
    /// Like `Remembered`, for a connection without a user; before `RememberedOfUser` existed, also for
    /// a user.
    RememberedOf(u64, u128, u64, StoredReply<'a>),
    RememberedOfUser(u64, u128, u64, StoredReply<'a>),
}

#[derive(Serialize, Deserialize)]
enum StoredReply<'a> {
    One(#[serde(borrow)] StoredCallResult<'a>),
    Txn(u64, bool, Vec<StoredCallResult<'a>>),
    LeaseGrant(u64, u64, u64),
    LeaseRevoke(u64, u64),
}

/// The reply to one operation, alone or in a transaction. Separate from [`StoredReply`], so that the
/// decoder cannot recurse on a hostile record.
#[derive(Serialize, Deserialize)]
enum StoredCallResult<'a> {
    Set(u64, bool, u64, #[serde(borrow)] Option<StoredKeyValue<'a>>),
    Get(u64, Option<StoredKeyValue<'a>>),
    Range(u64, Vec<StoredKeyValue<'a>>, bool, u64),
    Delete(u64, u64, Vec<StoredKeyValue<'a>>),
}

#[derive(Serialize, Deserialize)]
struct StoredKeyValue<'a> {
    #[serde(borrow)]
    key: &'a Bytes,
    value: &'a Bytes,
    create_revision: u64,
    mod_revision: u64,
    version: u64,
    lease: u64,
}

impl StoreChange {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let change = match self {
            Self::Put { key, value, lease } => {
                StoredChange::Put(Bytes::new(key), Bytes::new(value), *lease)
            }
            Self::Delete { key } => StoredChange::Delete(Bytes::new(key)),
            Self::LeaseGranted { id, ttl, private } => {
                StoredChange::LeaseGranted(*id, *ttl, *private)
            }
            Self::LeaseRenewed { id, ttl } => StoredChange::LeaseRenewed(*id, *ttl),
            Self::LeaseEnded { id } => StoredChange::LeaseEnded(*id),
            Self::Compacted { revision } => StoredChange::Compacted(*revision),
            Self::Remembered { once: IdempotentWrite { key, client }, fingerprint, reply } => {
                let Some(reply) = StoredReply::of(reply) else { return };
                match client {
                    ClientId::Process => StoredChange::Remembered(*key, *fingerprint, reply),
                    ClientId::Connection(number) => {
                        StoredChange::RememberedOf(*number, *key, *fingerprint, reply)
                    }
                    ClientId::User(user) => {
                        StoredChange::RememberedOfUser(*user, *key, *fingerprint, reply)
                    }
                }
            }
            Self::Began { oldest, revision, keys } => {
                StoredChange::Began(*oldest, *revision, *keys)
            }
            Self::Kept { kv } => StoredChange::Kept(StoredKeyValue::of(kv)),
            Self::LeaseKept { id, ttl, deadline, private } => {
                StoredChange::LeaseKept(*id, *ttl, *deadline, *private)
            }
        };
        record::encode(&change, out);
    }

    /// Decodes the next change and returns it with the bytes that follow it.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let (change, rest) = record::decode::<StoredChange<'_>>(bytes)?;
        let change = match change {
            StoredChange::Put(key, value, lease) => {
                Self::Put { key: blob(key), value: blob(value), lease }
            }
            StoredChange::Delete(key) => Self::Delete { key: blob(key) },
            StoredChange::LeaseGranted(id, ttl, private) => Self::LeaseGranted { id, ttl, private },
            StoredChange::LeaseRenewed(id, ttl) => Self::LeaseRenewed { id, ttl },
            StoredChange::LeaseEnded(id) => Self::LeaseEnded { id },
            StoredChange::Compacted(revision) => Self::Compacted { revision },
            StoredChange::Remembered(key, fingerprint, reply) => {
                remembered(ClientId::Process, key, fingerprint, reply)
            }
            StoredChange::RememberedOf(number, key, fingerprint, reply) => {
                remembered(ClientId::Connection(number), key, fingerprint, reply)
            }
            StoredChange::RememberedOfUser(user, key, fingerprint, reply) => {
                remembered(ClientId::User(user), key, fingerprint, reply)
            }
            StoredChange::Began(oldest, revision, keys) => Self::Began { oldest, revision, keys },
            StoredChange::Kept(kv) => Self::Kept { kv: kv.into() },
            StoredChange::LeaseKept(id, ttl, deadline, private) => {
                Self::LeaseKept { id, ttl, deadline, private }
            }
        };
        Ok((change, rest))
    }

    /// Returns whether the change concerns a lease.
    pub(super) fn is_of_lease(&self) -> bool {
        matches!(
            self,
            Self::LeaseGranted { .. } | Self::LeaseRenewed { .. } | Self::LeaseEnded { .. }
        )
    }
}

fn remembered(
    client: ClientId,
    key: IdempotencyKey,
    fingerprint: u64,
    reply: StoredReply<'_>,
) -> StoreChange {
    StoreChange::Remembered {
        once: IdempotentWrite { key, client },
        fingerprint,
        reply: reply.into(),
    }
}

fn blob(bytes: &Bytes) -> Blob {
    Blob::from(&**bytes)
}

impl<'a> StoredKeyValue<'a> {
    fn of(kv: &'a KeyValue) -> Self {
        Self {
            key: Bytes::new(&kv.key),
            value: Bytes::new(&kv.value),
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

impl From<StoredKeyValue<'_>> for Arc<KeyValue> {
    fn from(wire: StoredKeyValue<'_>) -> Self {
        Arc::new(KeyValue {
            key: blob(wire.key),
            value: blob(wire.value),
            create_revision: wire.create_revision,
            mod_revision: wire.mod_revision,
            version: wire.version,
            lease: wire.lease,
        })
    }
}

impl<'a> StoredReply<'a> {
    /// Returns `None` for a reply that is never remembered.
    fn of(reply: &'a Reply) -> Option<Self> {
        Some(match reply {
            Reply::Txn(txn) => Self::Txn(
                txn.revision,
                txn.succeeded,
                txn.results.iter().filter_map(StoredCallResult::of).collect(),
            ),
            Reply::LeaseGrant(lease) => {
                Self::LeaseGrant(lease.revision, lease.id, super::lease::micros(lease.ttl))
            }
            Reply::LeaseRevoke(reply) => Self::LeaseRevoke(reply.revision, reply.deleted),
            reply => Self::One(StoredCallResult::of(reply)?),
        })
    }
}

impl<'a> StoredCallResult<'a> {
    /// Returns `None` for a reply that no operation of a transaction has.
    fn of(reply: &'a Reply) -> Option<Self> {
        let all = |kvs: &'a [Arc<KeyValue>]| kvs.iter().map(|kv| StoredKeyValue::of(kv)).collect();
        let one = |kv: &'a Option<Arc<KeyValue>>| kv.as_deref().map(StoredKeyValue::of);
        Some(match reply {
            Reply::Set(set) => Self::Set(set.revision, set.changed, set.lease, one(&set.previous)),
            Reply::Get(get) => Self::Get(get.revision, one(&get.kv)),
            Reply::Range(page) => Self::Range(page.revision, all(&page.kvs), page.more, page.count),
            Reply::Delete(reply) => {
                Self::Delete(reply.revision, reply.deleted, all(&reply.previous))
            }
            _ => return None,
        })
    }
}

impl From<StoredReply<'_>> for Reply {
    fn from(wire: StoredReply<'_>) -> Self {
        match wire {
            StoredReply::One(result) => result.into(),
            StoredReply::Txn(revision, succeeded, results) => {
                let results = results.into_iter().map(Into::into).collect();
                Self::Txn(TxnReply { revision, succeeded, results })
            }
            StoredReply::LeaseGrant(revision, id, ttl) => {
                let ttl = std::time::Duration::from_micros(ttl);
                Self::LeaseGrant(LeaseReply { revision, id, ttl })
            }
            StoredReply::LeaseRevoke(revision, deleted) => {
                Self::LeaseRevoke(DeleteReply { revision, deleted, previous: Vec::new() })
            }
        }
    }
}

impl From<StoredCallResult<'_>> for Reply {
    fn from(wire: StoredCallResult<'_>) -> Self {
        let all = |kvs: Vec<StoredKeyValue<'_>>| kvs.into_iter().map(Into::into).collect();
        match wire {
            StoredCallResult::Set(revision, changed, lease, previous) => {
                let previous = previous.map(Into::into);
                Self::Set(SetReply { revision, changed, lease, previous })
            }
            StoredCallResult::Get(revision, kv) => {
                Self::Get(GetReply { revision, kv: kv.map(Into::into) })
            }
            StoredCallResult::Range(revision, kvs, more, count) => {
                let kvs: Vec<Arc<KeyValue>> = all(kvs);
                let next = kvs.last().filter(|_| more).map(|last| last.key.clone());
                Self::Range(RangeReply { revision, kvs, more, count, next })
            }
            StoredCallResult::Delete(revision, deleted, previous) => {
                Self::Delete(DeleteReply { revision, deleted, previous: all(previous) })
            }
        }
    }
}
