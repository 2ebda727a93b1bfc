//! [`HeldJobs`]: the jobs handed out on a connection, as known to either end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::environment::RandomState;

use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId, JobReply, JobRequest, Reservation};

/// The number of held jobs at which expired ones are searched for.
const MANY: usize = 1024;

/// How long after its time a job may still be held, because the queue takes it back a turn later.
const GRACE: Duration = Duration::from_secs(60);

/// Jobs that were handed out on a connection and are not known to have left it.
///
/// A job that was settled by others is removed when a request names it, or when many jobs are held and
/// its time is long over: a worker that settles nothing costs no more than the jobs that it holds.
#[derive(Debug)]
pub(crate) struct HeldJobs {
    jobs: HashMap<JobId, HeldJobState, RandomState>,
    /// How long a job is held if its worker does not state it.
    visibility: Duration,
    /// The number of jobs at which expired ones are searched for.
    many: usize,
}

#[derive(Debug)]
struct HeldJobState {
    epoch: u32,
    topic: Blob,
    visibility: Duration,
    /// The end of its time; `None` for never.
    until: Option<Instant>,
}

impl HeldJobState {
    fn new(epoch: u32, topic: Blob, visibility: Duration, now: Instant) -> Self {
        Self { epoch, topic, visibility, until: now.checked_add(visibility) }
    }

    /// Restarts its time.
    fn touch(&mut self, visibility: Option<Duration>, now: Instant) {
        self.visibility = visibility.unwrap_or(self.visibility);
        self.until = now.checked_add(self.visibility);
    }
}

/// The jobs that a request concerns.
#[derive(Debug, Default)]
pub(crate) struct ConcernedJobs {
    pub(crate) reservations: Vec<Reservation>,
    /// Whether they are no longer held when the request is done.
    settles: bool,
    /// How long the jobs that it hands out or touches are held, if it states that.
    visibility: Option<Duration>,
}

impl ConcernedJobs {
    pub(crate) fn of(request: &JobRequest) -> Self {
        match request {
            JobRequest::Settle(settlements) => {
                let reservations = settlements.iter().map(|settlement| settlement.reservation);
                Self { reservations: reservations.collect(), settles: true, visibility: None }
            }
            JobRequest::Touch { reservations, visibility } => {
                let (reservations, visibility) = (reservations.clone(), *visibility);
                Self { reservations, settles: false, visibility }
            }
            JobRequest::Progress { reservation, .. } => {
                Self { reservations: vec![*reservation], ..Self::default() }
            }
            JobRequest::Resume(reservations) => {
                Self { reservations: reservations.clone(), ..Self::default() }
            }
            JobRequest::Reserve(reserve) => {
                Self { visibility: reserve.visibility, ..Self::default() }
            }
            // A test checks this for every request that concludes.
            _ => Self::default(),
        }
    }

    /// Returns whether the answer for one of the jobs shows that it is no longer held.
    fn ends(&self, answer: &Option<Error>) -> bool {
        match answer {
            None => self.settles,
            Some(error) => error.code == ErrorCode::StaleReservation,
        }
    }
}

impl HeldJobs {
    /// Makes an empty set; `visibility` is how long a job is held if its worker does not state it.
    pub(crate) fn new(visibility: Duration) -> Self {
        Self { jobs: HashMap::default(), visibility, many: MANY }
    }

    /// Processes the answer to a request.
    pub(crate) fn note(
        &mut self,
        concern: &ConcernedJobs,
        reply: &JobReply,
        now: impl FnOnce() -> Instant,
    ) {
        match reply {
            JobReply::Reserved(jobs) if !jobs.is_empty() => {
                let (now, visibility) = (now(), concern.visibility.unwrap_or(self.visibility));
                for job in jobs {
                    let Reservation { id, epoch } = job.reservation;
                    self.jobs
                        .insert(id, HeldJobState::new(epoch, job.topic.clone(), visibility, now));
                }
                self.forget_late(now);
            }
            JobReply::Settled(answers) => {
                let now = now();
                for (reservation, answer) in concern.reservations.iter().zip(answers) {
                    if concern.ends(answer) {
                        self.let_go(reservation);
                    } else if answer.is_none() && self.contains(reservation) {
                        let hold = self.jobs.get_mut(&reservation.id);
                        hold.into_iter().for_each(|hold| hold.touch(concern.visibility, now));
                    }
                }
            }
            JobReply::Revoked(lost) => lost.iter().for_each(|it| self.let_go(it)),
            JobReply::Resumed(topics) => {
                let (now, visibility) = (now(), self.visibility);
                for (it, topic) in concern.reservations.iter().zip(topics) {
                    match topic {
                        Some(topic) => {
                            let hold = HeldJobState::new(it.epoch, topic.clone(), visibility, now);
                            self.jobs.insert(it.id, hold);
                        }
                        None => self.let_go(it),
                    }
                }
            }
            _ => {}
        }
    }

    /// Removes the jobs whose time is long over, if many are held.
    fn forget_late(&mut self, now: Instant) {
        if self.jobs.len() < self.many {
            return;
        }
        let is_late = |until: Instant| now.saturating_duration_since(until) > GRACE;
        self.jobs.retain(|_, hold| !hold.until.is_some_and(is_late));
        self.many = MANY.max(2 * self.jobs.len());
    }

    /// Removes a job. With another epoch than the last one, it was another hand-out, whose end removes
    /// nothing.
    pub(crate) fn let_go(&mut self, reservation: &Reservation) {
        if self.contains(reservation) {
            self.jobs.remove(&reservation.id);
        }
    }

    pub(crate) fn contains(&self, reservation: &Reservation) -> bool {
        self.jobs.get(&reservation.id).is_some_and(|hold| hold.epoch == reservation.epoch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Reservation> {
        self.jobs.iter().map(|(id, hold)| Reservation { id: *id, epoch: hold.epoch })
    }

    /// Removes and returns the jobs of some topics.
    pub(crate) fn take_of(&mut self, mut of: impl FnMut(&Blob) -> bool) -> Vec<Reservation> {
        let taken = self.jobs.extract_if(|_, hold| of(&hold.topic));
        taken.map(|(id, hold)| Reservation { id, epoch: hold.epoch }).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.jobs = HashMap::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReserveRequest, ReservedJob};

    fn given(id: JobId) -> JobReply {
        JobReply::Reserved(vec![ReservedJob::new(Reservation { id, epoch: 1 }, "t", "p")])
    }

    #[test]
    fn s10_a_worker_that_settles_nothing_costs_no_more_than_the_jobs_it_holds() {
        let begun = Instant::now();
        let mut held = HeldJobs::new(Duration::from_secs(30));
        let long = ReserveRequest {
            visibility: Some(Duration::from_secs(3_600)),
            ..ReserveRequest::new("t")
        };
        let long = ConcernedJobs::of(&JobRequest::Reserve(long));
        let touched = Reservation { id: 1, epoch: 1 };
        let touch = JobRequest::Touch { reservations: vec![touched], visibility: None };
        let touch = ConcernedJobs::of(&touch);
        held.note(&ConcernedJobs::default(), &given(1), || begun);
        held.note(&long, &given(2), || begun);
        for second in 0..3_500_u64 {
            let now = begun + Duration::from_secs(second);
            held.note(&touch, &JobReply::Settled(vec![None]), || now);
            for n in 0..20 {
                held.note(&ConcernedJobs::default(), &given(3 + second * 20 + n), || now);
            }
            // Those of the last 90 s at 20 per second may still be held.
            assert!(held.jobs.len() <= 2 * (91 * 20 + 2) + 20, "{} jobs", held.jobs.len());
            let last = Reservation { id: 22 + second * 20, epoch: 1 };
            assert!(
                [touched, Reservation { id: 2, epoch: 1 }, last].iter().all(|it| held.contains(it))
            );
        }
    }
}
