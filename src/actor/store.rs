//! [`StoreActor`]: the owner of the store, the watchers and the one clock they go by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, SpawnHandle,
    WrapFuture,
};
use tokio::sync::mpsc;

use super::message::{
    Answered, Answers, CancelWaits, CloseStream, Done, Execute, Halt, LocalStream, LocalWait,
    ParkedWait, Ready, Requests, Show, Stop, StreamRef, Task, WaitFor, WatchFor, Work,
};
use super::{Outlet, WatchSession};
use crate::error::Error;
use crate::model::{IdempotencyKey, Reply, Request, WaitRequest};
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
    ) -> Self {
        Self {
            hub,
            store_id,
            started: Instant::now(),
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

    /// Sees to it that there is a turn when something is due. Called after every message, as
    /// timers starve while messages come.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let more = !self.closing.is_empty() || !self.answered.is_empty();
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
        self.finish(ctx);
    }

    /// Does one piece of work; `before` are the answers to those before it in the same message.
    fn work(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        work: Work,
        before: &[Result<Done, Error>],
    ) -> Result<Done, Error> {
        self.requests += 1;
        if self.stopping {
            return Err(StoreError::Stopping { resume: None }.into());
        }
        // By the clock of this moment: what came before in the same message may have taken long.
        if work.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(StoreError::DeadlineExceeded.into());
        }
        Ok(match work.task {
            Task::Store { idempotency, request } => {
                Done::Reply(self.apply(now, idempotency, request)?)
            }
            Task::Wait { mut request, outlet } => {
                if let Some(deadline) = work.deadline {
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
        idempotency: Option<IdempotencyKey>,
        request: Request,
    ) -> Result<Reply, StoreError> {
        let mut reply = self.hub.apply(now, idempotency, request)?;
        if let Reply::Status(status) = &mut reply {
            status.store_id = self.store_id;
            status.server_version = env!("CARGO_PKG_VERSION").to_owned();
            status.uptime = self.started.elapsed();
            status.connections = self.connections.load(Ordering::Relaxed);
            status.requests = self.requests;
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
        at.saturating_duration_since(self.started).as_micros() as Micros
    }
}

fn resolve(stream: StreamRef, before: &[Result<Done, Error>]) -> Result<Handle, StoreError> {
    match stream {
        StreamRef::Open(handle) => Ok(handle),
        StreamRef::OpenedBy(index) => match before.get(index) {
            Some(Ok(Done::StreamOpened(handle))) => Ok(*handle),
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
        let mut works = batch.works.into_iter();
        while works.len() > 0 {
            self.warm(works.as_slice());
            for work in works.by_ref().take(WARM_GROUP) {
                let answer = self.work(now, &batch.owner, work, &answers);
                answers.push(answer);
            }
        }
        self.finish(ctx);
        Answers(answers)
    }
}

impl Handler<Execute> for StoreActor {
    type Result = Result<Reply, Error>;

    fn handle(&mut self, execute: Execute, ctx: &mut Self::Context) -> Self::Result {
        let now = self.now();
        let Execute { request, idempotency, deadline } = execute;
        let here = Arc::clone(&self.here);
        let task = Task::Store { idempotency, request };
        let done = self.work(now, &here, Work { deadline, task }, &[]);
        self.finish(ctx);
        match done? {
            Done::Reply(reply) => Ok(reply),
            _ => Err(StoreError::Cancelled.into()),
        }
    }
}

impl Handler<WaitFor> for StoreActor {
    type Result = Result<LocalWait, Error>;

    fn handle(&mut self, message: WaitFor, ctx: &mut Self::Context) -> Self::Result {
        let now = self.now();
        let here = Arc::clone(&self.here);
        let WaitFor { service, request, outlet } = message;
        let work = Work { deadline: None, task: Task::Wait { request, outlet } };
        let done = self.work(now, &here, work, &[]);
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

impl Handler<Halt> for StoreActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
