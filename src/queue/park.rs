//! Requests that wait for the queue, and the effects that answer them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::environment::RandomState;

use super::owner_capacity::OwnerCapacity;
use super::producers::PushScope;
use super::{JobSlot, QueueError, TopicNo};
use crate::buffered::Charge;
use crate::fair::{ClientId, FairShares};
use crate::model::{JobInfo, PushRequest, Pushed, Reservation, ReservedJob};
use crate::time::Micros;

/// Identifies a waiting request; never reused.
pub(crate) type ParkId = u64;

/// The sender of a request to the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requester {
    /// The number of a connection, or of a worker in this process.
    pub(crate) owner: u64,
    pub(crate) client: ClientId,
}

/// An effect that the caller of the queue must act on.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The answer to a reserve.
    Reserved(ParkId, Vec<ReservedJob>),
    /// The answer to a push that waited for capacity.
    Pushed(ParkId, Result<Vec<Pushed>, QueueError>),
    /// The answer to a request for revoked reservations.
    Revoked(ParkId, Vec<Reservation>),
    /// A waiting request is refused.
    Refused(ParkId, QueueError),
    /// A job is done: its result must be recorded, followed by [`recorded`](super::QueueState::recorded).
    Record(Box<JobInfo>),
    /// A job is dead or cancelled.
    Note(Box<JobInfo>),
    /// A job was cancelled by a clear of its topic: requests that wait for it are answered, and no
    /// outcome is kept.
    Cleared(Box<JobInfo>),
}

/// A waiting request.
#[derive(Debug)]
pub(super) struct ParkedRequest {
    pub(super) owner: u64,
    pub(super) client: ClientId,
    pub(super) deadline: Micros,
    pub(super) what: ParkedKind,
}

#[derive(Debug)]
pub(super) enum ParkedKind {
    Reserve(ReserveTerms),
    /// A push waits for capacity at `blocked`.
    Push {
        jobs: Vec<PushRequest>,
        bytes: usize,
        blocked: PushScope,
        charge: Option<Charge>,
    },
    Revoked,
}

/// A reserve that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReserveTerms {
    pub(super) topic: TopicNo,
    pub(super) credits: u32,
    pub(super) visibility: Micros,
}

/// The reservations and requests of an owner.
#[derive(Debug, Default)]
pub(super) struct QueueOwner {
    pub(super) reserved: BTreeSet<JobSlot>,
    pub(super) parked: BTreeSet<ParkId>,
    /// Whether the owner has asked for revoked reservations, and so gets them reported.
    pub(super) listens: bool,
    pub(super) revoked: VecDeque<Reservation>,
    /// The requests that wait for the next one.
    pub(super) asks: BTreeSet<ParkId>,
    /// Whether the owner resumes its reservations after its connection is lost: as a user with this
    /// fingerprint, 0 if there are no users.
    pub(super) resumes: Option<u64>,
    /// Whether the owner has ended for good and will resume nothing.
    pub(super) parted: bool,
    pub(super) capacity: OwnerCapacity,
}

/// Everyone who waits for the queue.
#[derive(Debug, Default)]
pub(super) struct ParkedRequests {
    pub(super) parked: HashMap<ParkId, ParkedRequest, RandomState>,
    pub(super) deadlines: BTreeSet<(Micros, ParkId)>,
    pub(super) owners: HashMap<u64, QueueOwner, RandomState>,
    /// Owners that are gone and still have reservations.
    pub(super) gone: BTreeSet<u64>,
    /// Waiting requests, by client.
    pub(super) waiting: FairShares<ClientId>,
    /// Bytes of waiting pushes, by client.
    pub(super) push_bytes: FairShares<ClientId>,
    /// Limited owners that were handed jobs in this turn.
    pub(super) handed: Vec<u64>,
    next: ParkId,
}

impl ParkedRequests {
    pub(super) fn park(
        &mut self,
        requester: Requester,
        deadline: Micros,
        what: ParkedKind,
    ) -> ParkId {
        let Requester { owner, client } = requester;
        self.next += 1;
        let id = self.next;
        self.waiting.take(client, 1);
        if let ParkedKind::Push { bytes, .. } = &what {
            self.push_bytes.take(client, *bytes as u64);
        }
        self.deadlines.insert((deadline, id));
        self.owners.entry(owner).or_default().parked.insert(id);
        self.parked.insert(id, ParkedRequest { owner, client, deadline, what });
        id
    }

    /// Removes a waiting request, except from the lists of its topic or of the producers.
    pub(super) fn unpark(&mut self, id: ParkId) -> Option<ParkedRequest> {
        let parked = self.parked.remove(&id)?;
        self.deadlines.remove(&(parked.deadline, id));
        self.waiting.give_back(parked.client, 1);
        if let ParkedKind::Push { bytes, .. } = &parked.what {
            self.push_bytes.give_back(parked.client, *bytes as u64);
        }
        if let Some(owner) = self.owners.get_mut(&parked.owner) {
            owner.parked.remove(&id);
            owner.asks.remove(&id);
            owner.capacity.held_back.remove(&id);
        }
        self.tidy(parked.owner);
        Some(parked)
    }

    /// Removes a job from this owner.
    pub(super) fn disown(&mut self, owner: u64, slot: JobSlot) {
        if let Some(it) = self.owners.get_mut(&owner) {
            it.reserved.remove(&slot);
            self.tidy(owner);
        }
    }

    /// Forgets an owner that has nothing here.
    pub(super) fn tidy(&mut self, owner: u64) {
        let idle = |it: &QueueOwner| {
            let told = it.revoked.is_empty() && !it.listens && it.resumes.is_none();
            told && it.reserved.is_empty() && it.parked.is_empty()
        };
        if self.owners.get(&owner).is_some_and(idle) {
            self.owners.remove(&owner);
        }
    }

    /// Keeps the end of a reservation for its owner, and forgets the oldest beyond `max`; returns
    /// whether the owner waits for it.
    pub(super) fn revoke(&mut self, owner: u64, reservation: Reservation, max: usize) -> bool {
        let owner = self.owners.get_mut(&owner).filter(|owner| owner.listens);
        owner.is_some_and(|owner| {
            if owner.revoked.len() >= max {
                owner.revoked.pop_front();
            }
            owner.revoked.push_back(reservation);
            !owner.asks.is_empty()
        })
    }
}
