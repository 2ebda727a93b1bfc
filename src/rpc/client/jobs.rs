//! Requests to the queue: how long they take, what a lost connection means for them, and the jobs
//! that came to this client.

use std::time::{Duration, Instant};

use super::inbound::{Answer, Outcome};
use super::link::Link;
use super::pending::{Pending, Target};
use super::session::Session;
use crate::model::{
    JobRef, JobReply, JobRequest, PushRequest, Reply, Request, Reservation, ReservedJob,
    Settlement, Unique, Verdict,
};
use crate::rpc::proto::Call;

/// Jobs that are given back with one request: fewer than any `queue.push_jobs_max` of use.
const RELEASES_AT_ONCE: usize = 64;

/// The request to the queue that this is.
pub(super) fn job_of(call: &Call) -> Option<&JobRequest> {
    match call {
        Call::Store { request: Request::Job(job), .. } => Some(job),
        _ => None,
    }
}

/// How long it may wait at the server by itself; `None` if only the server knows.
pub(super) fn own_wait(job: &JobRequest) -> Option<Duration> {
    match job {
        JobRequest::Push { wait, .. } => Some(*wait),
        JobRequest::Reserve(reserve) => reserve.wait,
        JobRequest::Revoked { wait }
        | JobRequest::Await { wait, .. }
        | JobRequest::Outcomes { wait, .. } => *wait,
        _ => Some(Duration::ZERO),
    }
}

/// Has one that waits do so for no longer than `left`.
pub(super) fn shorten(job: &mut JobRequest, left: Duration) {
    // At least a moment: the server then looks once and answers.
    let left = left.max(Duration::from_millis(1));
    match job {
        JobRequest::Push { wait, .. } => *wait = left,
        JobRequest::Reserve(reserve) => reserve.wait = Some(left),
        JobRequest::Revoked { wait }
        | JobRequest::Await { wait, .. }
        | JobRequest::Outcomes { wait, .. } => *wait = Some(left),
        _ => {}
    }
}

/// Whether it may be sent again, for as long as it `lasts` (`None`: for ever), after a connection that
/// may have brought it was lost. Jobs that were reserved on that go back by themselves; a push finds
/// its jobs, if it has been done, where their indexes are theirs for at least as long.
pub(super) fn may_repeat(job: &JobRequest, lasts: Option<Duration>) -> bool {
    match job {
        JobRequest::Reserve(_) | JobRequest::Revoked { .. } => true,
        JobRequest::Push { jobs, .. } => jobs.iter().all(|push| stays_named(push, lasts)),
        job => job.only_reads(),
    }
}

/// Whether the index of a job is taken for so long after it was done. One that is free before that,
/// by a worker that is quick, would not tell the second push from the first.
fn stays_named(PushRequest { options, .. }: &PushRequest, lasts: Option<Duration>) -> bool {
    let after = match options.unique {
        Unique::Finished(after) => Some(after),
        Unique::Waiting | Unique::Unfinished => None,
    };
    options.index.is_some() && after.zip(lasts).is_some_and(|(after, lasts)| after >= lasts)
}

pub(super) fn is_push(request: &Request) -> bool {
    matches!(request, Request::Job(JobRequest::Push { .. }))
}

/// Whether it names a job, or an outcome, that only one store has.
pub(super) fn names_the_store(job: &JobRequest) -> bool {
    match job {
        JobRequest::Settle(_) | JobRequest::Touch { .. } | JobRequest::Progress { .. } => true,
        JobRequest::Get(job) | JobRequest::Await { job, .. } | JobRequest::Cancel(job) => {
            matches!(job, JobRef::Id(_))
        }
        JobRequest::Outcomes { after, .. } => after.is_some(),
        JobRequest::List { after, .. } => *after != 0,
        JobRequest::Replay { id, .. } => id.is_some(),
        _ => false,
    }
}

/// The jobs that an answer hands out.
pub(super) fn reserved(outcome: &Outcome) -> &[ReservedJob] {
    match outcome {
        Ok(Answer::Reply(reply)) => match &reply.reply {
            Reply::Job(JobReply::Reserved(jobs)) => jobs,
            _ => &[],
        },
        _ => &[],
    }
}

impl Session {
    /// Notes which jobs this client holds from now on, and which it does not any more, by the
    /// answer to `call`. A server that leaves is not left before they are settled.
    pub(super) fn note_jobs(&mut self, call: &Call, outcome: &Outcome) {
        let (Some(request), Ok(Answer::Reply(reply))) = (job_of(call), outcome) else { return };
        match (&reply.reply, request) {
            (Reply::Job(JobReply::Reserved(jobs)), _) => {
                self.held.extend(jobs.iter().map(|job| job.reservation));
            }
            (Reply::Job(JobReply::Settled(_)), JobRequest::Settle(settlements)) => {
                for settlement in settlements {
                    self.held.remove(&settlement.reservation);
                }
            }
            (Reply::Job(JobReply::Revoked(lost)), _) => {
                for reservation in lost {
                    self.held.remove(reservation);
                }
            }
            _ => {}
        }
    }

    /// Gives back jobs that nobody takes, without cost to them.
    pub(super) fn give_back(&mut self, reservations: Vec<Reservation>, now: Instant) {
        // Of another connection they went back with that.
        let mut held = reservations;
        held.retain(|reservation| self.held.contains(reservation));
        if matches!(self.link, Link::Down(_) | Link::Closed) {
            return;
        }
        let release = |reservation: &Reservation| Settlement {
            reservation: *reservation,
            verdict: Verdict::Release,
        };
        for some in held.chunks(RELEASES_AT_ONCE) {
            let settle = JobRequest::Settle(some.iter().map(release).collect());
            let id = self.new_id();
            self.enter(id, Pending::new(Request::Job(settle).into(), Target::Nobody), now);
        }
    }
}
