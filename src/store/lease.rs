//! [`Leases`]: the keys of each lease and the time at which they end; and the requests of [`StoreState`]
//! about leases.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::capacity::WriteCost;
use super::change::StoreChange;
use super::idempotency::IdempotentWrite;
#[cfg(any(test, feature = "internals"))]
use super::large::Completed;
use super::large::WriteRest;
use super::lease_keys::{LeaseBinding, LeaseKeys};
use super::set_view::SetView;
use super::{StepBudget, StoreError, StoreState};
use crate::config::record::DELETE_BYTES;
use crate::fair::{ClientId, Excess, FairShares};
use crate::model::{
    Blob, DeleteReply, LeaseGrantRequest, LeaseId, LeaseKeysReply, LeaseListReply, LeaseReply,
    LeaseTimeToLiveReply, Reply,
};
use crate::time::Micros;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) ttl: Micros,
    pub(crate) deadline: Micros,
    pub(crate) keys: LeaseKeys,
    /// The most bytes of a journal record that the end of the lease takes.
    pub(crate) end_bytes: usize,
    /// Made by a set with a time to live: belongs to that one key and ends with it.
    pub(crate) private: bool,
    /// The client that made the lease since the start; the journal does not record it.
    client: ClientId,
}

#[derive(Debug)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    shares: FairShares<ClientId>,
    /// The client that the next leases belong to.
    client: ClientId,
    deadlines: BTreeSet<(Micros, LeaseId)>,
    /// The next id to try.
    next: LeaseId,
    /// The number of bindings of keys to leases so far.
    bound: u64,
    frozen: Option<FrozenLeases>,
}

/// A lease in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseSnapshot {
    pub(super) ttl: Micros,
    pub(super) deadline: Micros,
    pub(super) private: bool,
}

/// The leases as they were at one moment, read in order of their ids.
#[derive(Debug, Default)]
struct FrozenLeases {
    /// The last id that was read.
    told: LeaseId,
    /// The previous state of leases that changed before they were read; `None` for a lease that did not
    /// exist.
    before: BTreeMap<LeaseId, Option<LeaseSnapshot>>,
}

impl Lease {
    fn kept(&self) -> LeaseSnapshot {
        LeaseSnapshot { ttl: self.ttl, deadline: self.deadline, private: self.private }
    }
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self {
            leases: BTreeMap::new(),
            shares: FairShares::default(),
            client: ClientId::Process,
            deadlines: BTreeSet::new(),
            next: 1,
            bound: 0,
            frozen: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.leases.get_mut(&id)
    }

    pub(crate) fn number_from(&mut self, first: LeaseId) {
        self.next = first;
    }

    /// Returns an id that no lease has; each call returns a later one.
    pub(crate) fn pick_id(&mut self) -> LeaseId {
        while self.leases.contains_key(&self.next) || self.next == 0 {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Adds a lease under a free id.
    pub(crate) fn insert(&mut self, id: LeaseId, now: Micros, ttl: Micros, private: bool) {
        self.put(id, ttl, now.saturating_add(ttl), private);
    }

    /// Adds a lease that ends at `deadline`.
    pub(super) fn put(&mut self, id: LeaseId, ttl: Micros, deadline: Micros, private: bool) {
        self.keep(id);
        self.deadlines.insert((deadline, id));
        let keys = LeaseKeys::default();
        let client = self.client;
        let lease = Lease { ttl, deadline, keys, end_bytes: 0, private, client };
        self.shares.take(client, 1);
        if let Some(before) = self.leases.insert(id, lease) {
            self.shares.give_back(before.client, 1);
        }
    }

    /// Checks that the current client may make `more` leases, of `max` in all.
    pub(super) fn check_capacity(&self, more: usize, max: usize) -> Result<(), Excess> {
        self.shares.check(self.client, more as u64, max as u64)
    }

    /// Restarts the lease's time to live.
    pub(crate) fn renew(&mut self, id: LeaseId, now: Micros, ttl: Micros) {
        self.keep(id);
        if let Some(lease) = self.leases.get_mut(&id) {
            self.deadlines.remove(&(lease.deadline, id));
            lease.ttl = ttl;
            lease.deadline = now.saturating_add(ttl);
            self.deadlines.insert((lease.deadline, id));
        }
    }

    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        self.keep(id);
        let lease = self.leases.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        self.shares.give_back(lease.client, 1);
        Some(lease)
    }

    /// Freezes the state of all leases for [`tell`](Self::tell), whatever changes from now on.
    pub(super) fn freeze(&mut self) {
        self.frozen = Some(FrozenLeases::default());
    }

    pub(super) fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Saves the state of a lease before it changes.
    fn keep(&mut self, id: LeaseId) {
        if let Some(frozen) = &mut self.frozen
            && id > frozen.told
        {
            let kept = || self.leases.get(&id).map(Lease::kept);
            frozen.before.entry(id).or_insert_with(kept);
        }
    }

    /// Returns the next leases as they were when frozen; empty when there are no more.
    pub(super) fn tell(&mut self, slice: usize) -> Vec<(LeaseId, LeaseSnapshot)> {
        let Some(frozen) = &mut self.frozen else { return Vec::new() };
        let rest = (Bound::Excluded(frozen.told), Bound::Unbounded);
        let mut now = self.leases.range(rest).peekable();
        let mut told = Vec::with_capacity(slice);
        while told.len() < slice {
            let next = now.peek().map_or(LeaseId::MAX, |(id, _)| **id);
            match frozen.before.first_key_value().map(|(id, _)| *id) {
                Some(id) if id <= next => {
                    now.next_if(|(at, _)| **at == id);
                    frozen.told = id;
                    let kept = frozen.before.pop_first().and_then(|(_, kept)| kept);
                    told.extend(kept.map(|kept| (id, kept)));
                }
                _ => {
                    let Some((id, lease)) = now.next() else { break };
                    frozen.told = *id;
                    told.push((*id, lease.kept()));
                }
            }
        }
        told
    }

    /// Extends each lease to at least a third of its time to live from `now` on: the interval at which
    /// clients keep leases alive.
    pub(crate) fn grant_grace(&mut self, now: Micros) {
        for lease in self.leases.values_mut() {
            lease.deadline = lease.deadline.max(now.saturating_add(lease.ttl / 3));
        }
        self.deadlines = self.leases.iter().map(|(id, lease)| (lease.deadline, *id)).collect();
    }

    /// Returns the most bytes that the end of any lease takes in a record.
    pub(crate) fn end_bytes_max(&self) -> usize {
        self.leases.values().map(|lease| lease.end_bytes).max().unwrap_or(0)
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Returns a lease whose time is over.
    pub(crate) fn due(&self, now: Micros) -> Option<LeaseId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    /// Returns the ids above `after`, ascending.
    pub(crate) fn ids_after(&self, after: LeaseId) -> impl Iterator<Item = LeaseId> {
        self.leases.range((Bound::Excluded(after), Bound::Unbounded)).map(|(id, _)| *id)
    }
}

/// Requests about leases.
impl StoreState {
    /// Sets the owner of the leases that the next requests create; during a large write, the write's
    /// client stays the owner.
    pub(crate) fn set_client(&mut self, client: ClientId) {
        if self.open.is_none() {
            self.leases.client = client;
        }
    }

    /// Hides exactly these leases from the requests that follow.
    pub(crate) fn hide_leases(&mut self, ids: Vec<LeaseId>) {
        self.hidden_leases = ids;
    }

    /// Returns the lease that a request names.
    fn lease(&self, id: LeaseId) -> Result<&Lease, StoreError> {
        let lease = self.leases.get(id).filter(|_| !self.hidden_leases.contains(&id));
        lease.ok_or(StoreError::LeaseNotFound(id))
    }

    /// Checks that the lease exists and that a private lease is the key's own.
    pub(super) fn check_attach(&self, key: &[u8], id: LeaseId) -> Result<(), StoreError> {
        let lease = self.lease(id)?;
        if lease.private && !self.is_bound(key, id) {
            let message = format!("lease {id} is private to another key; grant a lease");
            return Err(StoreError::InvalidArgument(message));
        }
        Ok(())
    }

    pub(super) fn check_ttl(&self, ttl: Duration) -> Result<(), StoreError> {
        let (min, max) = (self.config.lease_ttl_min, self.config.lease_ttl_max);
        let refuse = |name, limit: Duration, what| Err(StoreError::limit_ms(name, limit, what));
        if ttl < min {
            return refuse("store.lease_ttl_min", min, "the time to live is too short");
        }
        if ttl > max {
            return refuse("store.lease_ttl_max", max, "the time to live is too long");
        }
        Ok(())
    }

    pub(super) fn is_private(&self, lease: LeaseId) -> bool {
        lease != 0 && self.leases.get(lease).is_some_and(|lease| lease.private)
    }

    /// Moves the key in `slot` from its lease `old` to the requested one.
    pub(super) fn move_lease(
        &mut self,
        now: Micros,
        slot: u32,
        old: LeaseId,
        request: &SetView<'_>,
    ) -> LeaseId {
        let new = match request.ttl {
            None => request.lease,
            Some(ttl) if self.is_private(old) => {
                let (id, ttl) = (old, micros(ttl));
                self.leases.renew(id, now, ttl);
                self.note(|| StoreChange::LeaseRenewed { id, ttl });
                old
            }
            Some(ttl) => {
                let (id, ttl) = (self.leases.pick_id(), micros(ttl));
                self.leases.insert(id, now, ttl, true);
                self.note(|| StoreChange::LeaseGranted { id, ttl, private: true });
                id
            }
        };
        if old != new {
            self.detach(slot, old);
            self.attach(slot, new);
        }
        new
    }

    pub(super) fn attach(&mut self, slot: u32, id: LeaseId) {
        let bound = self.leases.bound + 1;
        let Some(lease) = self.leases.get_mut(id) else { return };
        let Some(record) = self.keys.record(slot) else { return };
        lease.end_bytes += DELETE_BYTES + record.key.len();
        lease.keys.insert(slot, &record.key, bound, &self.keys);
        self.leases.bound = bound;
    }

    pub(super) fn detach(&mut self, slot: u32, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let Some(record) = self.keys.record(slot) else { return };
        if !lease.keys.remove(slot, &record.key) {
            return;
        }
        lease.end_bytes -= DELETE_BYTES + record.key.len();
        if lease.private && lease.keys.len() == 0 {
            self.leases.remove(id);
            self.note(|| StoreChange::LeaseEnded { id });
        }
    }

    pub(super) fn lease_grant(
        &mut self,
        now: Micros,
        request: &LeaseGrantRequest,
    ) -> Result<LeaseReply, StoreError> {
        self.check_ttl(request.ttl)?;
        if self.leases.get(request.id).is_some() {
            return Err(StoreError::LeaseExists(request.id));
        }
        self.check_capacity(&WriteCost { leases: 1, ..WriteCost::default() })?;
        let id = if request.id == 0 { self.leases.pick_id() } else { request.id };
        let ttl = micros(request.ttl);
        self.leases.insert(id, now, ttl, false);
        self.note(|| StoreChange::LeaseGranted { id, ttl, private: false });
        Ok(LeaseReply { revision: self.revision, id, ttl: request.ttl })
    }

    pub(super) fn lease_keep_alive(
        &mut self,
        now: Micros,
        id: LeaseId,
    ) -> Result<LeaseReply, StoreError> {
        let ttl = self.lease(id)?.ttl;
        self.leases.renew(id, now, ttl);
        self.note(|| StoreChange::LeaseRenewed { id, ttl });
        Ok(LeaseReply { revision: self.revision, id, ttl: Duration::from_micros(ttl) })
    }

    /// Begins to end a lease; returns the reply if the write is complete.
    pub(super) fn lease_revoke(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        id: LeaseId,
    ) -> Result<Option<Reply>, StoreError> {
        self.lease(id)?;
        let deleted = self.end_lease(now, once, id, false).map(|deleted| deleted as u64);
        let revision = self.revision;
        let reply = |deleted| DeleteReply { revision, deleted, previous: Vec::new() };
        Ok(deleted.map(|deleted| Reply::LeaseRevoke(reply(deleted))))
    }

    pub(super) fn lease_time_to_live(
        &self,
        now: Micros,
        id: LeaseId,
        steps: &mut StepBudget,
    ) -> Result<LeaseTimeToLiveReply, StoreError> {
        let lease = self.lease(id)?;
        let keys = self.lease_keys_page(id, &Blob::default(), 0, steps)?.keys;
        Ok(LeaseTimeToLiveReply {
            revision: self.revision,
            id,
            granted: Duration::from_micros(lease.ttl),
            remaining: Duration::from_micros(lease.deadline.saturating_sub(now)),
            keys,
        })
    }

    /// Lists the keys of a lease above `after`, in order.
    pub(super) fn lease_keys_page(
        &self,
        id: LeaseId,
        after: &Blob,
        limit: usize,
        steps: &mut StepBudget,
    ) -> Result<LeaseKeysReply, StoreError> {
        let limit = self.page_limit(limit)?;
        let lease = self.lease(id)?;
        let (mut keys, mut room, mut more) = (Vec::new(), self.page_capacity(), false);
        for slot in lease.keys.after(after, &self.keys) {
            let Some(record) = self.keys.record(slot) else { continue };
            more = keys.len() == limit || !room.fits(record.key.len());
            if more {
                break;
            }
            room.take(1, record.key.len());
            keys.push(record.key.clone());
        }
        steps.take(keys.len());
        Ok(LeaseKeysReply { revision: self.revision, keys, more })
    }

    /// Returns the keys of a lease, in order; none if it does not exist.
    #[cfg(test)]
    pub(crate) fn lease_keys(&self, id: LeaseId) -> impl Iterator<Item = &Blob> {
        let slots = self.leases.get(id).map(|lease| lease.keys.in_order(&self.keys));
        let keys = slots.into_iter().flatten();
        keys.filter_map(|slot| self.keys.record(slot).map(|record| &record.key))
    }

    /// Returns the keys that were bound to a lease after `after`, in the order in which they were bound;
    /// none if the lease does not exist.
    pub(crate) fn lease_keys_bound_after(
        &self,
        id: LeaseId,
        after: LeaseBinding,
    ) -> impl Iterator<Item = (LeaseBinding, &Blob)> {
        let bound = self.leases.get(id).map(|lease| lease.keys.bound_after(after));
        let key_of = |slot| self.keys.record(slot).map(|record| &record.key);
        bound.into_iter().flatten().filter_map(move |(at, slot)| key_of(slot).map(|key| (at, key)))
    }

    /// Returns the number of a lease's keys; 0 if the lease does not exist.
    pub(crate) fn lease_size(&self, id: LeaseId) -> usize {
        self.leases.get(id).map_or(0, |lease| lease.keys.len())
    }

    /// Returns whether a key is bound to a lease.
    pub(crate) fn is_bound(&self, key: &[u8], id: LeaseId) -> bool {
        self.keys.current(key).is_some_and(|kv| kv.lease == id)
    }

    pub(super) fn lease_list(
        &self,
        after: LeaseId,
        limit: usize,
    ) -> Result<LeaseListReply, StoreError> {
        let limit = self.page_limit(limit)?;
        let mut leases: Vec<LeaseId> = self.leases.ids_after(after).take(limit + 1).collect();
        let more = leases.len() > limit;
        leases.truncate(limit);
        Ok(LeaseListReply { revision: self.revision, leases, more })
    }

    /// Deletes the lease and its keys in one revision. Returns the number of keys, or `None` if the
    /// write is large and has only begun.
    fn end_lease(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        id: LeaseId,
        is_expiry: bool,
    ) -> Option<usize> {
        let Some(lease) = self.leases.remove(id) else { return Some(0) };
        self.note(|| StoreChange::LeaseEnded { id });
        if self.is_long(lease.keys.len()) {
            self.open(now, once, WriteRest::Lease { keys: lease.keys, deleted: 0, is_expiry });
            return None;
        }
        let slots: Vec<u32> = lease.keys.in_order(&self.keys).collect();
        let deleted = self.write(|state, revision| {
            Ok(slots.iter().filter_map(|slot| state.delete_slot(revision, *slot)).count())
        });
        Some(deleted.unwrap_or(0))
    }

    /// Ends one lease whose time is over, in one revision. Returns the number of deleted keys, 0 if the
    /// write is large and has only begun; `None` if no lease is due.
    pub(crate) fn begin_to_expire(&mut self, now: Micros) -> Option<usize> {
        let id = self.leases.due(now)?;
        Some(self.end_lease(now, None, id, true).unwrap_or(0))
    }

    /// Runs [`begin_to_expire`](Self::begin_to_expire) to its end.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn expire_one(&mut self, now: Micros) -> Option<usize> {
        let mut deleted = self.begin_to_expire(now)?;
        while self.is_open() {
            let completed = self.go_on(self.config.slice_max);
            if let Some(Completed { reply: Ok(Reply::LeaseRevoke(reply)), .. }) = completed {
                deleted = reply.deleted as usize;
            }
        }
        Some(deleted)
    }

    /// Returns the time at which [`begin_to_expire`](Self::begin_to_expire) has work to do.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.leases.next_deadline()
    }
}

pub(super) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
