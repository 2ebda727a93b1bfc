//! Requests to the queue: how long they take, what a lost connection means for them, and the jobs
//! that came to this client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::inbound::{Answer, Outcome};
use super::link::Link;
use super::pending::{Pending, Target};
use super::session::{Session, answer};
use crate::model::{
    CallReply, JobRef, JobReply, JobRequest, PushRequest, Reply, Request, Reservation, ReservedJob,
    Settlement, Unique, Verdict,
};
use crate::rpc::held::Concern;
use crate::rpc::proto::Call;

/// Jobs that are given back, or resumed, with one request: fewer than any `queue.push_jobs_max` of
/// use.
const RESERVATIONS_AT_ONCE: usize = 64;

/// Most lost reservations that are kept for whoever asks next; of those before them a worker learns
/// when it touches or settles them.
const LOST_MAX: usize = 16_384;

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
/// may have brought it was lost. Jobs that were reserved on that and never came go back by themselves; a push finds
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
        JobRequest::Settle(_)
        | JobRequest::Touch { .. }
        | JobRequest::Progress { .. }
        | JobRequest::Resume(_) => true,
        JobRequest::Get(job) | JobRequest::Await { job, .. } | JobRequest::Cancel(job) => {
            matches!(job, JobRef::Id(_))
        }
        JobRequest::Outcomes { after, .. } => after.is_some(),
        JobRequest::List { after, .. } => *after != 0,
        JobRequest::Replay { id, .. } => id.is_some(),
        _ => false,
    }
}

fn revoked_answer(lost: Vec<Reservation>) -> Answer {
    let reply = Reply::Job(JobReply::Revoked(lost));
    Answer::Reply(CallReply { reply, durability: None })
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

/// The reservations that an answer says have ended without this client.
fn revoked(outcome: &Outcome) -> &[Reservation] {
    match outcome {
        Ok(Answer::Reply(reply)) => match &reply.reply {
            Reply::Job(JobReply::Revoked(reservations)) => reservations,
            _ => &[],
        },
        _ => &[],
    }
}

/// What a client does to keep the jobs that it holds across connections.
#[derive(Debug, Default)]
pub(super) struct Resuming {
    /// The server knows that this client resumes.
    announced: bool,
    /// Requests to resume reservations that have no answer yet. Until they have, nothing else is
    /// asked: whoever settles a job or waits for what is revoked is to meet the new holder.
    under_way: usize,
    /// To be given back over the next connection.
    unwanted: Vec<Reservation>,
    /// Somebody asks for what is revoked.
    listens: bool,
    /// Lost, and not told to anybody yet.
    lost: VecDeque<Reservation>,
}

impl Resuming {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Whether something waits to be given back.
    pub(super) fn gives_back(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// The connection is lost.
    pub(super) fn cut(&mut self) {
        (self.announced, self.under_way) = (false, 0);
    }
}

impl Session {
    /// Tells the server, before the first job comes over this connection, that this client resumes
    /// what it holds.
    pub(super) fn announce(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.resuming.announced, true) {
            self.ask_to_resume(Vec::new(), now);
        }
    }

    /// Resumes over a new connection what was held over the last one, and gives back what nobody
    /// took meanwhile.
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

    /// Tells whether it could be sent.
    fn ask_to_resume(&mut self, reservations: Vec<Reservation>, now: Instant) -> bool {
        let id = self.new_id();
        let resume = Request::Job(JobRequest::Resume(reservations));
        self.pending.insert(id, Pending::new(resume.into(), Target::Resume));
        self.send(id, now);
        self.pending.contains_key(&id)
    }

    /// The server has answered to a request to resume.
    pub(super) fn resumed(&mut self, call: &Call, outcome: &Outcome) {
        let Some(JobRequest::Resume(asked)) = job_of(call) else { return };
        if !asked.is_empty() {
            self.resuming.under_way = self.resuming.under_way.saturating_sub(1);
        }
        match outcome {
            Ok(Answer::Reply(reply)) => {
                let Reply::Job(JobReply::Resumed(topics)) = &reply.reply else { return };
                let lost = asked.iter().zip(topics).filter(|(_, topic)| topic.is_none());
                self.lose(lost.map(|(lost, _)| *lost).collect());
            }
            // The next connection asks again.
            Err(error) if error.retryable() => {}
            // It is refused, or the server is older than the request.
            _ => self.lose(asked.clone()),
        }
    }

    /// These reservations are not this client's any more: whoever asks for what is revoked is told.
    pub(super) fn lose(&mut self, lost: Vec<Reservation>) {
        lost.iter().for_each(|lost| self.held.let_go(lost));
        self.tell_lost(lost);
    }

    fn tell_lost(&mut self, lost: Vec<Reservation>) {
        if lost.is_empty() {
            return;
        }
        let asks = |pending: &Pending| {
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

    /// What is known already of an answer to this call: what was lost while nobody asked.
    pub(super) fn known_answer(&mut self, call: &Call) -> Option<Answer> {
        if !matches!(job_of(call), Some(JobRequest::Revoked { .. })) {
            return None;
        }
        self.resuming.listens = true;
        let lost: Vec<Reservation> = std::mem::take(&mut self.resuming.lost).into();
        (!lost.is_empty()).then(|| revoked_answer(lost))
    }

    /// Notes which jobs this client holds from now on, and which it does not any more, by the
    /// answer to `call`. A server that leaves is not left before they are settled.
    pub(super) fn note_jobs(&mut self, call: &Call, outcome: &Outcome) {
        if let (Some(request), Ok(Answer::Reply(reply))) = (job_of(call), outcome)
            && let Reply::Job(reply) = &reply.reply
        {
            self.held.note(&Concern::of(request), reply);
        }
    }

    /// Takes an answer that nobody waits for any more: what it hands out is given back, what it says
    /// is revoked is told to whoever asks next.
    pub(super) fn take_unwanted(&mut self, outcome: &Outcome, now: Instant) {
        self.tell_lost(revoked(outcome).to_vec());
        let unwanted = reserved(outcome).iter().map(|job| job.reservation).collect();
        self.give_back(unwanted, now);
    }

    /// Gives back jobs that nobody takes, without cost to them.
    pub(super) fn give_back(&mut self, reservations: Vec<Reservation>, now: Instant) {
        // Of those that are lost there is nothing to give back.
        let mut held = reservations;
        held.retain(|reservation| self.held.contains(reservation));
        match self.link {
            Link::Closed => {}
            Link::Down(_) => {
                held.iter().for_each(|reservation| self.held.let_go(reservation));
                self.resuming.unwanted.extend(held);
            }
            Link::Up | Link::Leaving | Link::Closing(_) => self.release(&held, now),
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
            self.enter(id, Pending::new(Request::Job(settle).into(), Target::Nobody), now);
        }
    }
}
