//! [`Model`]: the store as its promises describe it, without regard to speed.
//!
//! The model keeps the whole state of every revision and every event. A request is either executed, or
//! refused for one of several reasons, of which the store may name any.

mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::share_of_key;
use crate::config::StoreConfig;
use crate::model::{
    Blob, CompactReply, Compare, CompareOp, CompareTarget, DeleteReply, DeleteRequest, Event,
    GetReply, GetRequest, IdempotencyKey, KeyRange, KeyValue, KvRequest, LeaseId, LeaseKeysReply,
    LeaseListReply, LeaseReply, LeaseTimeToLiveReply, RangeOrder, RangeReply, RangeRequest, Reply,
    Revision, SetReply, SetRequest, TxnOp, TxnReply, TxnRequest,
};
use crate::store::history::EVENT_OVERHEAD_BYTES;
use crate::time::Micros;

pub(crate) use refused::reason;

pub(crate) type Keys = BTreeMap<Blob, Arc<KeyValue>>;

/// The reasons for a refusal, any of which is correct.
pub(crate) type Reasons = BTreeSet<&'static str>;

#[derive(Debug, Clone)]
struct Lease {
    ttl: Duration,
    deadline: Micros,
    private: bool,
}

#[derive(Debug, Clone)]
struct Remembered {
    at: Micros,
    key: IdempotencyKey,
    request: KvRequest,
    reply: Reply,
}

#[derive(Debug)]
pub(crate) struct Model {
    config: StoreConfig,
    pub(crate) oldest: Revision,
    keys: Keys,
    /// The keys after each revision except the current one, from 1 on.
    past: Vec<Keys>,
    pub(crate) log: Vec<Event>,
    leases: BTreeMap<LeaseId, Lease>,
    next_lease: LeaseId,
    remembered: Vec<Remembered>,
}

/// The remaining capacity for the pages of one transaction.
struct Room {
    keys: usize,
    bytes: usize,
}

impl Model {
    pub(crate) fn new(config: StoreConfig) -> Self {
        Self {
            config,
            oldest: 1,
            keys: Keys::new(),
            past: Vec::new(),
            log: Vec::new(),
            leases: BTreeMap::new(),
            next_lease: 1,
            remembered: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.past.len() as Revision + 1
    }

    /// Returns the keys after `revision`; 0 for now.
    pub(crate) fn keys_at(&self, revision: Revision) -> &Keys {
        if revision == 0 || revision == self.revision() {
            &self.keys
        } else {
            &self.past[revision as usize - 1]
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.keys.values().map(|kv| kv.bytes() as u64).sum()
    }

    pub(crate) fn leases(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// Returns the events that are not compacted.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &Event> {
        self.log.iter().filter(|event| event.revision() >= self.oldest)
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.leases.values().map(|lease| lease.deadline).min()
    }

    pub(crate) fn apply(
        &mut self,
        now: Micros,
        idempotency: Option<IdempotencyKey>,
        request: KvRequest,
    ) -> Result<Reply, Reasons> {
        let Some(key) = idempotency else { return self.apply_anew(now, request) };
        if !request.is_write() {
            return Err(Reasons::from(["InvalidArgument"]));
        }
        let ttl = self.config.idempotency_ttl.as_micros() as Micros;
        self.remembered.retain(|one| one.at + ttl > now);
        if let Some(known) = self.remembered.iter().find(|one| one.key == key) {
            return if known.request == request {
                Ok(known.reply.clone())
            } else {
                Err(Reasons::from(["IdempotencyMismatch"]))
            };
        }
        let reply = self.apply_anew(now, request.clone())?;
        self.remembered.push(Remembered { at: now, key, request, reply: reply.clone() });
        while self.remembered.len() > self.config.idempotency_keys_max {
            let of =
                |share| self.remembered.iter().filter(move |one| share_of_key(one.key) == share);
            let (_, most) = (0..2).map(|share| (of(share).count(), share)).max().unwrap();
            let oldest = self.remembered.iter().position(|one| share_of_key(one.key) == most);
            self.remembered.remove(oldest.unwrap());
        }
        Ok(reply)
    }

    /// Ends the first lease that is due; returns the number of deleted keys.
    pub(crate) fn expire_one(&mut self, now: Micros) -> Option<usize> {
        let due = self.leases.iter().map(|(id, lease)| (lease.deadline, *id)).min();
        let (_, id) = due.filter(|(deadline, _)| *deadline <= now)?;
        Some(self.end_lease(id))
    }

    /// Returns the number of keys of the first lease that is due.
    pub(crate) fn due_keys(&self, now: Micros) -> Option<usize> {
        let due = self.leases.iter().map(|(id, lease)| (lease.deadline, *id)).min();
        let (_, id) = due.filter(|(deadline, _)| *deadline <= now)?;
        Some(self.keys.values().filter(|kv| kv.lease == id).count())
    }

    fn apply_anew(&mut self, now: Micros, request: KvRequest) -> Result<Reply, Reasons> {
        let reasons = self.reasons_against(&request);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let revision = self.revision();
        Ok(match request {
            KvRequest::Set(set) => self.transact(|model| vec![model.set(now, set)]).remove(0),
            KvRequest::Delete(delete) => {
                self.transact(|model| vec![model.delete(&delete)]).remove(0)
            }
            KvRequest::Txn(txn) => self.txn(now, txn)?,
            KvRequest::Get(get) => self.get(&get),
            KvRequest::Range(range) => {
                let mut room = self.whole_room();
                Reply::Range(self.page(&range, &mut room))
            }
            KvRequest::Scan(range) => {
                let mut room = self.whole_room();
                Reply::Scan(self.page(&range, &mut room))
            }
            KvRequest::LeaseGrant(grant) => {
                let id = if grant.id == 0 { self.pick_lease() } else { grant.id };
                self.leases.insert(id, lease(now, grant.ttl, false));
                Reply::LeaseGrant(LeaseReply { revision, id, ttl: grant.ttl })
            }
            KvRequest::LeaseKeepAlive(id) => {
                let ttl = self.leases[&id].ttl;
                self.renew(now, id, ttl);
                Reply::LeaseKeepAlive(LeaseReply { revision, id, ttl })
            }
            KvRequest::LeaseRevoke(id) => {
                let deleted = self.end_lease(id) as u64;
                let revision = self.revision();
                Reply::LeaseRevoke(DeleteReply { revision, deleted, previous: Vec::new() })
            }
            KvRequest::LeaseKeys { id, after, limit } => {
                let (keys, more) = self.key_page(id, &after, self.limit(limit));
                Reply::LeaseKeys(LeaseKeysReply { revision, keys, more })
            }
            KvRequest::LeaseTimeToLive(id) => {
                let keys = self.key_page(id, &Blob::default(), self.config.range_keys_max).0;
                let lease = &self.leases[&id];
                Reply::LeaseTimeToLive(LeaseTimeToLiveReply {
                    revision,
                    id,
                    granted: lease.ttl,
                    remaining: Duration::from_micros(lease.deadline.saturating_sub(now)),
                    keys,
                })
            }
            KvRequest::LeaseList { after, limit } => {
                let limit = self.limit(limit);
                let mut leases: Vec<_> =
                    self.leases().into_iter().filter(|id| *id > after).collect();
                let more = leases.len() > limit;
                leases.truncate(limit);
                Reply::LeaseList(LeaseListReply { revision, leases, more })
            }
            KvRequest::Compact(to) => {
                self.oldest = to;
                Reply::Compact(CompactReply { revision, oldest: to })
            }
        })
    }
}

/// Execution of requests.
impl Model {
    /// Returns keys of a lease above `after`: up to `limit`, and up to the bytes of a page, but at
    /// least one.
    fn key_page(&self, id: LeaseId, after: &Blob, limit: usize) -> (Vec<Blob>, bool) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for key in self.keys_of(id).into_iter().filter(|key| key > after) {
            bytes += key.len();
            let full = bytes > self.config.range_bytes_max && !page.is_empty();
            if page.len() == limit || full {
                return (page, true);
            }
            page.push(key);
        }
        (page, false)
    }

    /// Runs `change` at the next revision, which becomes the current one if the change made an event.
    fn transact(&mut self, change: impl FnOnce(&mut Self) -> Vec<Reply>) -> Vec<Reply> {
        let events = self.log.len();
        self.past.push(self.keys.clone());
        let mut replies = change(self);
        if self.log.len() > events {
            self.compact_to_limits();
        } else {
            self.past.pop();
        }
        for reply in &mut replies {
            match reply {
                Reply::Set(reply) => reply.revision = self.revision(),
                Reply::Get(reply) => reply.revision = self.revision(),
                Reply::Range(reply) => reply.revision = self.revision(),
                Reply::Delete(reply) => reply.revision = self.revision(),
                _ => {}
            }
        }
        replies
    }

    fn compact_to_limits(&mut self) {
        let current = self.revision();
        let by_count = (current + 1).saturating_sub(self.config.history_revisions_max);
        self.oldest = self.oldest.max(by_count.min(current));
        let bytes = |model: &Self| -> u64 {
            model.readable().map(|event| EVENT_OVERHEAD_BYTES + event.kv.bytes() as u64).sum()
        };
        while bytes(self) > self.config.history_bytes_max && self.oldest < current {
            self.oldest += 1;
        }
    }

    fn set(&mut self, now: Micros, request: SetRequest) -> Reply {
        let revision = self.revision();
        let before = self.keys.get(&request.key).cloned();
        let previous = before.clone().filter(|_| request.return_previous);
        let old_lease = before.as_ref().map_or(0, |kv| kv.lease);
        let keeps = request.ttl.is_some() && self.is_private(old_lease);
        if let Some(ttl) = request.ttl.filter(|_| keeps) {
            self.renew(now, old_lease, ttl);
        }
        if let Some(kv) = &before
            && request.only_if_changed
            && kv.value == request.value
            && (keeps || (request.ttl.is_none() && old_lease == request.lease))
        {
            return Reply::Set(SetReply {
                revision: 0,
                changed: false,
                lease: old_lease,
                previous,
            });
        }
        let lease = match request.ttl {
            Some(_) if keeps => old_lease,
            Some(ttl) => {
                let id = self.pick_lease();
                self.leases.insert(id, lease(now, ttl, true));
                id
            }
            None => request.lease,
        };
        let kv = Arc::new(KeyValue {
            key: request.key.clone(),
            value: request.value,
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(1, |kv| kv.version + 1),
            lease,
        });
        self.keys.insert(request.key, kv.clone());
        self.log.push(Event { kv, previous: before });
        if old_lease != lease {
            self.drop_private(old_lease);
        }
        Reply::Set(SetReply { revision: 0, changed: true, lease, previous })
    }

    fn delete(&mut self, request: &DeleteRequest) -> Reply {
        let gone = matching(&self.keys, &request.range);
        for kv in &gone {
            self.delete_key(kv);
        }
        let deleted = gone.len() as u64;
        let previous = if request.return_previous { gone } else { Vec::new() };
        Reply::Delete(DeleteReply { revision: 0, deleted, previous })
    }

    fn delete_key(&mut self, kv: &Arc<KeyValue>) {
        self.keys.remove(&kv.key);
        self.drop_private(kv.lease);
        let tombstone = KeyValue::tombstone(kv.key.clone(), self.revision());
        self.log.push(Event { kv: Arc::new(tombstone), previous: Some(kv.clone()) });
    }

    fn drop_private(&mut self, lease: LeaseId) {
        if self.is_private(lease) {
            self.leases.remove(&lease);
        }
    }

    fn end_lease(&mut self, id: LeaseId) -> usize {
        self.leases.remove(&id);
        let keys: Vec<_> = self.keys.values().filter(|kv| kv.lease == id).cloned().collect();
        self.transact(|model| {
            keys.iter().for_each(|kv| model.delete_key(kv));
            Vec::new()
        });
        keys.len()
    }

    fn get(&self, request: &GetRequest) -> Reply {
        let kv = self.keys_at(request.revision).get(&request.key).cloned();
        Reply::Get(GetReply { revision: self.revision(), kv })
    }

    fn whole_room(&self) -> Room {
        Room { keys: self.config.range_keys_max, bytes: self.config.range_bytes_max }
    }

    fn limit(&self, limit: usize) -> usize {
        if limit == 0 { self.config.range_keys_max } else { limit }
    }

    /// Returns the keys that an unlimited page lists.
    fn listed(&self, request: &RangeRequest) -> Vec<Arc<KeyValue>> {
        let descending = request.order == RangeOrder::Descending;
        let mut kvs = matching(self.keys_at(request.revision), &request.range);
        if let Some(after) = &request.after {
            kvs.retain(|kv| if descending { kv.key < *after } else { kv.key > *after });
        }
        if descending {
            kvs.reverse();
        }
        kvs
    }

    /// Returns a page within `room`; the first key of an unused one may exceed it.
    fn page(&self, request: &RangeRequest, room: &mut Room) -> RangeReply {
        let kvs = self.listed(request);
        let mut reply = RangeReply {
            revision: self.revision(),
            kvs: Vec::new(),
            more: false,
            count: 0,
            next: None,
        };
        if request.count_only {
            reply.count = kvs.len() as u64;
            return reply;
        }
        let limit = self.limit(request.limit).min(room.keys);
        let whole = room.bytes == self.config.range_bytes_max;
        for kv in kvs {
            let kv = if request.keys_only { Arc::new(kv.without_value()) } else { kv };
            let fits = kv.bytes() <= room.bytes || (whole && reply.kvs.is_empty());
            if reply.kvs.len() == limit || !fits {
                reply.more = true;
                break;
            }
            room.bytes = room.bytes.saturating_sub(kv.bytes());
            reply.kvs.push(kv);
        }
        room.keys -= reply.kvs.len();
        reply.count = reply.kvs.len() as u64;
        reply
    }

    fn txn(&mut self, now: Micros, request: TxnRequest) -> Result<Reply, Reasons> {
        let succeeded = self.all_hold(&request.compares);
        let ops = if succeeded { request.success } else { request.failure };
        let mut room = self.whole_room();
        let reasons = self.reasons_of_room(&ops, &mut room);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let results = self.transact(|model| {
            ops.into_iter()
                .map(|op| match op {
                    TxnOp::Set(set) => model.set(now, set),
                    TxnOp::Delete(delete) => model.delete(&delete),
                    TxnOp::Get(get) => model.get(&get),
                    TxnOp::Range(range) => Reply::Range(model.page(&range, &mut room)),
                })
                .collect()
        });
        Ok(Reply::Txn(TxnReply { revision: self.revision(), succeeded, results }))
    }

    fn all_hold(&self, compares: &[Compare]) -> bool {
        compares.iter().all(|compare| match &compare.range {
            KeyRange::Key(key) => holds(compare, self.keys.get(key).map(|kv| &**kv)),
            range => matching(&self.keys, range).iter().all(|kv| holds(compare, Some(kv))),
        })
    }

    fn renew(&mut self, now: Micros, id: LeaseId, ttl: Duration) {
        let private = self.leases[&id].private;
        self.leases.insert(id, lease(now, ttl, private));
    }

    fn pick_lease(&mut self) -> LeaseId {
        while self.leases.contains_key(&self.next_lease) {
            self.next_lease += 1;
        }
        self.next_lease += 1;
        self.next_lease - 1
    }

    fn is_private(&self, id: LeaseId) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.private)
    }

    fn keys_of(&self, id: LeaseId) -> Vec<Blob> {
        self.keys.values().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect()
    }
}

fn lease(now: Micros, ttl: Duration, private: bool) -> Lease {
    Lease { ttl, deadline: now + ttl.as_micros() as Micros, private }
}

pub(crate) fn matching(keys: &Keys, range: &KeyRange) -> Vec<Arc<KeyValue>> {
    keys.values().filter(|kv| range.contains(&kv.key)).cloned().collect()
}

fn holds(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    let number = |of: fn(&KeyValue) -> u64| kv.map_or(0, of);
    let ordering = match (&compare.target, kv) {
        (CompareTarget::Value(_), None) => return false,
        (CompareTarget::Value(value), Some(kv)) => kv.value.cmp(value),
        (CompareTarget::Version(version), _) => number(|kv| kv.version).cmp(version),
        (CompareTarget::CreateRevision(at), _) => number(|kv| kv.create_revision).cmp(at),
        (CompareTarget::ModRevision(at), _) => number(|kv| kv.mod_revision).cmp(at),
        (CompareTarget::Lease(lease), _) => number(|kv| kv.lease).cmp(lease),
    };
    match compare.op {
        CompareOp::Equal => ordering.is_eq(),
        CompareOp::NotEqual => ordering.is_ne(),
        CompareOp::Less => ordering.is_lt(),
        CompareOp::Greater => ordering.is_gt(),
    }
}

/// Returns the reply without the positions to continue from, which the model does not have.
pub(crate) fn without_next(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Range(page) | Reply::Scan(page) => page.next = None,
        Reply::Txn(txn) => {
            let results = std::mem::take(&mut txn.results);
            txn.results = results.into_iter().map(without_next).collect();
        }
        _ => {}
    }
    reply
}
