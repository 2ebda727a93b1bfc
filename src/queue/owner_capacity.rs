//! Memory kept for waiting requests: reserves get no jobs while their owner does not take its answers,
//! and pushes that wait for capacity are counted by their bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::park::ParkedKind;
use super::{ParkId, QueueState, TopicNo};
use crate::buffered::{BufferedBytes, Charge};

/// The number of reserves that resume at once.
const GROUP: usize = 64;

/// The bytes that a limited owner may have buffered.
#[derive(Debug, Default)]
pub(super) struct OwnerCapacity {
    buffered: Option<Arc<BufferedBytes>>,
    /// Bytes of the jobs handed to the owner in this turn, which are not counted yet.
    handed: usize,
    /// Reserves that wait until the owner has taken what it was handed.
    pub(super) held_back: BTreeSet<ParkId>,
}

impl OwnerCapacity {
    /// Returns whether the owner may be handed no more jobs now.
    fn is_full(&self) -> bool {
        let full = |buffered: &Arc<BufferedBytes>| self.handed >= buffered.allowance().bytes;
        self.buffered.as_ref().is_some_and(full)
    }
}

impl QueueState {
    /// Counts the bytes kept for a waiting request.
    pub(crate) fn count_for(&mut self, park: ParkId, buffered: &Arc<BufferedBytes>) {
        let Some(parked) = self.parked.parked.get_mut(&park) else { return };
        match &mut parked.what {
            ParkedKind::Push { bytes, charge, .. } => {
                let mut counted = Charge::new(buffered, *bytes);
                // The peer cannot take these bytes, so they must not block what it can take.
                counted.set_uncredited(true);
                *charge = Some(counted);
            }
            ParkedKind::Reserve(_) => {
                if let Some(owner) = self.parked.owners.get_mut(&parked.owner) {
                    owner.capacity.buffered.get_or_insert_with(|| Arc::clone(buffered));
                }
            }
            ParkedKind::Revoked => {}
        }
    }

    /// Sets aside the first reserves of a topic whose owners may be handed no more jobs; subtracts them
    /// from `budget`.
    pub(super) fn put_full_aside(&mut self, number: TopicNo, budget: &mut usize) {
        while *budget > 0
            && let Some(topic) = self.topics.get_mut(number as usize)
            && let Some(park) = topic.reserves.first().copied()
            && let Some(parked) = self.parked.parked.get(&park)
            && let Some(owner) = self.parked.owners.get_mut(&parked.owner)
            && owner.capacity.is_full()
        {
            *budget -= 1;
            topic.reserves.remove(&park);
            topic.held_back.insert(park);
            owner.capacity.held_back.insert(park);
            owner.capacity.buffered.iter().for_each(|buffered| buffered.note_paused());
        }
    }

    /// Notes that an owner was handed a job; returns whether it may be handed no more.
    pub(super) fn note_handed(&mut self, owner: u64, bytes: usize) -> bool {
        let Some(it) = self.parked.owners.get_mut(&owner) else { return false };
        if it.capacity.buffered.is_none() {
            return false;
        }
        if it.capacity.handed == 0 {
            self.parked.handed.push(owner);
        }
        it.capacity.handed += bytes;
        it.capacity.is_full()
    }

    /// Resets what was handed out in the last turn, which is counted by now.
    pub(super) fn forget_handed(&mut self) {
        for owner in std::mem::take(&mut self.parked.handed) {
            if let Some(it) = self.parked.owners.get_mut(&owner) {
                it.capacity.handed = 0;
            }
        }
    }

    /// Resumes some reserves of an owner that can take answers again.
    pub(crate) fn note_capacity(&mut self, owner: u64) {
        for _ in 0..GROUP {
            let Some(it) = self.parked.owners.get_mut(&owner) else { return };
            let Some(park) = it.capacity.held_back.pop_first() else { return };
            let parked = self.parked.parked.get(&park);
            let Some(ParkedKind::Reserve(ask)) = parked.map(|parked| &parked.what) else {
                continue;
            };
            let topic = ask.topic;
            if let Some(it) = self.topics.get_mut(topic as usize) {
                it.held_back.remove(&park);
                it.reserves.insert(park);
            }
            self.mark_dirty(topic);
        }
        if let Some(it) = self.parked.owners.get(&owner)
            && !it.capacity.held_back.is_empty()
        {
            it.capacity.buffered.iter().for_each(|buffered| buffered.note_paused());
        }
    }
}
