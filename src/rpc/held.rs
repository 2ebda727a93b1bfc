//! [`Held`]: the jobs that came over a connection, as either end of it knows.

use std::collections::HashMap;

use ahash::RandomState;

use crate::error::{Error, ErrorCode};
use crate::model::{JobId, JobReply, JobRequest, Reservation};

/// Jobs that came over a connection and are not known to have left it, each with its epoch.
///
/// One that is settled by others, or whose time is over, is let go when something is asked of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    epochs: HashMap<JobId, u32, RandomState>,
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
                let reservations = jobs.iter().map(|job| job.reservation);
                self.epochs.extend(reservations.map(|it| (it.id, it.epoch)));
            }
            JobReply::Settled(answers) => {
                let each = concern.reservations.iter().zip(answers);
                each.filter(|(_, answer)| concern.ends(answer)).for_each(|(it, _)| self.let_go(it));
            }
            JobReply::Revoked(lost) => lost.iter().for_each(|it| self.let_go(it)),
            _ => {}
        }
    }

    /// By another epoch than the last it was another hand-out, which ends nothing.
    fn let_go(&mut self, reservation: &Reservation) {
        if self.contains(reservation) {
            self.epochs.remove(&reservation.id);
        }
    }

    pub(super) fn contains(&self, reservation: &Reservation) -> bool {
        self.epochs.get(&reservation.id) == Some(&reservation.epoch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Reservation> {
        self.epochs.iter().map(|(id, epoch)| Reservation { id: *id, epoch: *epoch })
    }

    pub(super) fn clear(&mut self) {
        self.epochs = HashMap::default();
    }
}
