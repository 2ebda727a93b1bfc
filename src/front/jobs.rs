//! [`ConnectionJobs`]: the job requests of a connection, and the jobs that it holds.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::environment::RandomState;

use super::authorization::Authorization;
use super::job_guard::JobGuard;
use super::outbox::Outbox;
use crate::actor::AnswerSink;
use crate::actor::message::{CancelJobs, Done, JobTask, JobTasks, OwnerGone, OwnerId};
use crate::error::Error;
use crate::fair::ClientId;
use crate::handle::Wakeful;
use crate::held::{ConcernedJobs, HeldJobs};
use crate::model::facts::Weight;
use crate::model::{CallReply, JobRequest, Reply};

/// The id of the connection's own requests, which no peer may use.
pub(super) const OWN_ID: u64 = 0;

/// The job requests of a connection, and the jobs that it holds.
///
/// Each request goes to the queue once, and its one answer arrives through the outbox. Bounded by
/// `rpc.requests_in_flight_max`, parked requests by `queue.parked_max`, which the queue enforces, and
/// held jobs by the jobs of the queue.
pub(super) struct ConnectionJobs {
    pub(super) owner: OwnerId,
    /// Unanswered requests.
    pending: HashMap<u64, PendingJobRequest, RandomState>,
    /// The number of unanswered requests that do not park.
    counted: usize,
    /// The number of these that have large answers.
    large: usize,
    /// Jobs that the peer has reserved and not settled.
    pub(super) held: HeldJobs,
    pub(super) guard: JobGuard,
    /// The fingerprint of the peer's user; 0 without users.
    pub(super) user: u64,
    pub(super) client: ClientId,
    /// True if the peer said goodbye, or may not return: it cannot resume its reservations.
    pub(super) parted: bool,
    /// Requests for the next message to the queue. One with a large answer waits there for the answer
    /// to the one before.
    pub(super) works: VecDeque<JobTask>,
    /// The number of unanswered requests with large answers that the queue has.
    large_asked: usize,
    /// True if the queue has had a request of this connection, and no notice of its end.
    known: bool,
    /// True once the queue hands out no more jobs, because the node stops.
    drained: bool,
}

pub(super) struct PendingJobRequest {
    parks: bool,
    /// True if the queue has the request, and its answer is large.
    keeps_others: bool,
    large: bool,
    concern: ConcernedJobs,
}

impl ConnectionJobs {
    /// Returns an empty set; `guarded` on a server with users, whose permissions can change;
    /// `visibility` is how long a reservation lasts by default.
    pub(super) fn new(owner: OwnerId, guarded: bool, visibility: Duration) -> Self {
        Self {
            owner,
            pending: HashMap::default(),
            counted: 0,
            large: 0,
            held: HeldJobs::new(visibility),
            guard: JobGuard::new(guarded),
            user: 0,
            client: ClientId::Process,
            parted: false,
            works: VecDeque::new(),
            large_asked: 0,
            known: false,
            drained: false,
        }
    }

    /// Takes a request for the next message to the queue.
    pub(super) fn ask(&mut self, work: JobTask) {
        let request = &work.request;
        let (parks, large) = (request.parks(), is_large(request));
        let concern = ConcernedJobs::of(request);
        if !parks {
            self.counted += 1;
            self.large += usize::from(large);
        }
        self.guard.ask(work.id, request);
        self.pending
            .insert(work.id, PendingJobRequest { parks, keeps_others: false, large, concern });
        self.works.push_back(work);
    }

    /// Returns true if requests wait until a large answer is encoded.
    pub(super) fn has_rest(&self) -> bool {
        !self.works.is_empty()
    }

    /// Returns true if these may be handed over, because the queue has no request with a large answer.
    pub(super) fn may_go_on(&self) -> bool {
        self.has_rest() && self.large_asked == 0
    }

    /// Returns true if the request `id` has no answer yet.
    pub(super) fn contains(&self, id: u64) -> bool {
        !self.pending.is_empty() && self.pending.contains_key(&id)
    }

    /// Hands the requests to the queue, as one message, up to the first that must wait for a large
    /// answer.
    pub(super) fn hand_over(
        &mut self,
        wakeful: &Wakeful,
        authorization: &Authorization,
        outbox: &Arc<Outbox>,
    ) {
        if self.works.is_empty() {
            return;
        }
        self.known = true;
        let mut works = Vec::with_capacity(self.works.len());
        while let Some(work) = self.works.pop_front() {
            if has_large_answer(&work.request) {
                if self.large_asked > 0 {
                    self.works.push_front(work);
                    break;
                }
                self.large_asked += 1;
                if let Some(pending) = self.pending.get_mut(&work.id) {
                    pending.keeps_others = true;
                }
            }
            works.push(work);
        }
        if works.is_empty() {
            return;
        }
        // bound: one for each read, and requests in flight are limited
        let (owner, user, client) = (self.owner, self.user, self.client);
        let restriction = authorization.restriction();
        let sink = Arc::clone(outbox) as Arc<dyn AnswerSink>;
        wakeful.queue().do_send(JobTasks { owner, works, sink, restriction, user, client });
    }

    /// Cancels those of `ids` that are parked, which still get their answers from the queue.
    pub(super) fn cancel(&mut self, wakeful: &Wakeful, mut ids: Vec<u64>) {
        ids.retain(|id| self.pending.get(id).is_some_and(|pending| pending.parks));
        ids.iter().for_each(|id| self.guard.cancel(*id));
        if !ids.is_empty() {
            // bound: one for each read
            wakeful.queue().do_send(CancelJobs { owner: self.owner, ids });
        }
    }

    /// Notes the answer to `id`; returns false if the queue has no such request.
    pub(super) fn answered(
        &mut self,
        id: u64,
        answer: &Result<Done, Error>,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let Some(pending) = self.forget(id) else { return false };
        if let Ok(Done::Reply(CallReply { reply: Reply::Job(reply), .. })) = answer {
            self.held.note(&pending.concern, reply, now);
        }
        true
    }

    /// Removes the unanswered request `id` from the counts.
    pub(super) fn forget(&mut self, id: u64) -> Option<PendingJobRequest> {
        if self.pending.is_empty() {
            return None;
        }
        let pending = self.pending.remove(&id)?;
        if !pending.parks {
            self.counted -= 1;
            self.large -= usize::from(pending.large);
        }
        self.large_asked -= usize::from(pending.keeps_others);
        Some(pending)
    }

    /// Notes that the queue hands out no more jobs. Jobs that still seem held were settled through
    /// another connection, or their reservations have timed out.
    pub(super) fn drained(&mut self) {
        self.drained = true;
    }

    /// Returns the number of requests in flight that count against the limit.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Returns true if the answer to any of these will be large.
    pub(super) fn has_large(&self) -> bool {
        self.large > 0
    }

    /// Returns the requests that are parked or about to be.
    pub(super) fn parked(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().filter(|(_, pending)| pending.parks).map(|(id, _)| *id)
    }

    /// Returns true if no request is unanswered.
    pub(super) fn is_answered(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns true if no request is unanswered, and the peer has settled its jobs.
    pub(super) fn is_done(&self) -> bool {
        self.pending.is_empty() && (self.drained || self.held.is_empty())
    }

    /// Notifies the queue, once, that the connection has ended.
    pub(super) fn end(&mut self, wakeful: &Wakeful) {
        if std::mem::take(&mut self.known) {
            // bound: once for each connection
            let (owner, may_return) = (self.owner, !self.parted);
            wakeful.queue().do_send(OwnerGone { owner, may_return });
        }
        self.pending = HashMap::default();
        self.works.clear();
        self.large_asked = 0;
        self.held.clear();
        self.guard.clear();
        (self.counted, self.large) = (0, 0);
    }
}

/// Returns true if the answer is a page, of which a connection gets one at a time. (Reserved jobs
/// share their payloads with the queue.)
fn is_large(request: &JobRequest) -> bool {
    request.facts().weight == Weight::Page
}

/// Returns true if the answer may be large and does not wait: the queue would make many together.
fn has_large_answer(request: &JobRequest) -> bool {
    !request.parks() && matches!(request.facts().weight, Weight::Page | Weight::Large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::model::{JobReply, Reservation, ReserveRequest, ReservedJob, Settlement, Verdict};

    fn ask(jobs: &mut ConnectionJobs, id: u64, request: JobRequest) {
        jobs.ask(JobTask { id, deadline: None, durability: None, request });
    }

    fn reserve(wait: Duration) -> JobRequest {
        JobRequest::Reserve(ReserveRequest { wait: Some(wait), ..ReserveRequest::new("t") })
    }

    fn settle(reservation: Reservation) -> JobRequest {
        JobRequest::Settle(vec![Settlement { reservation, verdict: Verdict::Release }])
    }

    fn reply(reply: JobReply) -> Result<Done, Error> {
        Ok(Done::Reply(CallReply::new(Reply::Job(reply))))
    }

    fn given(reservations: &[Reservation]) -> Result<Done, Error> {
        let job = |reservation: &Reservation| ReservedJob::new(*reservation, "t", "p");
        reply(JobReply::Reserved(reservations.iter().map(job).collect()))
    }

    const FIRST: Reservation = Reservation { id: 1, epoch: 1 };
    const AGAIN: Reservation = Reservation { id: 1, epoch: 2 };
    const OTHER: Reservation = Reservation { id: 2, epoch: 1 };

    #[test]
    fn r1_only_requests_that_do_not_park_take_the_place_of_others() {
        let mut jobs = ConnectionJobs::new(5, false, Duration::from_secs(30));
        ask(&mut jobs, 1, reserve(Duration::ZERO));
        ask(&mut jobs, 2, reserve(Duration::from_secs(1)));
        ask(&mut jobs, 3, JobRequest::Schedules);
        assert_eq!((jobs.counted(), jobs.has_large()), (2, true));
        assert!(jobs.contains(2) && !jobs.contains(4));
        assert!(jobs.answered(3, &reply(JobReply::Schedules(Vec::new())), Instant::now));
        assert_eq!((jobs.counted(), jobs.has_large()), (1, false));
        assert!(!jobs.answered(3, &given(&[]), Instant::now), "once");
        assert!(jobs.answered(1, &given(&[]), Instant::now));
        assert!(jobs.counted() == 0 && !jobs.is_done(), "one is parked");
        let refused = Err(Error::new(ErrorCode::Cancelled, "cancelled"));
        assert!(jobs.answered(2, &refused, Instant::now));
        assert!(jobs.is_done());
    }

    #[test]
    fn r5_a_worker_is_done_when_its_jobs_are_settled() {
        let mut jobs = ConnectionJobs::new(5, false, Duration::from_secs(30));
        ask(&mut jobs, 1, reserve(Duration::ZERO));
        jobs.answered(1, &given(&[FIRST, OTHER]), Instant::now);
        assert!(!jobs.is_done());
        ask(&mut jobs, 2, settle(FIRST));
        let failed = Err(Error::new(ErrorCode::JournalFailed, "no"));
        jobs.answered(2, &failed, Instant::now);
        ask(&mut jobs, 3, settle(OTHER));
        jobs.answered(3, &reply(JobReply::Settled(vec![None])), Instant::now);
        assert!(!jobs.is_done(), "the first is not settled");
        // It was not touched in time, and came again.
        ask(&mut jobs, 4, reserve(Duration::ZERO));
        jobs.answered(4, &given(&[AGAIN]), Instant::now);
        ask(&mut jobs, 5, settle(FIRST));
        let stale = Error::new(ErrorCode::StaleReservation, "stale");
        jobs.answered(5, &reply(JobReply::Settled(vec![Some(stale)])), Instant::now);
        assert!(!jobs.is_done(), "a settlement of an old epoch settles nothing");
        ask(&mut jobs, 6, JobRequest::Revoked { wait: Some(Duration::ZERO) });
        jobs.answered(6, &reply(JobReply::Revoked(vec![AGAIN])), Instant::now);
        assert!(jobs.is_done());
    }

    #[test]
    fn r5_a_job_that_others_settled_is_let_go_when_it_is_touched() {
        let mut jobs = ConnectionJobs::new(5, false, Duration::from_secs(30));
        ask(&mut jobs, 1, reserve(Duration::ZERO));
        jobs.answered(1, &given(&[FIRST, OTHER]), Instant::now);
        let reservations = vec![FIRST, OTHER];
        ask(&mut jobs, 2, JobRequest::Touch { reservations, visibility: None });
        let stale = || Some(Error::new(ErrorCode::StaleReservation, "stale"));
        jobs.answered(2, &reply(JobReply::Settled(vec![stale(), None])), Instant::now);
        assert!(!jobs.is_done(), "the other is held on to");
        let reservation = OTHER;
        ask(&mut jobs, 3, JobRequest::Progress { reservation, progress: "half".into() });
        jobs.answered(3, &reply(JobReply::Settled(vec![stale()])), Instant::now);
        assert!(jobs.is_done());
    }

    #[test]
    fn r5_a_job_whose_settlement_is_refused_is_held_until_nothing_is_handed_out() {
        let mut jobs = ConnectionJobs::new(5, false, Duration::from_secs(30));
        ask(&mut jobs, 1, reserve(Duration::ZERO));
        jobs.answered(1, &given(&[FIRST]), Instant::now);
        ask(&mut jobs, 2, settle(FIRST));
        let too_long = Error::new(ErrorCode::LimitExceeded, "too long");
        jobs.answered(2, &reply(JobReply::Settled(vec![Some(too_long)])), Instant::now);
        assert!(!jobs.is_done());
        jobs.drained();
        assert!(jobs.is_done());
    }
}
