//! [`StorageActor`]: the owner of the outcomes of jobs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, Context, Handler};

use super::QueueActor;
use super::awaiting_durability::late;
use super::caller::{Caller, Callers, JobAnswered};
use super::clock::Clock;
use super::durability_queue::{DeferredAnswer, DurabilityQueue};
use super::fail_stop::FailStop;
use super::message::{
    CancelJobs, EndJobs, Finished, JournalProgressed, OwnerGone, QueryOutcomes, RecordFinished,
    Recorded, StillUnfinished, StopStorage,
};
use super::turn::TurnTimer;
use crate::environment;
use crate::error::Error;
use crate::failpoint;
use crate::journal::RecordBatch;
use crate::model::{Blob, JobReply};
use crate::pace::Turn;
use crate::queue::{Now, OutcomeAnswer, OutcomeLookup, Outcomes, ParkId, QueueError};

/// The outcomes, which snapshots contain too.
pub(crate) type SharedOutcomes = Rc<RefCell<Outcomes>>;

/// The records that the actors of jobs handed to the journal.
pub(crate) type JobDurabilityQueue = DurabilityQueue<(), JobAnswered>;

/// Records the outcomes of jobs, and answers the requests that ask or wait for them.
pub(crate) struct StorageActor {
    outcomes: SharedOutcomes,
    queue: Addr<QueueActor>,
    durability_queue: Option<JobDurabilityQueue>,
    records: RecordBatch,
    clock: Clock,
    callers: Callers<ParkId>,
    answers: Vec<(Caller, Result<JobReply, Error>)>,
    turns: TurnTimer,
    stopping: bool,
    fail_stop: FailStop,
}

impl StorageActor {
    pub(crate) fn new(
        outcomes: SharedOutcomes,
        queue: Addr<QueueActor>,
        durability_queue: Option<JobDurabilityQueue>,
        fail_stop: FailStop,
        clock: Clock,
    ) -> Self {
        Self {
            outcomes,
            queue,
            durability_queue,
            records: RecordBatch::new(),
            clock,
            callers: Callers::default(),
            answers: Vec::new(),
            turns: TurnTimer::default(),
            stopping: false,
            fail_stop,
        }
    }

    fn now(&self) -> Now {
        self.now_at(environment::now())
    }

    /// Returns the times at a reading of the monotonic clock that was just made.
    fn now_at(&self, reading: Instant) -> Now {
        let now = self.clock.now_at(reading);
        self.outcomes.borrow_mut().set_unaged(self.clock.unaged());
        now
    }

    /// Ends a turn: hands the changes to the journal, then sends the answers that are durable enough.
    fn finish(&mut self, now: Now, ctx: &mut Context<Self>) {
        give_late(take_expired(&mut self.durability_queue, &self.clock, now));
        let told = self.outcomes.borrow_mut().finish_turn(now);
        for (park, told) in told {
            let Some(caller) = self.callers.take(park) else { continue };
            match told {
                OutcomeAnswer::Reply(reply) => self.answers.push((caller, Ok(reply))),
                // bound: once for each wait
                OutcomeAnswer::Late(id) => self.queue.do_send(StillUnfinished { id, caller }),
            }
        }
        hand_over(&mut self.durability_queue, &mut self.records, |out| {
            self.outcomes.borrow_mut().take_record(out)
        });
        give(&mut self.durability_queue, &mut self.answers);
        let due = self.outcomes.borrow().next_due(now);
        let due = sooner_due(due, &self.durability_queue, &self.clock, now);
        self.turns.arm(ctx, &self.clock, now.steady, due, |actor, ctx| {
            actor.turns.fired();
            let now = actor.now();
            actor.finish(now, ctx);
        });
    }

    fn cancel(&mut self, parks: impl IntoIterator<Item = ParkId>, error: &QueueError) {
        for park in parks {
            self.outcomes.borrow_mut().unpark(park);
            if let Some(caller) = self.callers.take(park) {
                self.answers.push((caller, Err(error.clone().into())));
            }
        }
    }
}

/// Hands the changes of a turn to the journal, in one group of records, which are read back all or not
/// at all.
pub(super) fn hand_over(
    durability_queue: &mut Option<JobDurabilityQueue>,
    records: &mut RecordBatch,
    take: impl FnMut(&mut Vec<u8>) -> bool,
) {
    let Some(durability_queue) = durability_queue else { return };
    records.push_group(take);
    durability_queue.hand_over(records, ());
}

/// Returns the sooner of `due` and the next deadline of a withheld answer.
pub(super) fn sooner_due(
    due: Option<Duration>,
    durability_queue: &Option<JobDurabilityQueue>,
    clock: &Clock,
    now: Now,
) -> Option<Duration> {
    let deadline = durability_queue.as_ref().and_then(JobDurabilityQueue::next_deadline);
    let left = deadline.map(|at| clock.steady(at).saturating_sub(now.steady));
    due.into_iter().chain(left.map(Duration::from_micros)).min()
}

/// Takes the answers whose deadline has passed.
pub(super) fn take_expired(
    durability_queue: &mut Option<JobDurabilityQueue>,
    clock: &Clock,
    now: Now,
) -> Vec<JobAnswered> {
    let Some(durability_queue) = durability_queue else { return Vec::new() };
    if durability_queue.next_deadline().is_none_or(|at| clock.steady(at) > now.steady) {
        return Vec::new();
    }
    durability_queue.take_expired(environment::now())
}

/// Answers requests whose deadline has passed: the disk did not finish in time.
pub(super) fn give_late(expired: Vec<JobAnswered>) {
    JobAnswered::give_all(expired.into_iter().map(|mut answered| {
        answered.fail(&late());
        answered
    }));
}

/// Sends answers, or keeps them until they are durable enough.
pub(super) fn give(
    durability_queue: &mut Option<JobDurabilityQueue>,
    answers: &mut Vec<(Caller, Result<JobReply, Error>)>,
) {
    let answers = answers.drain(..);
    let Some(durability_queue) = durability_queue.as_mut() else {
        let answered = |(caller, result)| JobAnswered { caller, result, durability: None };
        return JobAnswered::give_all(answers.map(answered));
    };
    let mut now = Vec::new();
    for (caller, result) in answers {
        let level = durability_queue.level(caller.asked);
        let mut answered = JobAnswered { caller, result, durability: Some(level) };
        if let Some(until) = durability_queue.until(level, durability_queue.is_pending()) {
            let Some(error) = durability_queue.failed() else {
                durability_queue.withhold(until, answered);
                continue;
            };
            // What the answer shows will probably never be durable.
            answered.fail(&error);
        }
        now.push(answered);
    }
    JobAnswered::give_all(now.into_iter());
}

impl Actor for StorageActor {
    type Context = Context<Self>;

    /// Hands the changes of the start to the journal before a snapshot can contain them.
    fn started(&mut self, ctx: &mut Self::Context) {
        let now = self.now();
        self.finish(now, ctx);
    }
}

impl Handler<RecordFinished> for StorageActor {
    type Result = ();

    fn handle(
        &mut self,
        RecordFinished { finished, confirmed, answers }: RecordFinished,
        ctx: &mut Self::Context,
    ) {
        failpoint::reached("storage");
        // For measurement only: there is one message per turn of the queue.
        let turn = Turn::begin(Duration::MAX);
        let now = self.now_at(turn.reading());
        let (mut results, mut noted) = (Vec::new(), 0);
        {
            let mut room = self.outcomes.borrow_mut();
            room.confirmed(confirmed);
            for finished in finished {
                match finished {
                    Finished::Done(reservation, info) => {
                        results.push((reservation, Ok(())));
                        room.record(now, info);
                    }
                    Finished::Noted(info) => {
                        noted += 1;
                        room.record(now, info);
                    }
                    Finished::Cleared(info) => room.answer_cleared(&info),
                }
            }
        }
        self.answers.extend(answers.into_iter().map(|(caller, reply)| (caller, Ok(reply))));
        self.finish(now, ctx);
        if !results.is_empty() || noted > 0 {
            // bound: one for each message that was recorded
            self.queue.do_send(Recorded { results, noted });
        }
    }
}

impl Handler<QueryOutcomes> for StorageActor {
    type Result = ();

    fn handle(
        &mut self,
        QueryOutcomes { caller, query, sight, until }: QueryOutcomes,
        ctx: &mut Self::Context,
    ) {
        let now = self.now();
        let left = Duration::from_micros(until.saturating_sub(now.steady));
        let wait = if self.stopping { Duration::ZERO } else { left };
        let may = |topic: &Blob| sight.has(topic);
        let found = self.outcomes.borrow_mut().query(now, caller.client, query, wait, &may);
        match found {
            OutcomeLookup::Now(result) => self.answers.push((caller, result.map_err(Error::from))),
            OutcomeLookup::Parked(park) => self.callers.park(park, caller),
            // bound: once for each request
            OutcomeLookup::Unfinished(id) => self.queue.do_send(StillUnfinished { id, caller }),
        }
        self.finish(now, ctx);
    }
}

impl Handler<CancelJobs> for StorageActor {
    type Result = ();

    fn handle(&mut self, CancelJobs { owner, ids }: CancelJobs, ctx: &mut Self::Context) {
        let now = self.now();
        let parks: Vec<ParkId> =
            ids.into_iter().filter_map(|id| self.callers.named(owner, id)).collect();
        self.cancel(parks, &QueueError::Cancelled);
        self.finish(now, ctx);
    }
}

impl Handler<OwnerGone> for StorageActor {
    type Result = ();

    fn handle(&mut self, OwnerGone { owner, .. }: OwnerGone, _: &mut Self::Context) {
        for park in self.callers.forget(owner) {
            self.outcomes.borrow_mut().unpark(park);
        }
    }
}

impl Handler<JournalProgressed> for StorageActor {
    type Result = ();

    fn handle(&mut self, JournalProgressed(progress): JournalProgressed, _: &mut Self::Context) {
        if let Some(durability_queue) = &mut self.durability_queue
            && let Some((durable, _)) = durability_queue.note(&progress)
        {
            durability_queue.release(durable);
        }
    }
}

impl Handler<StopStorage> for StorageActor {
    type Result = ();

    fn handle(&mut self, _: StopStorage, ctx: &mut Self::Context) {
        self.stopping = true;
        let now = self.now();
        let parked = self.outcomes.borrow_mut().stop();
        self.cancel(parked, &QueueError::Stopping);
        self.finish(now, ctx);
    }
}

impl Handler<EndJobs> for StorageActor {
    type Result = ();

    fn handle(&mut self, EndJobs: EndJobs, ctx: &mut Self::Context) {
        if let Some(durability_queue) = &mut self.durability_queue {
            durability_queue.end();
        }
        self.fail_stop.end();
        ctx.stop();
    }
}
