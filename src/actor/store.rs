//! [`StoreActor`]: the owner of the store, the watchers and the one clock they go by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use tokio::sync::{mpsc, oneshot};

use super::backlog::{Answering, Backlog, Batch};
use super::clock::{CLOCK_READ_EVERY, Clock};
use super::lease_guard::LeaseGuard;
use super::ledger::{Answered as _, Ledger};
use super::message::{
    Answer, Answered, Answers, CancelWaits, CloseStream, Done, Execute, Halt, LocalStream,
    LocalWait, ParkedWait, Progressed, Ready, Requests, Show, Stop, Task, WaitFor, WatchFor, Work,
};
use super::snapshot::OtherRooms;
use super::snapshot::Snapshots;
use super::vital::Vital;
use super::withheld::StoreAnswered;
use super::work::{is_of_disk, on_disk};
use super::{Outlet, WatchSession};
use crate::error::Error;
use crate::failpoint;
use crate::journal::Seq as RecordSeq;
use crate::model::{CallOptions, CallReply, Reply};
use crate::pace::{self, Turn};
use crate::store::{Mark, Micros, StoreError};
use crate::watch::{Handle, Hub, NextBatch, Owner};

/// Requests that the store looks ahead to at once.
pub(super) const WARM_GROUP: usize = 64;

/// Light requests between two looks at the clock: it costs a tenth of one of them.
const CLOCK_GROUP: usize = 16;

/// Revisions that are shown between two looks at the clock.
const SHOWN_GROUP: usize = 64;

/// What the store handed to the journal.
pub(crate) type StoreLedger = Ledger<Mark, StoreAnswered>;

/// Owns the keys and the watcher registry, and does everything that concerns them.
///
/// Crash-only: its state is consistent after every message, and a panic in it ends the service.
pub struct StoreActor {
    pub(super) hub: Hub<Addr<WatchSession>>,
    pub(super) store_id: u64,
    pub(super) started: Instant,
    pub(super) clock: Clock,
    /// Where the clock of the store stood at the last record.
    pub(super) epoch: Micros,
    /// `None` when nothing is durable.
    pub(super) ledger: Option<StoreLedger>,
    pub(super) snapshots: Snapshots,
    /// What a snapshot tells besides the store.
    pub(super) rooms: OtherRooms,
    /// Who asks when it is this process.
    pub(super) here: Arc<Owner>,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) requests: u64,
    /// The one timer, and when it fires.
    pub(super) timer: Option<(SpawnHandle, Micros)>,
    /// A turn is coming, to go on with what [`Hub::advance`] left.
    pub(super) turn_comes: bool,
    /// Streams whose watches are still being freed.
    pub(super) closing: VecDeque<Handle>,
    /// Sessions that have their answer. They end when their address is dropped, which takes
    /// longer than to answer: it is done when all the answers of a turn are on their way.
    pub(super) answered: Vec<Addr<WatchSession>>,
    pub(super) stopping: bool,
    pub(super) vital: Vital,
    leases: LeaseGuard,
    backlog: Backlog,
    /// What is durable and not shown yet, as a turn was too short for all of it.
    showing: Option<Showing>,
    /// The next turn has a batch for a stream, however little time it has.
    owes_batch: bool,
    turn_max: Duration,
}

/// What the journal has made durable.
struct Showing {
    /// Up to where events are to be shown.
    mark: Option<Mark>,
    /// Up to which record answers may be given, when they are.
    durable: RecordSeq,
}

/// What the store must know of the service it belongs to.
pub(crate) struct ServiceFacts {
    pub(crate) store_id: u64,
    /// The party that asks from within this process.
    pub(crate) here: Arc<Owner>,
    /// The number of open connections.
    pub(crate) connections: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    /// How long a turn may last, see `rpc.turn_max`.
    pub(crate) turn_max: Duration,
}

impl StoreActor {
    pub(crate) fn new(
        hub: Hub<Addr<WatchSession>>,
        service: ServiceFacts,
        vital: Vital,
        ledger: Option<StoreLedger>,
        rooms: OtherRooms,
    ) -> Self {
        let ServiceFacts { store_id, here, connections, clock, turn_max } = service;
        let mut actor = Self {
            epoch: hub.state().time(),
            hub,
            store_id,
            started: Instant::now(),
            clock,
            ledger,
            snapshots: Snapshots::default(),
            rooms,
            here,
            connections,
            requests: 0,
            timer: None,
            turn_comes: false,
            closing: VecDeque::new(),
            answered: Vec::new(),
            stopping: false,
            vital,
            leases: LeaseGuard::default(),
            backlog: Backlog::default(),
            showing: None,
            owes_batch: false,
            turn_max,
        };
        actor.draw_lease_ids();
        actor
    }

    fn now(&self) -> Micros {
        self.epoch.saturating_add(self.clock.now().steady)
    }

    fn begin(&self) -> Turn {
        Turn::begin(self.turn_max)
    }

    /// Ends a turn: events and answers go out before the replies of the turn do. Of the batches of
    /// streams, as many as the turn is long enough for.
    fn finish(&mut self, turn: &Turn, ctx: &mut Context<Self>) {
        self.hand_over();
        for answer in self.hub.take_answers() {
            // bound: the one answer of this session
            answer.party.do_send(Answered(answer.outcome.map_err(Error::from)));
            self.answered.push(answer.party);
        }
        while std::mem::take(&mut self.owes_batch) || !turn.is_over() {
            match self.hub.next_batch() {
                NextBatch::Batch(stream, batch) => {
                    if let Some(session) = self.hub.party(stream) {
                        // bound: one batch until the session's consumer is ready again
                        session.do_send(Show(stream, batch));
                    }
                }
                NextBatch::Again => {}
                NextBatch::Idle => break,
            }
        }
        self.arm(ctx);
    }

    /// Hands what was changed to the journal.
    fn hand_over(&mut self) {
        if self.ledger.is_none() {
            return;
        }
        let now = self.now();
        if let Some(ledger) = &mut self.ledger {
            let mark = self.hub.state().mark();
            ledger.hand_over(self.hub.records(), mark);
            let rooms = &mut self.rooms;
            self.snapshots.begin(now, self.hub.state_mut(), rooms, &mut ledger.log.get_mut());
        }
    }

    /// Sees to it that there is a turn when something is due. Called after every message, as
    /// timers starve while messages come.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let more = !self.closing.is_empty()
            || !self.answered.is_empty()
            || !self.backlog.is_empty()
            || self.showing.is_some()
            || self.snapshots.must_tell();
        let deadline = self.hub.next_deadline();
        // The clock is looked at only where something goes by it.
        let now = if deadline.is_some() { self.now() } else { 0 };
        if more || self.hub.must_advance(now) {
            if !std::mem::replace(&mut self.turn_comes, true) {
                // A message to itself would keep the mailbox busy and starve every connection;
                // a task that yields lets them all have a turn first, and the sockets be looked at.
                let turn = pace::next().into_actor(self);
                ctx.spawn(turn.map(|(), actor, ctx| {
                    actor.turn_comes = false;
                    actor.take_turn(ctx);
                }));
            }
            return;
        }
        let Some(deadline) = deadline else { return };
        if self.timer.is_some_and(|(_, fires)| fires <= deadline) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let wait = Duration::from_micros(deadline.saturating_sub(now));
        let timer = ctx.run_later(wait, |actor, ctx| {
            actor.timer = None;
            actor.take_turn(ctx);
        });
        self.timer = Some((timer, deadline));
    }

    /// A turn for what is due, and for what earlier turns were too short for: a slice of it.
    fn take_turn(&mut self, ctx: &mut Context<Self>) {
        let turn = self.begin();
        let slice = self.hub.state().config().slice_max;
        if let Some(stream) = self.closing.pop_front()
            && !self.hub.close_stream(stream, slice)
        {
            self.closing.push_back(stream);
        }
        self.answered.truncate(self.answered.len().saturating_sub(slice));
        let now = self.now();
        self.hub.advance(now);
        let shown = self.show(&turn);
        if let Some(ledger) = &mut self.ledger {
            let rooms = &mut self.rooms;
            self.snapshots.tell(self.hub.state_mut(), rooms, &mut ledger.log.get_mut());
        }
        // What is due has a part of the turn, requests and streams have one each.
        let turn = turn.anew();
        let done = self.work_off(&turn);
        let turn = turn.anew();
        self.owes_batch = true;
        self.finish(&turn, ctx);
        self.release(shown);
        for batch in done {
            let sender = batch.sender();
            let answers = self.conclude(batch);
            Batch::send(&sender, answers);
        }
        if let (None, Some(ledger)) = (&self.showing, &mut self.ledger) {
            // What a message wrote in an earlier turn may be durable already.
            ledger.release_due();
        }
    }

    /// Goes on with messages that wait: those with nothing heavy first, then of the others one request
    /// at least. Returns those that are done.
    fn work_off(&mut self, turn: &Turn) -> Vec<Batch> {
        let mut done = Vec::new();
        while let Some(mut batch) = self.backlog.next_light() {
            if self.do_some(&mut batch, turn) {
                done.push(batch);
            } else {
                self.backlog.push(batch);
            }
            if turn.is_over() {
                break;
            }
        }
        while let Some(mut batch) = self.backlog.next_heavy() {
            if self.do_some(&mut batch, turn) {
                done.push(batch);
            } else {
                self.backlog.push(batch);
            }
            if turn.is_over() {
                break;
            }
        }
        done
    }

    /// Does what a message asks for until the turn is over, one request at least; returns whether
    /// that was all.
    fn do_some(&mut self, batch: &mut Batch, turn: &Turn) -> bool {
        let now = self.now();
        let mut since_clock = 0;
        while batch.works.len() > 0 {
            self.warm(batch.works.as_slice());
            for _ in 0..WARM_GROUP {
                let Some(work) = batch.works.next() else { break };
                since_clock += if work.task.is_heavy() { CLOCK_GROUP } else { 1 };
                self.do_one(now, batch, work);
                if since_clock >= CLOCK_GROUP {
                    since_clock = 0;
                    if batch.works.len() > 0 && turn.is_over() {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn do_one(&mut self, now: Micros, batch: &mut Batch, work: Work) {
        let access = batch.restriction.as_ref();
        let answer = match self.leases.refuses(access, self.hub.state(), &work.task) {
            Some(error) => Answer::Now(Err(error)),
            None => {
                let Batch { owner, answers, sink, withheld, .. } = batch;
                self.answer(now, owner, work, answers, sink, withheld)
            }
        };
        self.leases.done(batch.restriction.as_ref(), self.hub.state());
        batch.answers.push(answer);
    }

    /// The answers to a message that is done; those that show what is not durable yet are withheld.
    fn conclude(&mut self, batch: Batch) -> Answers {
        let Batch { sink, answers, withheld, .. } = batch;
        if let Some(ledger) = &mut self.ledger {
            let failed = ledger.failed();
            for (until, mut answered) in withheld.into_answered(&sink) {
                match &failed {
                    None => ledger.withhold(until, answered),
                    Some(error) => {
                        answered.fail(error);
                        StoreAnswered::give_all(std::iter::once(answered));
                    }
                }
            }
        }
        Answers(answers)
    }

    /// Shows what has become durable until the turn is over; up to which record answers may be given
    /// if that was all.
    fn show(&mut self, turn: &Turn) -> Option<RecordSeq> {
        let showing = self.showing.as_ref()?;
        let durable = showing.durable;
        if let Some(mark) = showing.mark {
            while !self.hub.show_some(mark, SHOWN_GROUP) {
                if turn.is_over() {
                    return None;
                }
            }
        }
        self.showing = None;
        Some(durable)
    }

    /// Gives the answers that waited for records up to `shown`.
    fn release(&mut self, shown: Option<RecordSeq>) {
        if let (Some(durable), Some(ledger)) = (shown, &mut self.ledger) {
            ledger.release(durable);
        }
    }

    pub(super) fn micros(&self, at: Instant) -> Micros {
        self.epoch.saturating_add(self.clock.steady(at))
    }
}

async fn answer_of(
    answered: oneshot::Receiver<Result<CallReply, Error>>,
) -> Result<CallReply, Error> {
    answered.await.unwrap_or_else(|_| Err(StoreError::Stopping { resume: None }.into()))
}

pub(super) fn start_session(outlet: Outlet, alive: mpsc::Sender<()>) -> Addr<WatchSession> {
    WatchSession::new(outlet, alive).start()
}

impl Actor for StoreActor {
    type Context = Context<Self>;

    /// Reads the clock so often that a gap between two readings shows that the process was stopped.
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(CLOCK_READ_EVERY, |actor, _| {
            actor.now();
        });
    }
}

impl Handler<Requests> for StoreActor {
    type Result = Answering;

    fn handle(&mut self, requests: Requests, ctx: &mut Self::Context) -> Answering {
        failpoint::reached("store");
        let turn = self.begin();
        let mut batch = Batch::new(requests);
        let at_once = self.backlog.may_pass(&batch) && !turn.is_over();
        if at_once && self.do_some(&mut batch, &turn) {
            self.finish(&turn, ctx);
            return Answering::Now(self.conclude(batch));
        }
        let later = self.backlog.push(batch);
        self.finish(&turn, ctx);
        Answering::Later(later)
    }
}

impl Handler<Execute> for StoreActor {
    type Result = ResponseFuture<Result<CallReply, Error>>;

    fn handle(&mut self, execute: Execute, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let now = self.now();
        let Execute { request, idempotency, durability, deadline } = execute;
        if is_of_disk(&request) {
            let (caller, answered) = oneshot::channel();
            // Whoever asked may have stopped waiting.
            let later = Box::new(move |reply: Result<Reply, Error>| {
                drop(caller.send(reply.map(on_disk)));
            });
            if let Err(error) = self.do_on_disk(&request, later) {
                return Box::pin(std::future::ready(Err(error)));
            }
            self.finish(&turn, ctx);
            return Box::pin(answer_of(answered));
        }
        let here = Arc::clone(&self.here);
        let options = CallOptions { idempotency, durability };
        let task = Task::Store { options, request };
        let (done, until) = self.work(now, &here, Work { id: 0, deadline, task }, &[]);
        self.finish(&turn, ctx);
        let reply = done.and_then(|done| match done {
            Done::Reply(reply) => Ok(reply),
            _ => Err(StoreError::Cancelled.into()),
        });
        match (until, &mut self.ledger) {
            (Some(until), Some(ledger)) => {
                let (caller, answered) = oneshot::channel();
                ledger.withhold(until, StoreAnswered::Local(caller, reply));
                Box::pin(answer_of(answered))
            }
            _ => Box::pin(std::future::ready(reply)),
        }
    }
}

impl Handler<WaitFor> for StoreActor {
    type Result = Result<LocalWait, Error>;

    fn handle(&mut self, message: WaitFor, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let now = self.now();
        let here = Arc::clone(&self.here);
        let WaitFor { service, request, outlet } = message;
        let work = Work { id: 0, deadline: None, task: Task::Wait { request, outlet } };
        let (done, _) = self.work(now, &here, work, &[]);
        self.finish(&turn, ctx);
        match done? {
            Done::Waited(outcome) => Ok(LocalWait::Answered(outcome)),
            Done::Parked(handle, _) => Ok(LocalWait::Parked(ParkedWait { service, handle })),
            _ => Err(StoreError::Cancelled.into()),
        }
    }
}

impl Handler<WatchFor> for StoreActor {
    type Result = Result<LocalStream, Error>;

    fn handle(&mut self, message: WatchFor, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let now = self.now();
        if self.stopping {
            return Err(StoreError::Stopping { resume: None }.into());
        }
        let here = Arc::clone(&self.here);
        let WatchFor { service, request, outlet } = message;
        let alive = self.vital.alive();
        let handle = self.hub.open_stream(&here, || start_session(outlet, alive))?;
        let watching = self.hub.watch(now, handle, 0, request);
        if watching.is_err() {
            self.hub.close_stream(handle, 1);
        }
        self.finish(&turn, ctx);
        watching?;
        Ok(LocalStream { service, handle })
    }
}

impl Handler<CancelWaits> for StoreActor {
    type Result = ();

    fn handle(&mut self, CancelWaits(handles): CancelWaits, ctx: &mut Self::Context) {
        let turn = self.begin();
        for handle in handles {
            self.hub.cancel_wait(handle);
        }
        self.finish(&turn, ctx);
    }
}

impl Handler<CloseStream> for StoreActor {
    type Result = ();

    fn handle(&mut self, CloseStream(stream): CloseStream, ctx: &mut Self::Context) {
        let turn = self.begin();
        let slice = self.hub.state().config().slice_max;
        if !self.hub.close_stream(stream, slice) {
            self.closing.push_back(stream);
        }
        self.finish(&turn, ctx);
    }
}

impl Handler<Ready> for StoreActor {
    type Result = ();

    fn handle(&mut self, Ready(stream): Ready, ctx: &mut Self::Context) {
        let turn = self.begin();
        self.hub.ready(stream);
        self.finish(&turn, ctx);
    }
}

impl Handler<Stop> for StoreActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        let turn = self.begin();
        self.stopping = true;
        for (stream, batch) in self.hub.stop() {
            if let Some(session) = self.hub.party(stream) {
                // bound: the last batch of this session
                session.do_send(Show(stream, batch));
            }
        }
        self.finish(&turn, ctx);
    }
}

impl Handler<Progressed> for StoreActor {
    type Result = ();

    fn handle(&mut self, Progressed(progress): Progressed, ctx: &mut Self::Context) {
        let turn = self.begin();
        let Some(ledger) = &mut self.ledger else { return };
        let rooms = &mut self.rooms;
        self.snapshots.note(&progress, self.hub.state_mut(), rooms, &mut ledger.log.get_mut());
        if let Some((durable, mark)) = ledger.note(&progress) {
            let before = self.showing.take().and_then(|showing| showing.mark);
            self.showing = Some(Showing { mark: mark.or(before), durable });
        }
        let shown = self.show(&turn);
        // Events before the replies of those who caused them.
        self.finish(&turn, ctx);
        self.release(shown);
    }
}

impl Handler<Halt> for StoreActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        if let Some(ledger) = &mut self.ledger {
            // Not while the log is borrowed: the journal reports to whoever has it.
            let journal = ledger.log.get_mut().take_journal();
            if let Some(journal) = journal {
                ledger.closed(&journal.close());
            }
        }
        self.vital.end();
        ctx.stop();
    }
}
