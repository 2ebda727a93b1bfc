//! [`QueueActor`]: the owner of the jobs.

mod turn;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, ResponseFuture};
use tokio::sync::oneshot;

use super::StorageActor;
use super::caller::{Caller, Callers, ReplyTo};
use super::clock::{Clock, micros};
use super::fail_stop::FailStop;
use super::job_guard::{JobVisibility, hides_job};
use super::message::{
    CancelJobs, DrainQueue, EndJobs, ExecuteJob, Finished, HaltQueue, JobTask, JobTasks,
    JournalProgressed, OwnerGone, OwnerId, QueryOutcomes, ReadCapacity, Recorded, ReviseAwaits,
    StillUnfinished, Undelivered,
};
use super::settling::Settling;
use super::storage::JobDurabilityQueue;
use super::turn::TurnTimer;
use crate::auth::Access;
use crate::environment;
use crate::error::Error;
use crate::failpoint;
use crate::fair::ClientId;
use crate::journal::{JournalProgress, RecordBatch};
use crate::model::facts::DiskUse;
use crate::model::{Blob, JobRef, JobReply, JobRequest, Reservation, Settlement};
use crate::pace::Turn;
use crate::queue::{Now, ParkId, QueueAnswer, QueueError, QueueState, Requester, SettleProgress};

/// The queue, which snapshots contain too.
pub(crate) type SharedQueue = Rc<RefCell<QueueState>>;

/// Owns the jobs, and hands them out to workers.
///
/// Crash-only: its state is consistent after every message.
pub(crate) struct QueueActor {
    queue: SharedQueue,
    storage: Addr<StorageActor>,
    durability_queue: Option<JobDurabilityQueue>,
    records: RecordBatch,
    clock: Clock,
    callers: Callers<ParkId>,
    settling: Settling,
    answers: Vec<(Caller, Result<JobReply, Error>)>,
    /// Jobs that finished in this turn, for the storage.
    finished: Vec<Finished>,
    /// Number of results confirmed since the storage was last notified.
    confirmed: usize,
    /// Answers that the storage sends when it has recorded those outcomes.
    finishing: Vec<(Caller, JobReply)>,
    /// Queries for the storage from this turn.
    seeks: Vec<QueryOutcomes>,
    turns: TurnTimer,
    /// Callers that wait until no job is handed out any more.
    drained: Vec<oneshot::Sender<()>>,
    fail_stop: FailStop,
    /// The longest duration of a turn, see `rpc.turn_max`.
    turn_max: Duration,
}

impl QueueActor {
    pub(crate) fn new(
        queue: SharedQueue,
        storage: Addr<StorageActor>,
        durability_queue: Option<JobDurabilityQueue>,
        fail_stop: FailStop,
        clock: Clock,
        turn_max: Duration,
    ) -> Self {
        Self {
            queue,
            storage,
            durability_queue,
            records: RecordBatch::new(),
            clock,
            callers: Callers::default(),
            settling: Settling::default(),
            answers: Vec::new(),
            finished: Vec::new(),
            confirmed: 0,
            finishing: Vec::new(),
            seeks: Vec::new(),
            turns: TurnTimer::default(),
            drained: Vec::new(),
            fail_stop,
            turn_max,
        }
    }

    fn now(&self) -> Now {
        self.now_at(environment::now())
    }

    /// Returns the times at a reading of the monotonic clock that was just made.
    fn now_at(&self, reading: Instant) -> Now {
        let now = self.clock.now_at(reading);
        self.queue.borrow_mut().set_unaged(self.clock.unaged());
        now
    }

    fn ask(&mut self, now: Now, caller: Caller, request: JobRequest, sight: JobVisibility) {
        if let Err(error) = self.check(&request) {
            self.answers.push((caller, Err(error)));
            return;
        }
        let wait = request.wait();
        if let JobRequest::Settle(settlements) = request {
            self.settle(now, caller, settlements, &sight);
            return;
        }
        let finishes = matches!(request, JobRequest::Cancel(_));
        let may = |topic: &Blob| sight.has(topic);
        let requester = Requester { owner: caller.owner, client: caller.client };
        let answer = self.queue.borrow_mut().request_within(now, requester, request, &may);
        match answer {
            QueueAnswer::Now(Ok(reply)) if finishes => self.finishing.push((caller, reply)),
            QueueAnswer::Now(result) => self.answers.push((caller, result.map_err(Error::from))),
            QueueAnswer::Parked(park) => {
                if let ReplyTo::Connection(sink) = &caller.to
                    && let Some(buffered) = sink.buffered()
                {
                    self.queue.borrow_mut().count_for(park, buffered);
                }
                self.callers.park(park, caller);
            }
            QueueAnswer::Ask(query) => match self.queue.borrow().check_wait(wait) {
                Ok(wait) => {
                    let until = now.steady.saturating_add(micros(wait));
                    self.seeks.push(QueryOutcomes { caller, query, sight, until });
                }
                Err(error) => self.answers.push((caller, Err(error.into()))),
            },
        }
    }

    fn do_one(
        &mut self,
        now: Now,
        turn: &Turn,
        caller: Caller,
        mut work: JobTask,
        user: u64,
        restriction: Option<&Arc<Access>>,
    ) {
        if let Some(deadline) = work.deadline {
            // A recent reading, not that of the message: its earlier requests may have taken long.
            if deadline <= turn.reading_for(deadline) {
                self.answers.push((caller, Err(QueueError::DeadlineExceeded.into())));
                return;
            }
            if work.request.parks()
                && let Ok(default) = self.queue.borrow().check_wait(None)
            {
                // Counted from `now`, as waits are.
                work.request.wait_at_most(self.clock.wait_until(deadline, now), default);
            }
        }
        let sight = JobVisibility::of(restriction, &work.request);
        match work.request {
            JobRequest::Resume(reservations) => {
                self.resume(now, caller, user, &reservations, &sight);
            }
            request => self.ask(now, caller, request, sight),
        }
    }

    /// Resumes reservations for a connection of `user`.
    fn resume(
        &mut self,
        now: Now,
        caller: Caller,
        user: u64,
        reservations: &[Reservation],
        sight: &JobVisibility,
    ) {
        let failed = self
            .durability_queue
            .as_ref()
            .and_then(|durability_queue| durability_queue.log.get().failed().cloned());
        if let Some(error) = failed {
            self.answers.push((caller, Err(error)));
            return;
        }
        let may_work = |topic: &Blob| sight.has(topic);
        let mut queue = self.queue.borrow_mut();
        let resumed = queue.resume(now, caller.owner, user, reservations, may_work);
        self.answers.push((caller, resumed.map_err(Error::from)));
    }

    /// Checks that the changes of a request can be written. A request that gives jobs back is never
    /// refused for lack of space.
    fn check(&self, request: &JobRequest) -> Result<(), Error> {
        let Some(durability_queue) = &self.durability_queue else { return Ok(()) };
        let mut log = durability_queue.log.get_mut();
        match request.facts().disk {
            DiskUse::Nothing => Ok(()),
            DiskUse::Conclusion => log.failed().cloned().map_or(Ok(()), Err),
            DiskUse::Record | DiskUse::Files => log.check(),
            DiskUse::Growth => log.check_growth(request.log_bytes(), || true),
        }
    }

    fn settle(
        &mut self,
        now: Now,
        caller: Caller,
        settlements: Vec<Settlement>,
        sight: &JobVisibility,
    ) {
        let mut queue = self.queue.borrow_mut();
        if let Err(error) = queue.check_count(settlements.len()) {
            self.answers.push((caller, Err(error.into())));
            return;
        }
        let may = |topic: &Blob| sight.has(topic);
        let settled = settlements.into_iter().map(|settlement| {
            let reservation = settlement.reservation;
            let settled = queue.settle_within(now, settlement, &may);
            (reservation, settled.map_err(Error::from))
        });
        let settled: Vec<(Reservation, Result<SettleProgress, Error>)> = settled.collect();
        self.answers.extend(self.settling.begin(caller, settled));
    }

    /// Jobs handed out to an owner that has not been notified yet.
    fn withheld_jobs(&self, owner: OwnerId) -> Vec<Reservation> {
        let withheld =
            self.durability_queue.iter().flat_map(|durability_queue| durability_queue.withheld());
        let own = withheld.filter(|answered| answered.caller.owner == owner);
        let jobs = own.filter_map(|answered| match &answered.result {
            Ok(JobReply::Reserved(jobs)) => Some(jobs),
            _ => None,
        });
        jobs.flatten().map(|job| job.reservation).collect()
    }
}

impl Actor for QueueActor {
    type Context = Context<Self>;

    /// Handles what is due since the start, and hands what was lost to the journal before a snapshot
    /// can contain it.
    fn started(&mut self, ctx: &mut Self::Context) {
        let now = self.now();
        self.finish(now, ctx);
    }
}

impl Handler<JobTasks> for QueueActor {
    type Result = ();

    fn handle(&mut self, works: JobTasks, ctx: &mut Self::Context) {
        failpoint::reached("queue");
        self.work_off(works, ctx);
    }
}

impl Handler<ExecuteJob> for QueueActor {
    type Result = ();

    fn handle(&mut self, job: ExecuteJob, ctx: &mut Self::Context) {
        let ExecuteJob { owner, id, durability, request, answer } = job;
        if answer.is_closed() {
            return;
        }
        let now = self.now();
        let to = ReplyTo::Local(answer, ctx.address());
        let client = ClientId::Process;
        let caller = Caller { owner, client, id, asked: durability, deadline: None, to };
        self.ask(now, caller, request, JobVisibility::default());
        self.finish(now, ctx);
    }
}

impl Handler<ReviseAwaits> for QueueActor {
    type Result = ();

    fn handle(&mut self, revise: ReviseAwaits, ctx: &mut Self::Context) {
        let ReviseAwaits { owner, mut awaits, access } = revise;
        awaits.retain(|(_, job)| hides_job(&self.queue.borrow(), &access, *job));
        let ids = awaits.into_iter().map(|(id, _)| id).collect();
        self.handle(CancelJobs { owner, ids }, ctx);
    }
}

impl Handler<CancelJobs> for QueueActor {
    type Result = ();

    fn handle(&mut self, CancelJobs { owner, ids }: CancelJobs, ctx: &mut Self::Context) {
        let now = self.now();
        let mut elsewhere = Vec::new();
        for id in ids {
            let Some(park) = self.callers.named(owner, id) else {
                elsewhere.push(id);
                continue;
            };
            if self.queue.borrow_mut().unpark(park)
                && let Some(caller) = self.callers.take(park)
            {
                self.answers.push((caller, Err(QueueError::Cancelled.into())));
            }
        }
        if !elsewhere.is_empty() {
            // bound: one for each message
            self.storage.do_send(CancelJobs { owner, ids: elsewhere });
        }
        self.finish(now, ctx);
    }
}

impl Handler<ReadCapacity> for QueueActor {
    type Result = ();

    fn handle(&mut self, ReadCapacity(owner): ReadCapacity, ctx: &mut Self::Context) {
        let now = self.now();
        self.queue.borrow_mut().note_capacity(owner);
        self.finish(now, ctx);
    }
}

impl Handler<OwnerGone> for QueueActor {
    type Result = ();

    fn handle(&mut self, gone: OwnerGone, ctx: &mut Self::Context) {
        let OwnerGone { owner, may_return } = gone;
        let now = self.now();
        if self.queue.borrow().holds(owner) {
            let unseen = self.withheld_jobs(owner);
            self.queue.borrow_mut().undeliver(now, unseen);
        }
        let parks = self.queue.borrow_mut().owner_gone(now, owner, may_return);
        for park in parks {
            drop(self.callers.take(park));
        }
        // bound: once for each owner
        self.storage.do_send(gone);
        self.finish(now, ctx);
    }
}

impl Handler<Recorded> for QueueActor {
    type Result = ();

    fn handle(&mut self, Recorded { results, noted }: Recorded, ctx: &mut Self::Context) {
        let now = self.now();
        self.queue.borrow_mut().notes_recorded(noted);
        self.confirmed += results.iter().filter(|(_, result)| result.is_ok()).count();
        for (reservation, recorded) in results {
            let error = recorded.clone().err().map(QueueError::NotRecorded);
            self.queue.borrow_mut().recorded(now, reservation, recorded);
            self.answers.extend(self.settling.end(reservation, error.map(Error::from)));
        }
        self.finish(now, ctx);
    }
}

impl Handler<StillUnfinished> for QueueActor {
    type Result = ();

    fn handle(&mut self, StillUnfinished { id, caller }: StillUnfinished, ctx: &mut Self::Context) {
        let now = self.now();
        self.ask(now, caller, JobRequest::Get(JobRef::Id(id)), JobVisibility::default());
        self.finish(now, ctx);
    }
}

impl Handler<Undelivered> for QueueActor {
    type Result = ();

    fn handle(&mut self, Undelivered(jobs): Undelivered, ctx: &mut Self::Context) {
        let now = self.now();
        let jobs = jobs.iter().map(|job| job.reservation);
        self.queue.borrow_mut().undeliver(now, jobs);
        self.finish(now, ctx);
    }
}

impl Handler<JournalProgressed> for QueueActor {
    type Result = ();

    fn handle(&mut self, JournalProgressed(progress): JournalProgressed, ctx: &mut Self::Context) {
        let Some(durability_queue) = &mut self.durability_queue else { return };
        if let Some((durable, _)) = durability_queue.note(&progress) {
            durability_queue.release(durable);
        }
        if matches!(progress, JournalProgress::Failed(_)) {
            // Nothing more can be recorded about these jobs.
            let now = self.now();
            self.queue.borrow_mut().drain();
            self.finish(now, ctx);
        }
    }
}

impl Handler<DrainQueue> for QueueActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: DrainQueue, ctx: &mut Self::Context) -> Self::Result {
        let now = self.now();
        let (drained, waits) = oneshot::channel();
        self.drained.push(drained);
        self.queue.borrow_mut().drain();
        self.finish(now, ctx);
        Box::pin(async move {
            let _ = waits.await;
        })
    }
}

impl Handler<HaltQueue> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: HaltQueue, ctx: &mut Self::Context) {
        let now = self.now();
        self.queue.borrow_mut().drain();
        self.queue.borrow_mut().release_all(now);
        self.finish(now, ctx);
    }
}

impl Handler<EndJobs> for QueueActor {
    type Result = ();

    fn handle(&mut self, EndJobs: EndJobs, ctx: &mut Self::Context) {
        if let Some(durability_queue) = &mut self.durability_queue {
            durability_queue.end();
        }
        self.fail_stop.end();
        ctx.stop();
    }
}

#[cfg(any(test, feature = "cli"))]
impl Handler<super::message::AuditQueue> for QueueActor {
    type Result = Result<(), String>;

    fn handle(&mut self, _: super::message::AuditQueue, _: &mut Self::Context) -> Self::Result {
        self.queue.borrow().audit()
    }
}
