//! [`State`]: the map, its history and its leases, and every request that changes them.

use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::idempotency::{Remembered, fingerprint};
use super::keyspace::Keyspace;
use super::lease::Leases;
use super::{Micros, Seq, StoreError};
use crate::config::StoreConfig;
use crate::model::{
    CompactReply, DeleteReply, DeleteRequest, Event, IdempotencyKey, KeyRange, KeyValue,
    LeaseGrantRequest, LeaseId, LeaseListReply, LeaseReply, LeaseTimeToLiveReply, Reply, Request,
    Revision, SetReply, SetRequest, StatusReply,
};

/// The pure state machine of keys: requests in, replies out, events left in the history.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) config: StoreConfig,
    pub(super) revision: Revision,
    pub(super) keys: Keyspace,
    pub(super) history: History,
    pub(super) leases: Leases,
    remembered: Remembered,
}

/// What a write needs room for.
#[derive(Debug, Default)]
pub(super) struct Demand {
    pub(super) keys: usize,
    pub(super) bytes: u64,
    pub(super) leases: usize,
    pub(super) events: usize,
    pub(super) reply_bytes: usize,
}

impl State {
    /// An empty store at revision 1.
    pub(crate) fn new(config: StoreConfig) -> Self {
        Self {
            config,
            revision: 1,
            keys: Keyspace::default(),
            history: History::new(1),
            leases: Leases::new(),
            remembered: Remembered::default(),
        }
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Does `request`, at most once under one `idempotency` key. New events are in the history.
    pub(crate) fn apply(
        &mut self,
        now: Micros,
        idempotency: Option<IdempotencyKey>,
        request: Request,
    ) -> Result<Reply, StoreError> {
        let Some(key) = idempotency else { return self.apply_anew(now, request) };
        if !request.is_write() {
            let message = "only writes take an idempotency key; send this request without one";
            return Err(StoreError::InvalidArgument(message.to_owned()));
        }
        self.remembered.forget(now, &self.config);
        let fingerprint = fingerprint(&request);
        if let Some(reply) = self.remembered.recall(key, fingerprint)? {
            return Ok(reply);
        }
        let reply = self.apply_anew(now, request)?;
        self.remembered.remember(now, key, fingerprint, reply.clone());
        self.remembered.forget(now, &self.config);
        Ok(reply)
    }

    fn apply_anew(&mut self, now: Micros, request: Request) -> Result<Reply, StoreError> {
        match request {
            Request::Set(request) => {
                self.check_set(&request)?;
                let slot = self.keys.find(&request.key);
                self.check_room(&self.demand_of_set(&request, slot))?;
                self.write(|state, revision| state.set(now, revision, request, slot))
                    .map(Reply::Set)
            }
            Request::Get(request) => self.get(&request).map(Reply::Get),
            Request::Range(request) => {
                self.range(&request, self.config.range_bytes_max).map(Reply::Range)
            }
            Request::Delete(request) => {
                self.check_delete(&request)?;
                self.check_room(&self.demand_of_delete(&request)?)?;
                self.write(|state, revision| Ok(state.delete(revision, &request)))
                    .map(Reply::Delete)
            }
            Request::Txn(request) => self.txn(now, request).map(Reply::Txn),
            Request::LeaseGrant(request) => self.lease_grant(now, &request).map(Reply::LeaseGrant),
            Request::LeaseKeepAlive(id) => {
                self.lease_keep_alive(now, id).map(Reply::LeaseKeepAlive)
            }
            Request::LeaseRevoke(id) => self.lease_revoke(id).map(Reply::LeaseRevoke),
            Request::LeaseTimeToLive(id) => {
                self.lease_time_to_live(now, id).map(Reply::LeaseTimeToLive)
            }
            Request::LeaseList { after, limit } => {
                self.lease_list(after, limit).map(Reply::LeaseList)
            }
            Request::Compact(revision) => self.compact(revision).map(Reply::Compact),
            Request::Status | Request::Watchers { .. } | Request::EndWatcher(_) => {
                Err(StoreError::InvalidArgument("not a request to the keys".to_owned()))
            }
        }
    }

    /// Runs `change` at the next revision, which becomes the current one if it made an event.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&mut Self, Revision) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (revision, before) = (self.revision + 1, self.history.end());
        let result = change(self, revision);
        if self.history.end() > before {
            self.revision = revision;
            let StoreConfig { history_revisions_max, history_bytes_max, .. } = self.config;
            self.history.compact_to(revision, history_revisions_max, history_bytes_max);
            self.reclaim(self.config.slice_max);
        }
        result
    }

    /// The revision that a reply within a write at `revision` shows.
    pub(super) fn shown_revision(&self, revision: Revision, before: Seq) -> Revision {
        if self.history.end() > before { revision } else { self.revision }
    }

    pub(super) fn check_key(&self, bytes: usize) -> Result<(), StoreError> {
        if bytes > self.config.key_bytes_max {
            let max = self.config.key_bytes_max;
            return Err(StoreError::limit("store.key_bytes_max", max, "the key is too long"));
        }
        Ok(())
    }

    pub(crate) fn check_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        if range.is_empty() {
            let message = "the key is empty, or the range ends before it begins";
            return Err(StoreError::InvalidArgument(message.to_owned()));
        }
        self.check_key(range.bytes_max())
    }

    /// Everything about a set that does not depend on the room left.
    pub(super) fn check_set(&self, request: &SetRequest) -> Result<(), StoreError> {
        if request.key.is_empty() {
            return Err(StoreError::InvalidArgument("the key is empty".to_owned()));
        }
        self.check_key(request.key.len())?;
        if request.value.len() > self.config.value_bytes_max {
            let max = self.config.value_bytes_max;
            return Err(StoreError::limit("store.value_bytes_max", max, "the value is too long"));
        }
        match (request.lease, request.ttl) {
            (0, None) => Ok(()),
            (0, Some(ttl)) => self.check_ttl(ttl),
            (_, Some(_)) => {
                let message = "give a lease or a time to live, not both";
                Err(StoreError::InvalidArgument(message.to_owned()))
            }
            (id, None) => self.check_attach(request, id),
        }
    }

    /// That the lease exists and has room for one more key.
    fn check_attach(&self, request: &SetRequest, id: LeaseId) -> Result<(), StoreError> {
        let lease = self.leases.get(id).ok_or(StoreError::LeaseNotFound(id))?;
        let attached = self.keys.current(&request.key).is_some_and(|kv| kv.lease == id);
        let max = self.config.revision_events_max;
        if lease.keys.len() >= max && !attached {
            return Err(StoreError::limit("store.revision_events_max", max, "the lease is full"));
        }
        Ok(())
    }

    fn check_ttl(&self, ttl: Duration) -> Result<(), StoreError> {
        let (min, max) = (self.config.lease_ttl_min, self.config.lease_ttl_max);
        let refuse = |name, limit: Duration, what| {
            Err(StoreError::Limit { name, value: limit.as_millis() as u64, what })
        };
        if ttl < min {
            return refuse("store.lease_ttl_min", min, "the time to live is too short");
        }
        if ttl > max {
            return refuse("store.lease_ttl_max", max, "the time to live is too long");
        }
        Ok(())
    }

    pub(super) fn check_delete(&self, request: &DeleteRequest) -> Result<(), StoreError> {
        self.check_range(&request.range)
    }

    pub(super) fn check_room(&self, demand: &Demand) -> Result<(), StoreError> {
        let config = &self.config;
        if demand.keys > 0 && self.keys.len() + demand.keys > config.keys_max {
            return Err(StoreError::limit(
                "store.keys_max",
                config.keys_max,
                "too many keys; delete some first",
            ));
        }
        if demand.bytes > 0 && self.keys.bytes() + demand.bytes > config.total_bytes_max {
            return Err(StoreError::Limit {
                name: "store.total_bytes_max",
                value: config.total_bytes_max,
                what: "the store is full; delete keys first",
            });
        }
        if demand.leases > 0 && self.leases.len() + demand.leases > config.leases_max {
            let what = "too many leases; revoke some first";
            return Err(StoreError::limit("store.leases_max", config.leases_max, what));
        }
        if demand.events > config.revision_events_max {
            let max = config.revision_events_max;
            let what = "one revision would change too many keys; change them in parts";
            return Err(StoreError::limit("store.revision_events_max", max, what));
        }
        if demand.reply_bytes > config.range_bytes_max {
            let max = config.range_bytes_max;
            let what = "the reply would be too large; ask for less";
            return Err(StoreError::limit("store.range_bytes_max", max, what));
        }
        Ok(())
    }

    /// `slot` is where the key was found.
    pub(super) fn demand_of_set(&self, request: &SetRequest, slot: Option<u32>) -> Demand {
        let (key_bytes, value_bytes) = (request.key.len() as u64, request.value.len() as u64);
        let leases = usize::from(request.ttl.is_some());
        match slot
            .and_then(|slot| self.keys.record(slot))
            .and_then(|record| record.current.as_ref())
        {
            None => Demand {
                keys: 1,
                bytes: key_bytes + value_bytes,
                leases,
                events: 1,
                reply_bytes: 0,
            },
            Some(kv) => Demand {
                keys: 0,
                bytes: value_bytes.saturating_sub(kv.value.len() as u64),
                leases: if self.is_private(kv.lease) { 0 } else { leases },
                events: 1,
                reply_bytes: if request.return_previous { kv.bytes() } else { 0 },
            },
        }
    }

    pub(super) fn demand_of_delete(&self, request: &DeleteRequest) -> Result<Demand, StoreError> {
        let mut demand = Demand::default();
        for slot in self.slots_in(&request.range) {
            demand.events += 1;
            if request.return_previous {
                let kv = self.keys.record(slot).and_then(|record| record.current.as_ref());
                demand.reply_bytes += kv.map_or(0, |kv| kv.bytes());
            }
            if demand.events > self.config.revision_events_max {
                break;
            }
        }
        Ok(demand)
    }

    /// Sets a key that was checked, at `revision`; `slot` is where it was found.
    pub(super) fn set(
        &mut self,
        now: Micros,
        revision: Revision,
        request: SetRequest,
        slot: Option<u32>,
    ) -> Result<SetReply, StoreError> {
        let slot = slot.unwrap_or_else(|| self.keys.insert(&request.key));
        let before = self.keys.record(slot).and_then(|record| record.current.clone());
        let previous = before.clone().filter(|_| request.return_previous);
        if let Some(kv) = before.as_ref().filter(|_| request.only_if_changed)
            && self.is_unchanged(kv, &request)
        {
            if let Some(ttl) = request.ttl {
                self.leases.renew(kv.lease, now, micros(ttl));
            }
            let revision = self.revision;
            return Ok(SetReply { revision, changed: false, lease: kv.lease, previous });
        }
        let lease = self.move_lease(now, slot, before.as_deref(), &request);
        let (create_revision, version) =
            before.as_ref().map_or((revision, 1), |kv| (kv.create_revision, kv.version + 1));
        let key = self.keys.record(slot).map_or(request.key, |record| record.key.clone());
        let kv = Arc::new(KeyValue {
            key,
            value: request.value,
            create_revision,
            mod_revision: revision,
            version,
            lease,
        });
        let before = self.keys.put(slot, kv.clone());
        self.record_event(slot, Event { kv, previous: before });
        Ok(SetReply { revision, changed: true, lease, previous })
    }

    fn is_unchanged(&self, kv: &KeyValue, request: &SetRequest) -> bool {
        let same_lease = match request.ttl {
            Some(_) => self.is_private(kv.lease),
            None => kv.lease == request.lease,
        };
        kv.value == request.value && same_lease
    }

    fn is_private(&self, lease: LeaseId) -> bool {
        lease != 0 && self.leases.get(lease).is_some_and(|lease| lease.private)
    }

    /// Detaches the key in `slot` from the lease it has and attaches it to the one it shall have.
    fn move_lease(
        &mut self,
        now: Micros,
        slot: u32,
        before: Option<&KeyValue>,
        request: &SetRequest,
    ) -> LeaseId {
        let old = before.map_or(0, |kv| kv.lease);
        let new = match request.ttl {
            None => request.lease,
            Some(ttl) if self.is_private(old) => {
                self.leases.renew(old, now, micros(ttl));
                old
            }
            Some(ttl) => {
                let id = self.leases.pick_id();
                self.leases.insert(id, now, micros(ttl), true);
                id
            }
        };
        if old != new {
            self.detach(slot, old);
            self.attach(slot, new);
        }
        new
    }

    fn attach(&mut self, slot: u32, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let position = lease.keys.len() as u32;
        lease.keys.push(slot);
        if let Some(record) = self.keys.record_mut(slot) {
            record.lease_position = position;
        }
    }

    fn detach(&mut self, slot: u32, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let Some(position) = self.keys.record(slot).map(|record| record.lease_position) else {
            return;
        };
        if lease.keys.get(position as usize) != Some(&slot) {
            return;
        }
        lease.keys.swap_remove(position as usize);
        let moved = lease.keys.get(position as usize).copied();
        let over = lease.private && lease.keys.is_empty();
        if let Some(record) = moved.and_then(|moved| self.keys.record_mut(moved)) {
            record.lease_position = position;
        }
        if over {
            self.leases.remove(id);
        }
    }

    /// Deletes the keys of a range that was checked, at `revision`.
    pub(super) fn delete(&mut self, revision: Revision, request: &DeleteRequest) -> DeleteReply {
        let before = self.history.end();
        let slots: Vec<u32> = self.slots_in(&request.range).collect();
        let mut reply = DeleteReply { revision, deleted: 0, previous: Vec::new() };
        for slot in slots {
            if let Some(kv) = self.delete_slot(revision, slot) {
                reply.deleted += 1;
                if request.return_previous {
                    reply.previous.push(kv);
                }
            }
        }
        reply.revision = self.shown_revision(revision, before);
        reply
    }

    fn delete_slot(&mut self, revision: Revision, slot: u32) -> Option<Arc<KeyValue>> {
        let before = self.keys.take(slot)?;
        self.detach(slot, before.lease);
        let kv = Arc::new(KeyValue::tombstone(before.key.clone(), revision));
        self.record_event(slot, Event { kv, previous: Some(before.clone()) });
        Some(before)
    }

    /// The keys of `range` that exist, in order.
    pub(super) fn slots_in(&self, range: &KeyRange) -> impl Iterator<Item = u32> {
        let one = match range {
            KeyRange::Key(key) => self.keys.find(key).filter(|slot| {
                self.keys.record(*slot).is_some_and(|record| record.current.is_some())
            }),
            _ => None,
        };
        let many = (!matches!(range, KeyRange::Key(_))).then(|| self.keys.live_in(range));
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn record_event(&mut self, slot: u32, event: Event) {
        let Some(record) = self.keys.record_mut(slot) else { return };
        self.history.push(event, slot, &mut record.trail);
    }

    fn lease_grant(
        &mut self,
        now: Micros,
        request: &LeaseGrantRequest,
    ) -> Result<LeaseReply, StoreError> {
        self.check_ttl(request.ttl)?;
        if self.leases.get(request.id).is_some() {
            return Err(StoreError::LeaseExists(request.id));
        }
        self.check_room(&Demand { leases: 1, ..Demand::default() })?;
        let id = if request.id == 0 { self.leases.pick_id() } else { request.id };
        self.leases.insert(id, now, micros(request.ttl), false);
        Ok(LeaseReply { revision: self.revision, id, ttl: request.ttl })
    }

    fn lease_keep_alive(&mut self, now: Micros, id: LeaseId) -> Result<LeaseReply, StoreError> {
        let ttl = self.leases.get(id).ok_or(StoreError::LeaseNotFound(id))?.ttl;
        self.leases.renew(id, now, ttl);
        Ok(LeaseReply { revision: self.revision, id, ttl: Duration::from_micros(ttl) })
    }

    fn lease_revoke(&mut self, id: LeaseId) -> Result<DeleteReply, StoreError> {
        self.leases.get(id).ok_or(StoreError::LeaseNotFound(id))?;
        let deleted = self.end_lease(id) as u64;
        Ok(DeleteReply { revision: self.revision, deleted, previous: Vec::new() })
    }

    fn lease_time_to_live(
        &self,
        now: Micros,
        id: LeaseId,
    ) -> Result<LeaseTimeToLiveReply, StoreError> {
        let lease = self.leases.get(id).ok_or(StoreError::LeaseNotFound(id))?;
        let key_of = |slot: &u32| self.keys.record(*slot).map(|record| record.key.clone());
        let mut keys: Vec<_> = lease.keys.iter().filter_map(key_of).collect();
        keys.sort_unstable();
        keys.truncate(self.config.range_keys_max);
        Ok(LeaseTimeToLiveReply {
            revision: self.revision,
            id,
            granted: Duration::from_micros(lease.ttl),
            remaining: Duration::from_micros(lease.deadline.saturating_sub(now)),
            keys,
        })
    }

    fn lease_list(&self, after: LeaseId, limit: usize) -> Result<LeaseListReply, StoreError> {
        let limit = self.page_limit(limit)?;
        let mut leases: Vec<LeaseId> = self.leases.ids_after(after).take(limit + 1).collect();
        let more = leases.len() > limit;
        leases.truncate(limit);
        Ok(LeaseListReply { revision: self.revision, leases, more })
    }

    /// Deletes the keys of a lease in one revision, and the lease; tells how many keys.
    fn end_lease(&mut self, id: LeaseId) -> usize {
        let Some(lease) = self.leases.remove(id) else { return 0 };
        let mut slots = lease.keys;
        let keys = &self.keys;
        slots.sort_unstable_by(|a, b| {
            let key = |slot: &u32| keys.record(*slot).map(|record| &record.key);
            key(a).cmp(&key(b))
        });
        let deleted = self.write(|state, revision| {
            Ok(slots.iter().filter_map(|slot| state.delete_slot(revision, *slot)).count())
        });
        deleted.unwrap_or(0)
    }

    /// Ends one lease whose time is over, in one revision; tells how many keys that deleted.
    /// `None` when no lease is due.
    pub(crate) fn expire_one(&mut self, now: Micros) -> Option<usize> {
        let id = self.leases.due(now)?;
        Some(self.end_lease(id))
    }

    /// When [`expire_one`](Self::expire_one) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.leases.next_deadline()
    }

    fn compact(&mut self, revision: Revision) -> Result<CompactReply, StoreError> {
        self.check_readable(revision)?;
        self.history.compact(revision);
        self.reclaim(self.config.slice_max);
        Ok(CompactReply { revision: self.revision, oldest: self.history.oldest() })
    }

    /// Gives back the room of at most `slice` compacted events.
    pub(crate) fn reclaim(&mut self, slice: usize) {
        for _ in 0..slice {
            let Some(entry) = self.history.pop_compacted() else { return };
            let Some(record) = self.keys.record_mut(entry.slot) else { continue };
            record.trail.pop(entry.next);
            if record.trail.is_empty() && record.current.is_none() {
                self.keys.forget(entry.slot);
            }
        }
    }

    /// Whether compacted events still take room.
    pub(crate) fn must_reclaim(&self) -> bool {
        self.history.has_compacted()
    }

    /// Fills in what the store knows.
    pub(crate) fn status(&self) -> StatusReply {
        StatusReply {
            revision: self.revision,
            oldest: self.history.oldest(),
            keys: self.keys.len() as u64,
            bytes: self.keys.bytes(),
            history_events: self.history.len() as u64,
            history_bytes: self.history.bytes(),
            leases: self.leases.len() as u64,
            ..StatusReply::default()
        }
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
