//! Requests to the queue: their durations, the effect of a lost connection on them, and the jobs handed
//! out to this client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection_state::ConnectionState;
use super::inbound::{CallOutcome, ServerAnswer};
use super::pending::{PendingCall, ReplyTarget};
use super::session::{ClientSession, answer};
use crate::held::ConcernedJobs;
use crate::model::{
    CallReply, JobReply, JobRequest, PushRequest, Reply, Request, Reservation, ReservedJob,
    RpcCall, Settlement, Unique, Verdict,
};

/// The number of jobs that are given back, or resumed, with one request: less than any sensible
/// `queue.push_jobs_max`.
const RESERVATIONS_AT_ONCE: usize = 64;

/// The most lost reservations that are kept for the next request for revoked ones; a worker learns of
/// older ones when it touches or settles them.
const LOST_MAX: usize = 16_384;

/// Returns the request to the queue in a call.
pub(super) fn job_of(call: &RpcCall) -> Option<&JobRequest> {
    match call {
        RpcCall::Store { request: Request::Job(job), .. } => Some(job),
        _ => None,
    }
}

/// Returns whether a push may be resent, for the time it `lasts` (`None`: for ever), after the loss of
/// a connection that may have carried it: a push that was executed finds its jobs, if their indexes
/// stay taken for at least that long.
pub(super) fn stays_indexed(call: &RpcCall, lasts: Option<Duration>) -> bool {
    match job_of(call) {
        Some(JobRequest::Push { jobs, .. }) => jobs.iter().all(|push| stays_named(push, lasts)),
        _ => false,
    }
}

/// Returns whether the index of a job stays taken for this long after the job is done. If a quick
/// worker could free it earlier, the second push could not be recognized.
fn stays_named(PushRequest { options, .. }: &PushRequest, lasts: Option<Duration>) -> bool {
    let after = match options.unique {
        Unique::Finished(after) => Some(after),
        Unique::Waiting | Unique::Unfinished => None,
    };
    options.index.is_some() && after.zip(lasts).is_some_and(|(after, lasts)| after >= lasts)
}

fn revoked_answer(lost: Vec<Reservation>) -> ServerAnswer {
    let reply = Reply::Job(JobReply::Revoked(lost));
    ServerAnswer::Reply(CallReply::new(reply))
}

/// Returns the queue's reply in an outcome.
fn job_reply(outcome: &CallOutcome) -> Option<&JobReply> {
    match outcome {
        Ok(ServerAnswer::Reply(CallReply { reply: Reply::Job(reply), .. })) => Some(reply),
        _ => None,
    }
}

/// Returns the jobs that an answer hands out.
pub(super) fn reserved(outcome: &CallOutcome) -> &[ReservedJob] {
    match job_reply(outcome) {
        Some(JobReply::Reserved(jobs)) => jobs,
        _ => &[],
    }
}

/// Returns the reservations that an answer reports as ended by others.
fn revoked(outcome: &CallOutcome) -> &[Reservation] {
    match job_reply(outcome) {
        Some(JobReply::Revoked(reservations)) => reservations,
        _ => &[],
    }
}

/// The jobs of a client across its connections: what it resumes, gives back, and has lost.
#[derive(Debug, Default)]
pub(super) struct Resuming {
    /// Whether the server knows, on this connection, that the client resumes.
    announced: bool,
    /// Requests to resume reservations that have no answer yet. Until they are answered, nothing else
    /// is sent: a request to settle a job, or for revoked ones, must find this connection as its
    /// holder.
    under_way: usize,
    /// Reservations to give back over the next connection.
    unwanted: Vec<Reservation>,
    /// Whether a worker asks for revoked reservations.
    listens: bool,
    /// Lost reservations that were not reported yet.
    lost: VecDeque<Reservation>,
}

impl Resuming {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Returns whether reservations wait to be given back.
    pub(super) fn gives_back(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// Notes that the connection is lost.
    pub(super) fn cut(&mut self) {
        (self.announced, self.under_way) = (false, 0);
    }
}

impl ClientSession {
    /// Announces to the server, before the first job is handed out on this connection, that this client
    /// resumes its reservations.
    pub(super) fn announce(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.resuming.announced, true) {
            self.ask_to_resume(Vec::new(), now);
        }
    }

    /// Resumes, on a new connection, the reservations of the last one, and gives back those that no
    /// caller took meanwhile.
    pub(super) fn resume(&mut self, now: Instant) {
        let held: Vec<Reservation> = self.held.iter().collect();
        for some in held.chunks(RESERVATIONS_AT_ONCE) {
            self.resuming.announced = true;
            if self.ask_to_resume(some.to_vec(), now) {
                self.resuming.under_way += 1;
            } else {
                self.lose(some.to_vec());
            }
        }
        let unwanted = std::mem::take(&mut self.resuming.unwanted);
        self.release(&unwanted, now);
    }

    /// Sends a request to resume reservations; returns whether it could be sent.
    fn ask_to_resume(&mut self, reservations: Vec<Reservation>, now: Instant) -> bool {
        let id = self.new_id();
        let resume = Request::Job(JobRequest::Resume(reservations));
        self.pending.insert(id, PendingCall::new(resume.into(), ReplyTarget::Resume));
        self.send(id, now);
        self.pending.contains_key(&id)
    }

    /// Processes the answer to a request to resume.
    pub(super) fn resumed(&mut self, call: &RpcCall, outcome: &CallOutcome) {
        let Some(JobRequest::Resume(asked)) = job_of(call) else { return };
        if !asked.is_empty() {
            self.resuming.under_way = self.resuming.under_way.saturating_sub(1);
        }
        match outcome {
            Ok(ServerAnswer::Reply(reply)) => {
                let Reply::Job(JobReply::Resumed(topics)) = &reply.reply else { return };
                let lost = asked.iter().zip(topics).filter(|(_, topic)| topic.is_none());
                self.lose(lost.map(|(lost, _)| *lost).collect());
            }
            // The next connection asks again.
            Err(error) if error.retryable() => {}
            // The request is refused, or the server is older than the request.
            _ => self.lose(asked.clone()),
        }
    }

    /// Drops reservations that this client no longer holds, and reports them as revoked.
    pub(super) fn lose(&mut self, lost: Vec<Reservation>) {
        lost.iter().for_each(|lost| self.held.let_go(lost));
        self.report_lost(lost);
    }

    fn report_lost(&mut self, lost: Vec<Reservation>) {
        if lost.is_empty() {
            return;
        }
        let asks = |pending: &PendingCall| {
            let revoked = matches!(job_of(&pending.call), Some(JobRequest::Revoked { .. }));
            revoked && pending.at.is_none()
        };
        let mut told = false;
        let (effects, queue) = (&mut self.effects, &mut self.queue);
        for (id, pending) in self.pending.extract_if(|_, pending| asks(pending)) {
            queue.remove(&id);
            answer(effects, pending.to, Ok(revoked_answer(lost.clone())));
            told = true;
        }
        if !told && self.resuming.listens {
            self.resuming.lost.extend(lost);
            let surplus = self.resuming.lost.len().saturating_sub(LOST_MAX);
            self.resuming.lost.drain(..surplus);
        }
    }

    /// Returns the answer to a request for revoked reservations, if some were lost while there was no
    /// such request.
    pub(super) fn known_answer(&mut self, call: &RpcCall) -> Option<ServerAnswer> {
        if !matches!(job_of(call), Some(JobRequest::Revoked { .. })) {
            return None;
        }
        self.resuming.listens = true;
        let lost: Vec<Reservation> = std::mem::take(&mut self.resuming.lost).into();
        (!lost.is_empty()).then(|| revoked_answer(lost))
    }

    /// Notes, from the answer to `call`, which jobs this client now holds. The connection to a server
    /// that is leaving is kept until they are settled.
    pub(super) fn note_jobs(&mut self, call: &RpcCall, outcome: &CallOutcome) {
        if let (Some(request), Some(reply)) = (job_of(call), job_reply(outcome)) {
            self.held.note(&ConcernedJobs::of(request), reply, Instant::now);
        }
    }

    /// Processes an answer whose caller is gone: gives back the jobs that it hands out, and keeps the
    /// revoked reservations for the next request for them.
    pub(super) fn take_unwanted(&mut self, outcome: &CallOutcome, now: Instant) {
        self.report_lost(revoked(outcome).to_vec());
        let unwanted = reserved(outcome).iter().map(|job| job.reservation).collect();
        self.give_back(unwanted, now);
    }

    /// Gives back jobs that no caller takes, at no cost to their budgets.
    pub(super) fn give_back(&mut self, reservations: Vec<Reservation>, now: Instant) {
        // Lost reservations are no longer held.
        let mut held = reservations;
        held.retain(|reservation| self.held.contains(reservation));
        match self.link {
            ConnectionState::Closed => {}
            ConnectionState::Down(_) => {
                held.iter().for_each(|reservation| self.held.let_go(reservation));
                self.resuming.unwanted.extend(held);
            }
            ConnectionState::Up | ConnectionState::Leaving | ConnectionState::Closing(_) => {
                self.release(&held, now)
            }
        }
    }

    fn release(&mut self, held: &[Reservation], now: Instant) {
        let release = |reservation: &Reservation| Settlement {
            reservation: *reservation,
            verdict: Verdict::Release,
        };
        for some in held.chunks(RESERVATIONS_AT_ONCE) {
            let settle = JobRequest::Settle(some.iter().map(release).collect());
            let id = self.new_id();
            self.enter(
                id,
                PendingCall::new(Request::Job(settle).into(), ReplyTarget::Abandoned),
                now,
            );
        }
    }
}
