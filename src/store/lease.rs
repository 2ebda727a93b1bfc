//! [`Leases`]: which keys end together, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use smallvec::SmallVec;

use super::Micros;
use crate::model::LeaseId;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) ttl: Micros,
    pub(crate) deadline: Micros,
    /// Records of its keys, in no order; each knows its place here.
    pub(crate) keys: SmallVec<[u32; 2]>,
    /// Made by a set with a time to live: gone with its last key.
    pub(crate) private: bool,
}

#[derive(Debug)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    deadlines: BTreeSet<(Micros, LeaseId)>,
    /// The next id to pick.
    next: LeaseId,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self { leases: BTreeMap::new(), deadlines: BTreeSet::new(), next: 1 }
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

    /// An id that no lease has; every call gives a later one.
    pub(crate) fn pick_id(&mut self) -> LeaseId {
        while self.leases.contains_key(&self.next) || self.next == 0 {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Adds a lease under an id that is free.
    pub(crate) fn insert(&mut self, id: LeaseId, now: Micros, ttl: Micros, private: bool) {
        let deadline = now.saturating_add(ttl);
        self.deadlines.insert((deadline, id));
        self.leases.insert(id, Lease { ttl, deadline, keys: SmallVec::new(), private });
    }

    /// Starts the lease's time again, as `ttl` from now on.
    pub(crate) fn renew(&mut self, id: LeaseId, now: Micros, ttl: Micros) {
        if let Some(lease) = self.leases.get_mut(&id) {
            self.deadlines.remove(&(lease.deadline, id));
            lease.ttl = ttl;
            lease.deadline = now.saturating_add(ttl);
            self.deadlines.insert((lease.deadline, id));
        }
    }

    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        Some(lease)
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A lease whose time is over.
    pub(crate) fn due(&self, now: Micros) -> Option<LeaseId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    /// Ids above `after`, ascending.
    pub(crate) fn ids_after(&self, after: LeaseId) -> impl Iterator<Item = LeaseId> {
        self.leases.range((Bound::Excluded(after), Bound::Unbounded)).map(|(id, _)| *id)
    }
}
