//! Who waits for the queue, and what they are told.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::environment::RandomState;

use super::owner_room::OwnerRoom;
use super::producers::Place;
use super::{QueueError, Slot, TopicNo};
use crate::buffered::Charge;
use crate::fair::{ClientId, FairShares, sharer};
use crate::model::{JobInfo, PushRequest, Pushed, Reservation, ReservedJob};
use crate::store::Micros;

/// Names a request that waits; never given twice.
pub(crate) type ParkId = u64;

/// Who asks the queue for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requester {
    /// The number of a connection, or of a worker of this process.
    pub(crate) owner: u64,
    pub(crate) client: ClientId,
}

/// What is to be told.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A reserve has its answer.
    Reserved(ParkId, Vec<ReservedJob>),
    /// A push that waited for room has its answer.
    Pushed(ParkId, Result<Vec<Pushed>, QueueError>),
    /// So does one who asked for what was revoked.
    Revoked(ParkId, Vec<Reservation>),
    /// A request that waits is refused.
    Refused(ParkId, QueueError),
    /// A job is done: its result is to be recorded, then [`recorded`](super::State::recorded).
    Record(Box<JobInfo>),
    /// A job is dead or cancelled.
    Note(Box<JobInfo>),
    /// A job was cancelled with all that waited in its topic: whoever waits for it is told, and no
    /// outcome is kept.
    Cleared(Box<JobInfo>),
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) owner: u64,
    pub(super) client: ClientId,
    pub(super) deadline: Micros,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Reserve(Ask),
    /// For room there.
    Push {
        jobs: Vec<PushRequest>,
        bytes: usize,
        blocked: Place,
        charge: Option<Charge>,
    },
    Revoked,
}

/// Who asks for jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) topic: TopicNo,
    pub(super) credits: u32,
    pub(super) visibility: Micros,
}

/// What an owner has in the queue.
#[derive(Debug, Default)]
pub(super) struct Owner {
    pub(super) reserved: BTreeSet<Slot>,
    pub(super) parked: BTreeSet<ParkId>,
    /// It asked once, so it is told.
    pub(super) listens: bool,
    pub(super) revoked: VecDeque<Reservation>,
    /// Its requests that wait for the next.
    pub(super) asks: BTreeSet<ParkId>,
    /// It resumes what it holds when its connection is lost: as a user with this fingerprint, 0
    /// where there are no users.
    pub(super) resumes: Option<u64>,
    /// It has ended for good, and resumes nothing.
    pub(super) parted: bool,
    pub(super) room: OwnerRoom,
}

/// Everyone who waits.
#[derive(Debug, Default)]
pub(super) struct Parties {
    pub(super) parked: HashMap<ParkId, Parked, RandomState>,
    pub(super) deadlines: BTreeSet<(Micros, ParkId)>,
    pub(super) owners: HashMap<u64, Owner, RandomState>,
    /// Owners who are gone, while they still have something.
    pub(super) gone: BTreeSet<u64>,
    /// Requests that wait, by client.
    pub(super) waiting: FairShares<ClientId>,
    /// Bytes of pushes that wait for room, by client.
    pub(super) push_bytes: FairShares<ClientId>,
    /// Owners that were handed jobs in this turn, where what they may keep is limited.
    pub(super) handed: Vec<u64>,
    next: ParkId,
}

impl Parties {
    pub(super) fn park(&mut self, requester: Requester, deadline: Micros, what: What) -> ParkId {
        let Requester { owner, client } = requester;
        self.next += 1;
        let id = self.next;
        self.waiting.take(sharer(client), 1);
        if let What::Push { bytes, .. } = &what {
            self.push_bytes.take(sharer(client), *bytes as u64);
        }
        self.deadlines.insert((deadline, id));
        self.owners.entry(owner).or_default().parked.insert(id);
        self.parked.insert(id, Parked { owner, client, deadline, what });
        id
    }

    /// Takes one that waited out, but for where its topic or the producers have it.
    pub(super) fn unpark(&mut self, id: ParkId) -> Option<Parked> {
        let parked = self.parked.remove(&id)?;
        self.deadlines.remove(&(parked.deadline, id));
        self.waiting.give_back(sharer(parked.client), 1);
        if let What::Push { bytes, .. } = &parked.what {
            self.push_bytes.give_back(sharer(parked.client), *bytes as u64);
        }
        if let Some(owner) = self.owners.get_mut(&parked.owner) {
            owner.parked.remove(&id);
            owner.asks.remove(&id);
            owner.room.held_back.remove(&id);
        }
        self.tidy(parked.owner);
        Some(parked)
    }

    /// The job is not this owner's any more.
    pub(super) fn disown(&mut self, owner: u64, slot: Slot) {
        if let Some(it) = self.owners.get_mut(&owner) {
            it.reserved.remove(&slot);
            self.tidy(owner);
        }
    }

    /// Forgets an owner who has nothing here.
    pub(super) fn tidy(&mut self, owner: u64) {
        let idle = |it: &Owner| {
            let told = it.revoked.is_empty() && !it.listens && it.resumes.is_none();
            told && it.reserved.is_empty() && it.parked.is_empty()
        };
        if self.owners.get(&owner).is_some_and(idle) {
            self.owners.remove(&owner);
        }
    }

    /// Keeps, for its owner, that a reservation ended, and forgets the first past `max`; tells
    /// whether the owner waits for that.
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
