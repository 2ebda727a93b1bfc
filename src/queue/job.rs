//! [`Job`]: one unfinished job, or a dead letter.

use std::collections::VecDeque;

use super::TopicNo;
use crate::model::{Backoff, Blob, JobId, JobState, Reservation, Unique, UnixMillis};
use crate::store::Micros;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Among the ready of its topic.
    Ready,
    /// It waits for a place of its order key.
    Waiting,
    /// Until this time of day.
    Delayed(UnixMillis),
    /// Until this deadline, if its worker does not touch it.
    Reserved(Micros),
    /// Done, and its result is being recorded.
    Recording,
    /// A dead letter since then.
    Dead(UnixMillis),
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) topic: TopicNo,
    pub(super) priority: u8,
    pub(super) phase: Phase,
    /// Takes a place of its order key.
    pub(super) holds_place: bool,
    /// Of one that is handed out: its worker may resume the reservation.
    pub(super) resumable: bool,
    pub(super) epoch: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    pub(super) retry_max: Option<u32>,
    pub(super) loss_max: Option<u32>,
    /// Its place among the ready: the lower, the sooner.
    pub(super) rank: i64,
    /// Of those with the same rank: the lower, the sooner.
    pub(super) turn: u64,
    pub(super) pushed: UnixMillis,
    pub(super) started: UnixMillis,
    pub(super) payload: Blob,
    /// Who holds it, and for how long without a touch. A resumable reservation without an owner is
    /// held until its deadline for the worker to come back.
    pub(super) owner: u64,
    pub(super) visibility: Micros,
    /// Whose user may resume it: a fingerprint, 0 where there are no users.
    pub(super) user: u64,
    /// What most jobs have not.
    pub(super) extra: Option<Box<Extra>>,
}

/// What most jobs have not.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    pub(super) index: Option<Blob>,
    pub(super) unique: Unique,
    pub(super) order_key: Option<Blob>,
    pub(super) backoff: Option<Backoff>,
    pub(super) errors: VecDeque<String>,
    pub(super) progress: Option<Blob>,
}

impl Job {
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { id: self.id, epoch: self.epoch }
    }

    /// Whether it is handed out, and held for a worker that is not connected.
    pub(super) fn awaits_resume(&self) -> bool {
        let handed_out = matches!(self.phase, Phase::Reserved(_) | Phase::Recording);
        handed_out && self.resumable && self.owner == 0
    }

    pub(super) fn state(&self) -> JobState {
        match self.phase {
            Phase::Ready | Phase::Waiting => JobState::Ready,
            Phase::Delayed(_) => JobState::Delayed,
            Phase::Reserved(_) | Phase::Recording => JobState::Reserved,
            Phase::Dead(_) => JobState::Dead,
        }
    }

    pub(super) fn index(&self) -> Option<&Blob> {
        self.extra.as_ref()?.index.as_ref()
    }

    pub(super) fn order_key(&self) -> Option<&Blob> {
        self.extra.as_ref()?.order_key.as_ref()
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Keeps an error, and forgets the oldest.
    pub(super) fn note_error(&mut self, error: String, kept_max: usize) {
        let errors = &mut self.extra().errors;
        errors.push_back(error);
        while errors.len() > kept_max.max(1) {
            errors.pop_front();
        }
    }

    /// What counts against the limits of bytes.
    pub(super) fn bytes(&self) -> u64 {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            let names = [&extra.index, &extra.order_key].into_iter().flatten();
            names.map(|name| name.len()).sum()
        });
        (self.payload.len() + extra) as u64
    }

    /// What counts against the limits of dead letters: what was added to it too.
    pub(super) fn bytes_dead(&self) -> u64 {
        let errors = self.extra.as_ref().map_or(0, |it| it.errors.iter().map(String::len).sum());
        self.bytes() + errors as u64 + std::mem::size_of::<Self>() as u64
    }
}
