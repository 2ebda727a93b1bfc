//! [`Job`]: one unfinished job, or a dead letter.

use std::collections::VecDeque;

use super::TopicNo;
use crate::model::{Backoff, Blob, JobId, JobState, Reservation, Unique, UnixMillis};
use crate::time::Micros;

/// The place of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPhase {
    /// Among the ready jobs of its topic.
    Ready,
    /// Waiting for a slot of its order key.
    Waiting,
    /// Delayed until this time of day.
    Delayed(UnixMillis),
    /// Reserved until this deadline, unless its worker touches it.
    Reserved(Micros),
    /// Done; its result is being recorded.
    Recording,
    /// A dead letter since this time.
    Dead(UnixMillis),
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) topic: TopicNo,
    pub(super) priority: u8,
    pub(super) phase: JobPhase,
    /// Whether the job holds a slot of its order key.
    pub(super) holds_place: bool,
    /// Whether the worker of a reserved job may resume the reservation.
    pub(super) resumable: bool,
    pub(super) epoch: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    pub(super) retry_max: Option<u32>,
    pub(super) loss_max: Option<u32>,
    /// The rank of the job among the ready jobs: lower is sooner.
    pub(super) rank: i64,
    /// The order of the job among those of the same rank: lower is sooner.
    pub(super) turn: u64,
    pub(super) pushed: UnixMillis,
    pub(super) started: UnixMillis,
    pub(super) payload: Blob,
    /// The owner of the reservation, and how long the job is held without a touch. A resumable
    /// reservation without an owner is held until its deadline so that the worker can return.
    pub(super) owner: u64,
    pub(super) visibility: Micros,
    /// The fingerprint of the user who may resume the reservation; 0 if there are no users.
    pub(super) user: u64,
    /// Properties that most jobs do not have.
    pub(super) extra: Option<Box<RareJobFields>>,
}

/// Properties that most jobs do not have.
#[derive(Debug, Clone, Default)]
pub(super) struct RareJobFields {
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

    /// Returns whether the job is reserved for a worker that is not connected.
    pub(super) fn awaits_resume(&self) -> bool {
        let handed_out = matches!(self.phase, JobPhase::Reserved(_) | JobPhase::Recording);
        handed_out && self.resumable && self.owner == 0
    }

    pub(super) fn state(&self) -> JobState {
        match self.phase {
            JobPhase::Ready | JobPhase::Waiting => JobState::Ready,
            JobPhase::Delayed(_) => JobState::Delayed,
            JobPhase::Reserved(_) | JobPhase::Recording => JobState::Reserved,
            JobPhase::Dead(_) => JobState::Dead,
        }
    }

    pub(super) fn index(&self) -> Option<&Blob> {
        self.extra.as_ref()?.index.as_ref()
    }

    pub(super) fn order_key(&self) -> Option<&Blob> {
        self.extra.as_ref()?.order_key.as_ref()
    }

    pub(super) fn extra(&mut self) -> &mut RareJobFields {
        self.extra.get_or_insert_default()
    }

    /// Keeps an error, and drops the oldest one if there are too many.
    pub(super) fn note_error(&mut self, error: String, kept_max: usize) {
        let errors = &mut self.extra().errors;
        errors.push_back(error);
        while errors.len() > kept_max.max(1) {
            errors.pop_front();
        }
    }

    /// Returns the bytes that count against the limits.
    pub(super) fn bytes(&self) -> u64 {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            let names = [&extra.index, &extra.order_key].into_iter().flatten();
            names.map(|name| name.len()).sum()
        });
        (self.payload.len() + extra) as u64
    }

    /// Returns the bytes that count against the limits of dead letters, including errors and overhead.
    pub(super) fn bytes_dead(&self) -> u64 {
        let errors = self.extra.as_ref().map_or(0, |it| it.errors.iter().map(String::len).sum());
        self.bytes() + errors as u64 + std::mem::size_of::<Self>() as u64
    }
}
