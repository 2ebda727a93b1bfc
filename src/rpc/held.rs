//! [`Held`]: the jobs that came over a connection, as either end of it knows.

use std::collections::HashMap;

use crate::environment::RandomState;

use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId, JobReply, JobRequest, Reservation};

/// Jobs that came over a connection and are not known to have left it, each with its epoch and topic.
///
/// One that is settled by others, or whose time is over, is let go when something is asked of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    jobs: HashMap<JobId, (u32, Blob), RandomState>,
}

/// Which jobs a request asks something of.
#[derive(Debug, Default)]
pub(super) struct Concern {
    reservations: Vec<Reservation>,
    /// Whether those are held no more when it is done.
    settles: bool,
}

impl Concern {
    pub(super) fn of(request: &JobRequest) -> Self {
        match request {
            JobRequest::Settle(settlements) => {
                let reservations = settlements.iter().map(|settlement| settlement.reservation);
                Self { reservations: reservations.collect(), settles: true }
            }
            JobRequest::Touch { reservations, .. } => {
                Self { reservations: reservations.clone(), settles: false }
            }
            JobRequest::Progress { reservation, .. } => {
                Self { reservations: vec![*reservation], settles: false }
            }
            JobRequest::Resume(reservations) => {
                Self { reservations: reservations.clone(), settles: false }
            }
            _ => Self::default(),
        }
    }

    /// Whether the answer to one of its jobs says that it is held no more.
    fn ends(&self, answer: &Option<Error>) -> bool {
        match answer {
            None => self.settles,
            Some(error) => error.code == ErrorCode::StaleReservation,
        }
    }
}

impl Held {
    /// Notes what the answer to a request says.
    pub(super) fn note(&mut self, concern: &Concern, reply: &JobReply) {
        match reply {
            JobReply::Reserved(jobs) => {
                let jobs = jobs.iter().map(|job| (job.reservation, job.topic.clone()));
                self.jobs.extend(jobs.map(|(it, topic)| (it.id, (it.epoch, topic))));
            }
            JobReply::Settled(answers) => {
                let each = concern.reservations.iter().zip(answers);
                each.filter(|(_, answer)| concern.ends(answer)).for_each(|(it, _)| self.let_go(it));
            }
            JobReply::Revoked(lost) => lost.iter().for_each(|it| self.let_go(it)),
            JobReply::Resumed(topics) => {
                for (it, topic) in concern.reservations.iter().zip(topics) {
                    match topic {
                        Some(topic) => drop(self.jobs.insert(it.id, (it.epoch, topic.clone()))),
                        None => self.let_go(it),
                    }
                }
            }
            _ => {}
        }
    }

    /// By another epoch than the last it was another hand-out, which ends nothing.
    pub(super) fn let_go(&mut self, reservation: &Reservation) {
        if self.contains(reservation) {
            self.jobs.remove(&reservation.id);
        }
    }

    pub(super) fn contains(&self, reservation: &Reservation) -> bool {
        self.jobs.get(&reservation.id).is_some_and(|(epoch, _)| *epoch == reservation.epoch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Reservation> {
        self.jobs.iter().map(|(id, (epoch, _))| Reservation { id: *id, epoch: *epoch })
    }

    /// Takes out those of some topics.
    pub(super) fn take_of(&mut self, mut of: impl FnMut(&Blob) -> bool) -> Vec<Reservation> {
        let taken = self.jobs.extract_if(|_, (_, topic)| of(topic));
        taken.map(|(id, (epoch, _))| Reservation { id, epoch }).collect()
    }

    pub(super) fn clear(&mut self) {
        self.jobs = HashMap::default();
    }
}
