//! [`StoreActor`]: the owner of the store, the watchers and the one clock they go by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use tokio::sync::{mpsc, oneshot};

use super::ledger::Ledger;
use super::message::{
    Answer, Answered, Answers, CancelWaits, CloseStream, Done, Execute, Halt, Later, LocalStream,
    LocalWait, ParkedWait, Progressed, Ready, Requests, Show, Stop, StreamRef, Task, WaitFor,
    WatchFor, Work,
};
use super::snapshot::Snapshots;
use super::withheld::{self, Until};
use super::{AnswerSink, Outlet, WatchSession};
use crate::config::Durability;
use crate::error::{Error, ErrorCode};
use crate::model::{CallOptions, CallReply, IdempotencyKey, Reply, Request, WaitRequest};
use crate::store::{Micros, StoreError};
use crate::watch::{Handle, Hub, NextBatch, Owner, WaitStart};

/// Requests that the store looks ahead to at once.
const WARM_GROUP: usize = 64;

/// Owns the keys and the watcher registry, and does everything that concerns them.
///
/// Crash-only: its state is consistent after every message, and a panic in it ends the service.
pub struct StoreActor {
    hub: Hub<Addr<WatchSession>>,
    store_id: u64,
    started: Instant,
    /// What the clock of the store showed then: where it stood at the last record.
    epoch: Micros,
    /// `None` when nothing is durable.
    ledger: Option<Ledger>,
    snapshots: Snapshots,
    /// Who asks when it is this process.
    here: Arc<Owner>,
    connections: Arc<AtomicU64>,
    requests: u64,
    /// The one timer, and when it fires.
    timer: Option<(SpawnHandle, Micros)>,
    /// A turn is coming, to go on with what [`Hub::advance`] left.
    turn_comes: bool,
    /// Streams whose watches are still being freed.
    closing: VecDeque<Handle>,
    /// Sessions that have their answer. They end when their address is dropped, which takes
    /// longer than to answer: it is done when all the answers of a turn are on their way.
    answered: Vec<Addr<WatchSession>>,
    stopping: bool,
    /// Held by this actor and every session, so that [`Wakeful::stop`](crate::Wakeful::stop) sees
    /// the last of them go.
    alive: mpsc::Sender<()>,
}

impl StoreActor {
    pub(crate) fn new(
        hub: Hub<Addr<WatchSession>>,
        store_id: u64,
        here: Arc<Owner>,
        connections: Arc<AtomicU64>,
        alive: mpsc::Sender<()>,
        ledger: Option<Ledger>,
    ) -> Self {
        Self {
            epoch: hub.state().time(),
            hub,
            store_id,
            started: Instant::now(),
            ledger,
            snapshots: Snapshots::default(),
            here,
            connections,
            requests: 0,
            timer: None,
            turn_comes: false,
            closing: VecDeque::new(),
            answered: Vec::new(),
            stopping: false,
            alive,
        }
    }

    fn now(&self) -> Micros {
        self.micros(Instant::now())
    }

    /// Ends a turn: events and answers go out before the replies of the turn do.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        self.hand_over();
        for answer in self.hub.take_answers() {
            // bound: the one answer of this session
            answer.party.do_send(Answered(answer.outcome.map_err(Error::from)));
            self.answered.push(answer.party);
        }
        for _ in 0..self.hub.state().config().slice_max {
            match self.hub.next_batch() {
                NextBatch::Batch(stream, batch) => {
                    if let Some(session) = self.hub.party(stream) {
                        // bound: one batch until the session's consumer is ready again
                        session.do_send(Show(stream, batch));
                    }
                }
                // `Again`: it read its share of history for this turn; the next comes at once.
                NextBatch::Again | NextBatch::Idle => break,
            }
        }
        self.arm(ctx);
    }

    /// Hands what was changed to the journal.
    fn hand_over(&mut self) {
        let now = self.now();
        if let Some(ledger) = &mut self.ledger {
            let mark = self.hub.state().mark();
            ledger.hand_over(self.hub.records(), mark);
            self.snapshots.begin(now, self.hub.state_mut(), ledger);
        }
    }

    /// Sees to it that there is a turn when something is due. Called after every message, as
    /// timers starve while messages come.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let more =
            !self.closing.is_empty() || !self.answered.is_empty() || self.snapshots.must_tell();
        if more || self.hub.must_advance(now) {
            if !std::mem::replace(&mut self.turn_comes, true) {
                // A message to itself would keep the mailbox busy and starve every connection;
                // a task that yields lets them all have a turn first.
                let turn = tokio::task::yield_now().into_actor(self);
                ctx.spawn(turn.map(|(), actor, ctx| {
                    actor.turn_comes = false;
                    actor.take_turn(ctx);
                }));
            }
            return;
        }
        let Some(deadline) = self.hub.next_deadline() else { return };
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

    /// A turn for what is due, a slice of it.
    fn take_turn(&mut self, ctx: &mut Context<Self>) {
        let slice = self.hub.state().config().slice_max;
        if let Some(stream) = self.closing.pop_front()
            && !self.hub.close_stream(stream, slice)
        {
            self.closing.push_back(stream);
        }
        self.answered.truncate(self.answered.len().saturating_sub(slice));
        let now = self.now();
        self.hub.advance(now);
        if let Some(ledger) = &mut self.ledger {
            self.snapshots.tell(self.hub.state_mut(), ledger);
        }
        self.finish(ctx);
    }

    /// Does one piece of work of a connection; an answer that shows what is not durable enough yet
    /// is put with those to be withheld.
    fn answer(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        work: Work,
        before: &[Answer],
        sink: &Arc<dyn AnswerSink>,
        withheld: &mut withheld::Held,
    ) -> Answer {
        let id = work.id;
        if let Task::Store { request, .. } = &work.task
            && is_of_disk(request)
        {
            let sink = Arc::clone(sink);
            let later = Box::new(move |reply: Result<Reply, Error>| {
                sink.take(vec![(id, reply.map(|reply| Done::Reply(on_disk(reply))))]);
            });
            return match self.do_on_disk(request, later) {
                Ok(()) => Answer::Withheld,
                Err(error) => Answer::Now(Err(error)),
            };
        }
        let (answer, until) = self.work(now, owner, work, before);
        let Some(until) = until else { return Answer::Now(answer) };
        withheld.push(until, id, answer);
        Answer::Withheld
    }

    /// Has what concerns the files done; `later` gives the answer.
    fn do_on_disk(&mut self, request: &Request, later: Later) -> Result<(), Error> {
        self.requests += 1;
        if self.stopping {
            return Err(StoreError::Stopping { resume: None }.into());
        }
        let Some(ledger) = &mut self.ledger else {
            let message = "the store is in memory: there are no files to back up; start the server \
                           with a data directory";
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        };
        if let Some(error) = ledger.failed() {
            return Err(error.clone());
        }
        match request {
            Request::ReadSnapshot { id, offset, limit } => {
                ledger.read_snapshot(*id, *offset, *limit, later);
            }
            _ => self.snapshots.ask(later),
        }
        Ok(())
    }

    /// Does one piece of work, and tells what its answer waits for; `before` are the answers to
    /// those before it in the same message.
    fn work(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        work: Work,
        before: &[Answer],
    ) -> (Result<Done, Error>, Option<Until>) {
        self.requests += 1;
        if self.stopping {
            return (Err(StoreError::Stopping { resume: None }.into()), None);
        }
        // By the clock of this moment: what came before in the same message may have taken long.
        if work.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return (Err(StoreError::DeadlineExceeded.into()), None);
        }
        match work.task {
            Task::Store { options, request } => {
                let (reply, until) = self.apply(now, options, request);
                (reply.map(Done::Reply), until)
            }
            task => (self.attend(now, owner, work.deadline, task, before), None),
        }
    }

    /// Does a piece of work that is about waits and watches. They are shown nothing that is not
    /// durable.
    fn attend(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        deadline: Option<Instant>,
        task: Task,
        before: &[Answer],
    ) -> Result<Done, Error> {
        Ok(match task {
            Task::Store { .. } => return Err(StoreError::Cancelled.into()),
            Task::Wait { mut request, outlet } => {
                if let Some(deadline) = deadline {
                    let left = Duration::from_micros(self.micros(deadline).saturating_sub(now));
                    request.timeout = Some(request.timeout.map_or(left, |asked| asked.min(left)));
                }
                match self.wait(now, owner, request, outlet)? {
                    WaitStart::Answered(outcome) => Done::Waited(outcome),
                    WaitStart::Parked(handle, revision) => Done::Parked(handle, revision),
                }
            }
            Task::OpenStream { outlet } => {
                let alive = self.alive.clone();
                Done::StreamOpened(self.hub.open_stream(owner, || start_session(outlet, alive))?)
            }
            Task::Watch { stream, watch_id, request } => {
                let stream = resolve(stream, before)?;
                Done::Watching(self.hub.watch(now, stream, watch_id, request)?)
            }
            Task::CancelWatch { stream, watch_id } => {
                self.hub.cancel_watch(resolve(stream, before)?, watch_id)?;
                Done::WatchCancelled
            }
            Task::Refused(error) => return Err(error),
        })
    }

    fn apply(
        &mut self,
        now: Micros,
        options: CallOptions,
        request: Request,
    ) -> (Result<CallReply, Error>, Option<Until>) {
        let Some(ledger) = &self.ledger else {
            let reply = self.apply_to_hub(now, options.idempotency, request);
            return (reply.map(|reply| CallReply { reply, durability: None }), None);
        };
        if let Err(error) = ledger.check(&request) {
            return (Err(error), None);
        }
        let level = ledger.level(options.durability);
        let touches_pending = self.hub.state().touches_pending(&request);
        if let (Some(_), Some(error)) = (ledger.until(level, touches_pending), ledger.failed()) {
            return (Err(error.clone()), None);
        }
        let records = self.hub.records().records();
        let compacts = matches!(request, Request::Compact(_));
        let mut reply = self.apply_to_hub(now, options.idempotency, request);
        if let Some(ledger) = &mut self.ledger {
            ledger.note_done(compacts && reply.is_ok());
        }
        let shows_pending = touches_pending || self.hub.records().records() > records;
        if let (false, Ok(reply)) = (shows_pending, &mut reply) {
            self.hub.state().show_visible(reply);
        }
        let until = self.ledger.as_ref().and_then(|it| it.until(level, shows_pending));
        (reply.map(|reply| CallReply { reply, durability: Some(level) }), until)
    }

    fn apply_to_hub(
        &mut self,
        now: Micros,
        idempotency: Option<IdempotencyKey>,
        request: Request,
    ) -> Result<Reply, Error> {
        let mut reply = self.hub.apply(now, idempotency, request)?;
        if let Reply::Status(status) = &mut reply {
            status.store_id = self.store_id;
            status.server_version = env!("CARGO_PKG_VERSION").to_owned();
            status.uptime = self.started.elapsed();
            status.connections = self.connections.load(Ordering::Relaxed);
            status.requests = self.requests;
            if let Some(ledger) = &self.ledger {
                ledger.describe(status);
            }
        }
        Ok(reply)
    }

    fn wait(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        request: WaitRequest,
        outlet: Outlet,
    ) -> Result<WaitStart, StoreError> {
        let alive = self.alive.clone();
        self.hub.wait(now, owner, request, || start_session(outlet, alive))
    }

    /// Has the store look ahead to the next requests.
    fn warm(&self, works: &[Work]) {
        if works.len() < 2 {
            return;
        }
        let next = works.get(..WARM_GROUP).unwrap_or(works);
        let mut writes = 0;
        let keys = next.iter().filter_map(|work| match &work.task {
            Task::Store { request: Request::Get(get), .. } => Some(&*get.key),
            Task::Store { request: Request::Set(set), .. } => {
                writes += 1;
                Some(&*set.key)
            }
            _ => None,
        });
        let keys: smallvec::SmallVec<[&[u8]; WARM_GROUP]> = keys.collect();
        self.hub.warm(keys.into_iter(), writes);
    }

    fn micros(&self, at: Instant) -> Micros {
        let elapsed = at.saturating_duration_since(self.started).as_micros() as Micros;
        self.epoch.saturating_add(elapsed)
    }
}

/// Whether it is about the files, and answered when those are done with.
fn is_of_disk(request: &Request) -> bool {
    matches!(request, Request::Snapshot | Request::ReadSnapshot { .. })
}

/// The reply to a request about the files, which are on the disk.
fn on_disk(reply: Reply) -> CallReply {
    CallReply { reply, durability: Some(Durability::Fsync) }
}

async fn answer_of(
    answered: oneshot::Receiver<Result<CallReply, Error>>,
) -> Result<CallReply, Error> {
    answered.await.unwrap_or_else(|_| Err(StoreError::Stopping { resume: None }.into()))
}

fn resolve(stream: StreamRef, before: &[Answer]) -> Result<Handle, StoreError> {
    match stream {
        StreamRef::Open(handle) => Ok(handle),
        StreamRef::OpenedBy(index) => match before.get(index) {
            Some(Answer::Now(Ok(Done::StreamOpened(handle)))) => Ok(*handle),
            _ => Err(StoreError::WatchNotFound(0)),
        },
    }
}

fn start_session(outlet: Outlet, alive: mpsc::Sender<()>) -> Addr<WatchSession> {
    WatchSession::new(outlet, alive).start()
}

impl Actor for StoreActor {
    type Context = Context<Self>;
}

impl Handler<Requests> for StoreActor {
    type Result = Answers;

    fn handle(&mut self, batch: Requests, ctx: &mut Self::Context) -> Answers {
        let now = self.now();
        let mut answers = Vec::with_capacity(batch.works.len());
        let mut withheld = withheld::Held::default();
        let mut works = batch.works.into_iter();
        while works.len() > 0 {
            self.warm(works.as_slice());
            for work in works.by_ref().take(WARM_GROUP) {
                let (owner, sink) = (&batch.owner, &batch.sink);
                let answer = self.answer(now, owner, work, &answers, sink, &mut withheld);
                answers.push(answer);
            }
        }
        self.finish(ctx);
        if let Some(ledger) = &mut self.ledger {
            for (until, answered) in withheld.into_answered(&batch.sink) {
                ledger.withhold(until, answered);
            }
        }
        Answers(answers)
    }
}

impl Handler<Execute> for StoreActor {
    type Result = ResponseFuture<Result<CallReply, Error>>;

    fn handle(&mut self, execute: Execute, ctx: &mut Self::Context) -> Self::Result {
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
            self.finish(ctx);
            return Box::pin(answer_of(answered));
        }
        let here = Arc::clone(&self.here);
        let options = CallOptions { idempotency, durability };
        let task = Task::Store { options, request };
        let (done, until) = self.work(now, &here, Work { id: 0, deadline, task }, &[]);
        self.finish(ctx);
        let reply = done.and_then(|done| match done {
            Done::Reply(reply) => Ok(reply),
            _ => Err(StoreError::Cancelled.into()),
        });
        match (until, &mut self.ledger) {
            (Some(until), Some(ledger)) => {
                let (caller, answered) = oneshot::channel();
                ledger.withhold(until, withheld::Answered::Local(caller, reply));
                Box::pin(answer_of(answered))
            }
            _ => Box::pin(std::future::ready(reply)),
        }
    }
}

impl Handler<WaitFor> for StoreActor {
    type Result = Result<LocalWait, Error>;

    fn handle(&mut self, message: WaitFor, ctx: &mut Self::Context) -> Self::Result {
        let now = self.now();
        let here = Arc::clone(&self.here);
        let WaitFor { service, request, outlet } = message;
        let work = Work { id: 0, deadline: None, task: Task::Wait { request, outlet } };
        let (done, _) = self.work(now, &here, work, &[]);
        self.finish(ctx);
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
        let now = self.now();
        if self.stopping {
            return Err(StoreError::Stopping { resume: None }.into());
        }
        let here = Arc::clone(&self.here);
        let WatchFor { service, request, outlet } = message;
        let alive = self.alive.clone();
        let handle = self.hub.open_stream(&here, || start_session(outlet, alive))?;
        let watching = self.hub.watch(now, handle, 0, request);
        if watching.is_err() {
            self.hub.close_stream(handle, 1);
        }
        self.finish(ctx);
        watching?;
        Ok(LocalStream { service, handle })
    }
}

impl Handler<CancelWaits> for StoreActor {
    type Result = ();

    fn handle(&mut self, CancelWaits(handles): CancelWaits, ctx: &mut Self::Context) {
        for handle in handles {
            self.hub.cancel_wait(handle);
        }
        self.finish(ctx);
    }
}

impl Handler<CloseStream> for StoreActor {
    type Result = ();

    fn handle(&mut self, CloseStream(stream): CloseStream, ctx: &mut Self::Context) {
        let slice = self.hub.state().config().slice_max;
        if !self.hub.close_stream(stream, slice) {
            self.closing.push_back(stream);
        }
        self.finish(ctx);
    }
}

impl Handler<Ready> for StoreActor {
    type Result = ();

    fn handle(&mut self, Ready(stream): Ready, ctx: &mut Self::Context) {
        self.hub.ready(stream);
        self.finish(ctx);
    }
}

impl Handler<Stop> for StoreActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.stopping = true;
        for (stream, batch) in self.hub.stop() {
            if let Some(session) = self.hub.party(stream) {
                // bound: the last batch of this session
                session.do_send(Show(stream, batch));
            }
        }
        self.finish(ctx);
    }
}

impl Handler<Progressed> for StoreActor {
    type Result = ();

    fn handle(&mut self, Progressed(progress): Progressed, ctx: &mut Self::Context) {
        let Some(ledger) = &mut self.ledger else { return };
        self.snapshots.note(&progress, self.hub.state_mut(), ledger);
        let Some((durable, mark)) = ledger.note(progress) else {
            self.finish(ctx);
            return;
        };
        self.hub.show_up_to(mark);
        // Events before the replies of those who caused them.
        self.finish(ctx);
        if let Some(ledger) = &mut self.ledger {
            ledger.release(durable);
        }
    }
}

impl Handler<Halt> for StoreActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        if let Some(ledger) = &mut self.ledger {
            ledger.close();
        }
        ctx.stop();
    }
}
