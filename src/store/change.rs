//! [`Change`]: what a request changed, as recorded in the journal.
//!
//! Records hold effects, not requests: a replay, under other limits or by another version, decides
//! nothing again. `docs/journal.md` has the layout.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::{Micros, Once};
use crate::fair::ClientId;
use crate::model::{
    Blob, DeleteReply, GetReply, IdempotencyKey, KeyValue, LeaseId, LeaseReply, RangeReply, Reply,
    Revision, SetReply, TxnReply,
};
use crate::record;

/// The first bytes of a record's payload: the state machine that the record belongs to, and the
/// version.
pub(super) const STORE_RECORD: [u8; 2] = [1, 1];

/// One thing that a request changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
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
    Remembered { once: Once, fingerprint: u64, reply: Reply },
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
pub(super) struct Head {
    /// The store's clock.
    pub(super) time: Micros,
    /// The revision that the changes to keys made; the current one if no key changed.
    pub(super) revision: Revision,
    /// The number of changes that follow.
    pub(super) changes: u32,
}

#[derive(Serialize, Deserialize)]
enum WireChange<'a> {
    Put(#[serde(borrow)] &'a Bytes, &'a Bytes, u64),
    Delete(&'a Bytes),
    LeaseGranted(u64, u64, bool),
    LeaseRenewed(u64, u64),
    LeaseEnded(u64),
    Compacted(u64),
    Remembered(u128, u64, WireReply<'a>),
    Began(u64, u64, u64),
    Kept(WireKeyValue<'a>),
    LeaseKept(u64, u64, u64, bool),
    /// Like `Remembered`, for a connection without a user; before `RememberedOfUser` existed, also for
    /// a user.
    RememberedOf(u64, u128, u64, WireReply<'a>),
    RememberedOfUser(u64, u128, u64, WireReply<'a>),
}

#[derive(Serialize, Deserialize)]
enum WireReply<'a> {
    One(#[serde(borrow)] WireResult<'a>),
    Txn(u64, bool, Vec<WireResult<'a>>),
    LeaseGrant(u64, u64, u64),
    LeaseRevoke(u64, u64),
}

/// The reply to one operation, alone or in a transaction. Separate from [`WireReply`], so that the
/// decoder cannot recurse on a hostile record.
#[derive(Serialize, Deserialize)]
enum WireResult<'a> {
    Set(u64, bool, u64, #[serde(borrow)] Option<WireKeyValue<'a>>),
    Get(u64, Option<WireKeyValue<'a>>),
    Range(u64, Vec<WireKeyValue<'a>>, bool, u64),
    Delete(u64, u64, Vec<WireKeyValue<'a>>),
}

#[derive(Serialize, Deserialize)]
struct WireKeyValue<'a> {
    #[serde(borrow)]
    key: &'a Bytes,
    value: &'a Bytes,
    create_revision: u64,
    mod_revision: u64,
    version: u64,
    lease: u64,
}

impl Change {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let change = match self {
            Self::Put { key, value, lease } => {
                WireChange::Put(Bytes::new(key), Bytes::new(value), *lease)
            }
            Self::Delete { key } => WireChange::Delete(Bytes::new(key)),
            Self::LeaseGranted { id, ttl, private } => {
                WireChange::LeaseGranted(*id, *ttl, *private)
            }
            Self::LeaseRenewed { id, ttl } => WireChange::LeaseRenewed(*id, *ttl),
            Self::LeaseEnded { id } => WireChange::LeaseEnded(*id),
            Self::Compacted { revision } => WireChange::Compacted(*revision),
            Self::Remembered { once: Once { key, client }, fingerprint, reply } => {
                let Some(reply) = WireReply::of(reply) else { return };
                match client {
                    ClientId::Process => WireChange::Remembered(*key, *fingerprint, reply),
                    ClientId::Connection(number) => {
                        WireChange::RememberedOf(*number, *key, *fingerprint, reply)
                    }
                    ClientId::User(user) => {
                        WireChange::RememberedOfUser(*user, *key, *fingerprint, reply)
                    }
                }
            }
            Self::Began { oldest, revision, keys } => WireChange::Began(*oldest, *revision, *keys),
            Self::Kept { kv } => WireChange::Kept(WireKeyValue::of(kv)),
            Self::LeaseKept { id, ttl, deadline, private } => {
                WireChange::LeaseKept(*id, *ttl, *deadline, *private)
            }
        };
        record::encode(&change, out);
    }

    /// Decodes the next change and returns it with the bytes that follow it.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let (change, rest) = record::decode::<WireChange<'_>>(bytes)?;
        let change = match change {
            WireChange::Put(key, value, lease) => {
                Self::Put { key: blob(key), value: blob(value), lease }
            }
            WireChange::Delete(key) => Self::Delete { key: blob(key) },
            WireChange::LeaseGranted(id, ttl, private) => Self::LeaseGranted { id, ttl, private },
            WireChange::LeaseRenewed(id, ttl) => Self::LeaseRenewed { id, ttl },
            WireChange::LeaseEnded(id) => Self::LeaseEnded { id },
            WireChange::Compacted(revision) => Self::Compacted { revision },
            WireChange::Remembered(key, fingerprint, reply) => {
                remembered(ClientId::Process, key, fingerprint, reply)
            }
            WireChange::RememberedOf(number, key, fingerprint, reply) => {
                remembered(ClientId::Connection(number), key, fingerprint, reply)
            }
            WireChange::RememberedOfUser(user, key, fingerprint, reply) => {
                remembered(ClientId::User(user), key, fingerprint, reply)
            }
            WireChange::Began(oldest, revision, keys) => Self::Began { oldest, revision, keys },
            WireChange::Kept(kv) => Self::Kept { kv: kv.into() },
            WireChange::LeaseKept(id, ttl, deadline, private) => {
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
    reply: WireReply<'_>,
) -> Change {
    Change::Remembered { once: Once { key, client }, fingerprint, reply: reply.into() }
}

fn blob(bytes: &Bytes) -> Blob {
    Blob::from(&**bytes)
}

impl<'a> WireKeyValue<'a> {
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

impl From<WireKeyValue<'_>> for Arc<KeyValue> {
    fn from(wire: WireKeyValue<'_>) -> Self {
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

impl<'a> WireReply<'a> {
    /// Returns `None` for a reply that is never remembered.
    fn of(reply: &'a Reply) -> Option<Self> {
        Some(match reply {
            Reply::Txn(txn) => Self::Txn(
                txn.revision,
                txn.succeeded,
                txn.results.iter().filter_map(WireResult::of).collect(),
            ),
            Reply::LeaseGrant(lease) => {
                Self::LeaseGrant(lease.revision, lease.id, super::lease::micros(lease.ttl))
            }
            Reply::LeaseRevoke(reply) => Self::LeaseRevoke(reply.revision, reply.deleted),
            reply => Self::One(WireResult::of(reply)?),
        })
    }
}

impl<'a> WireResult<'a> {
    /// Returns `None` for a reply that no operation of a transaction has.
    fn of(reply: &'a Reply) -> Option<Self> {
        let all = |kvs: &'a [Arc<KeyValue>]| kvs.iter().map(|kv| WireKeyValue::of(kv)).collect();
        let one = |kv: &'a Option<Arc<KeyValue>>| kv.as_deref().map(WireKeyValue::of);
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

impl From<WireReply<'_>> for Reply {
    fn from(wire: WireReply<'_>) -> Self {
        match wire {
            WireReply::One(result) => result.into(),
            WireReply::Txn(revision, succeeded, results) => {
                let results = results.into_iter().map(Into::into).collect();
                Self::Txn(TxnReply { revision, succeeded, results })
            }
            WireReply::LeaseGrant(revision, id, ttl) => {
                let ttl = std::time::Duration::from_micros(ttl);
                Self::LeaseGrant(LeaseReply { revision, id, ttl })
            }
            WireReply::LeaseRevoke(revision, deleted) => {
                Self::LeaseRevoke(DeleteReply { revision, deleted, previous: Vec::new() })
            }
        }
    }
}

impl From<WireResult<'_>> for Reply {
    fn from(wire: WireResult<'_>) -> Self {
        let all = |kvs: Vec<WireKeyValue<'_>>| kvs.into_iter().map(Into::into).collect();
        match wire {
            WireResult::Set(revision, changed, lease, previous) => {
                let previous = previous.map(Into::into);
                Self::Set(SetReply { revision, changed, lease, previous })
            }
            WireResult::Get(revision, kv) => {
                Self::Get(GetReply { revision, kv: kv.map(Into::into) })
            }
            WireResult::Range(revision, kvs, more, count) => {
                let kvs: Vec<Arc<KeyValue>> = all(kvs);
                let next = kvs.last().filter(|_| more).map(|last| last.key.clone());
                Self::Range(RangeReply { revision, kvs, more, count, next })
            }
            WireResult::Delete(revision, deleted, previous) => {
                Self::Delete(DeleteReply { revision, deleted, previous: all(previous) })
            }
        }
    }
}
