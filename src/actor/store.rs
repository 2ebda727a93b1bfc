//! [`StoreActor`]: the owner of the store and its watchers, and its handling of messages.

mod stop;
mod turn;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle,
};
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use self::stop::StoreStop;
use self::turn::{BegunFor, PendingShow};
use super::awaited::FileRequestDeadlines;
use super::awaiting_durability::StoreAnswer;
use super::backlog::{Backlog, BatchResponse, RequestBatch};
use super::clock::{CLOCK_READ_EVERY, Clock};
use super::durability_queue::DurabilityQueue;
use super::fail_stop::FailStop;
use super::lease_guard::LeaseGuard;
use super::message::{
    CancelWaits, CloseStream, Execute, Halt, JournalProgressed, LocalStream, LocalWait, ParkedWait,
    ReadCapacity, Requests, StopStore, StreamReady, WaitFor, WatchFor,
};
use super::snapshot::OtherState;
use super::snapshot::Snapshots;
use super::work::{Applied, on_disk};
use super::{Outlet, WatchSession};
use crate::environment;
use crate::error::Error;
use crate::failpoint;
use crate::model::{CallOptions, CallReply, Reply, StoreRequest};
use crate::pace;
use crate::store::{Mark, StoreError};
use crate::time::Micros;
use crate::watch::{Hub, WaitStart, WatchOwner, WatcherHandle};

/// The number of requests for which the store warms the cache at once.
pub(super) const PREFETCH_GROUP: usize = 64;

/// The number of messages in the mailbox from which on actix parks the sender and clones its address.
/// That costs several allocations and bounds nothing: each clone may send once more. Each connection
/// has one message here.
const MAILBOX: usize = 1 << 16;

/// The records that the store handed to the journal.
pub(crate) type StoreDurabilityQueue = DurabilityQueue<Mark, StoreAnswer>;

/// Owns the keys and the watchers, and executes every request about them.
///
/// Crash-only: its state is consistent after every message, and a panic in it ends the service.
pub struct StoreActor {
    pub(super) hub: Hub<Addr<WatchSession>>,
    pub(super) store_id: u64,
    pub(super) started: Instant,
    pub(super) clock: Clock,
    /// The store's clock at the last record.
    pub(super) epoch: Micros,
    /// `None` if nothing is durable.
    pub(super) durability_queue: Option<StoreDurabilityQueue>,
    pub(super) snapshots: Snapshots,
    /// Requests that wait for the snapshot thread.
    pub(super) awaited: FileRequestDeadlines,
    /// The other state in a snapshot besides the store.
    pub(super) other_state: OtherState,
    /// The owner for requests of this process.
    pub(super) here: Arc<WatchOwner>,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) requests: u64,
    /// The only timer, and the time at which it fires.
    pub(super) timer: Option<(SpawnHandle, Micros)>,
    /// Whether a turn is coming that continues what [`Hub::advance`] left.
    pub(super) turn_comes: bool,
    /// Streams whose watches are still being freed.
    pub(super) closing: VecDeque<WatcherHandle>,
    /// Sessions that have their answer. They end when their address is dropped, which takes longer than
    /// answering and so happens after all answers of a turn are sent.
    pub(super) answered: Vec<Addr<WatchSession>>,
    /// Whether everything is refused, because the service stops.
    pub(super) stopping: bool,
    /// The stop in progress.
    stop: Option<StoreStop>,
    pub(super) fail_stop: FailStop,
    leases: LeaseGuard,
    backlog: Backlog,
    /// Durable changes that are not visible yet because a turn was too short.
    showing: Option<PendingShow>,
    /// The callers of the large write in progress and of those that were not answered yet, in the order
    /// of the writes; the expiry of a lease has none.
    begun_for: VecDeque<BegunFor>,
    turn_max: Duration,
}

/// The facts about the service that the store needs.
pub(crate) struct ServerFacts {
    pub(crate) store_id: u64,
    /// The owner for requests from within this process.
    pub(crate) here: Arc<WatchOwner>,
    /// The number of open connections.
    pub(crate) connections: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    /// The longest duration of a turn, see `rpc.turn_max`.
    pub(crate) turn_max: Duration,
}

impl StoreActor {
    pub(crate) fn new(
        hub: Hub<Addr<WatchSession>>,
        facts: ServerFacts,
        fail_stop: FailStop,
        durability_queue: Option<StoreDurabilityQueue>,
        other_state: OtherState,
    ) -> Self {
        let ServerFacts { store_id, here, connections, clock, turn_max } = facts;
        let mut actor = Self {
            epoch: hub.state().time(),
            hub,
            store_id,
            started: environment::now(),
            clock,
            durability_queue,
            snapshots: Snapshots::default(),
            awaited: FileRequestDeadlines::default(),
            other_state,
            here,
            connections,
            requests: 0,
            timer: None,
            turn_comes: false,
            closing: VecDeque::new(),
            answered: Vec::new(),
            stopping: false,
            stop: None,
            fail_stop,
            leases: LeaseGuard::default(),
            backlog: Backlog::default(),
            showing: None,
            begun_for: VecDeque::new(),
            turn_max,
        };
        actor.draw_lease_ids();
        actor
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

    /// Starts periodic work: reading the clock often enough that a gap shows a stopped process, and
    /// checking for free space on the disk and in the buffers that paused streams wait for.
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(CLOCK_READ_EVERY, |actor, ctx| {
            actor.clock.now();
            if let Some(durability_queue) = &actor.durability_queue {
                durability_queue.log.get_mut().look_for_space();
            }
            actor.look_for_space(ctx);
        });
    }
}

impl Handler<Requests> for StoreActor {
    type Result = BatchResponse;

    fn handle(&mut self, requests: Requests, ctx: &mut Self::Context) -> BatchResponse {
        failpoint::reached("store");
        let turn = self.begin();
        let mut batch = RequestBatch::new(requests);
        let at_once = self.backlog.may_pass(&batch) && !pace::is_over(self.turn_max);
        if at_once && self.do_some(&mut batch, &turn) {
            self.finish(&turn, ctx);
            return BatchResponse::Now(self.conclude(batch));
        }
        let later = self.put_off(batch);
        self.finish(&turn, ctx);
        BatchResponse::Later(later)
    }
}

impl Handler<Execute> for StoreActor {
    type Result = ResponseFuture<Result<CallReply, Error>>;

    fn handle(&mut self, execute: Execute, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let now = self.now(&turn);
        let Execute { request, idempotency, durability, deadline } = execute;
        let options = CallOptions { idempotency, durability };
        let here = Arc::clone(&self.here);
        let checked = options.check(&request.facts()).and_then(|()| self.take_up(&turn, deadline));
        if !self.hub.may_pass(&request) && !matches!(request, StoreRequest::Files(_)) {
            self.finish_write(&turn);
        }
        let (reply, until) = match (checked, request) {
            (Err(error), _) => (Err(error), None),
            (Ok(()), StoreRequest::Kv(request)) => {
                match self.apply(now, &here, options, request.into()) {
                    Applied::Done(reply, until) => (reply, until),
                    Applied::Begun(level) => {
                        let (caller, answered) = oneshot::channel();
                        self.begun_for.push_back(BegunFor::Local(caller, level, deadline));
                        self.finish(&turn, ctx);
                        return Box::pin(answer_of(answered));
                    }
                }
            }
            (Ok(()), StoreRequest::Hub(request)) => self.ask_hub(now, durability, &request),
            (Ok(()), StoreRequest::Files(request)) => {
                let (caller, answered) = oneshot::channel();
                // The caller may have stopped waiting.
                let later = Box::new(move |reply: Result<Reply, Error>| {
                    drop(caller.send(reply.map(on_disk)));
                });
                match self.do_on_disk(&request, deadline, later) {
                    Err(error) => (Err(error), None),
                    Ok(()) => {
                        self.finish(&turn, ctx);
                        return Box::pin(answer_of(answered));
                    }
                }
            }
        };
        self.finish(&turn, ctx);
        match (until, &mut self.durability_queue) {
            (Some(until), Some(durability_queue)) => {
                let (caller, answered) = oneshot::channel();
                durability_queue.withhold(until, StoreAnswer::Local(caller, reply, deadline));
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
        let now = self.now(&turn);
        let here = Arc::clone(&self.here);
        let WaitFor { request, outlet } = message;
        let taken = self.take_up(&turn, None);
        let started = taken.and_then(|()| Ok(self.begin_wait(now, &here, request, outlet)?));
        self.finish(&turn, ctx);
        Ok(match started? {
            WaitStart::Answered(outcome) => LocalWait::Answered(outcome),
            WaitStart::Parked(handle, _) => {
                LocalWait::Parked(ParkedWait { store: ctx.address(), handle })
            }
        })
    }
}

impl Handler<WatchFor> for StoreActor {
    type Result = Result<LocalStream, Error>;

    fn handle(&mut self, message: WatchFor, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let now = self.now(&turn);
        self.check_running()?;
        let here = Arc::clone(&self.here);
        let WatchFor { request, outlet } = message;
        let alive = self.fail_stop.alive();
        let handle = self.hub.open_stream(&here, usize::MAX, || start_session(outlet, alive))?;
        let watching = self.hub.watch(now, handle, 0, request);
        if watching.is_err() {
            self.hub.close_stream(handle, 1);
        }
        self.finish(&turn, ctx);
        watching?;
        Ok(LocalStream { store: ctx.address(), handle })
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

impl Handler<StreamReady> for StoreActor {
    type Result = ();

    fn handle(&mut self, StreamReady(stream, credit): StreamReady, ctx: &mut Self::Context) {
        let turn = self.begin();
        self.hub.ready(stream, credit);
        self.finish(&turn, ctx);
    }
}

impl Handler<ReadCapacity> for StoreActor {
    type Result = ();

    fn handle(&mut self, ReadCapacity(owner): ReadCapacity, ctx: &mut Self::Context) {
        let turn = self.begin();
        self.hub.note_capacity(owner);
        self.finish(&turn, ctx);
    }
}

impl Handler<StopStore> for StoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopStore { within }: StopStore, ctx: &mut Self::Context) -> Self::Result {
        let turn = self.begin();
        let stopped = self.begin_stop(turn.reading() + within);
        self.stop_some(&turn);
        self.finish(&turn, ctx);
        // An error means that the store has ended.
        Box::pin(stopped.map(drop))
    }
}

impl Handler<JournalProgressed> for StoreActor {
    type Result = ();

    fn handle(&mut self, JournalProgressed(progress): JournalProgressed, ctx: &mut Self::Context) {
        let turn = self.begin();
        let Some(durability_queue) = &mut self.durability_queue else { return };
        let other_state = &mut self.other_state;
        self.snapshots.note(
            &progress,
            self.hub.state_mut(),
            other_state,
            &mut durability_queue.log.get_mut(),
        );
        if let Some((durable, mark)) = durability_queue.note(&progress) {
            let before = self.showing.take().and_then(|showing| showing.mark);
            self.showing = Some(PendingShow { mark: mark.or(before), durable });
        }
        let shown = self.show(&turn);
        // Events go out before the replies to the requests that caused them.
        self.finish(&turn, ctx);
        self.release(shown);
    }
}

impl Handler<Halt> for StoreActor {
    type Result = ();

    fn handle(&mut self, Halt { within }: Halt, ctx: &mut Self::Context) {
        if let Some(durability_queue) = &mut self.durability_queue {
            // Not while the log is borrowed: the journal reports to its actors.
            let journal = durability_queue.log.get_mut().take_journal();
            if let Some(journal) = journal {
                durability_queue.closed(&journal.close_within(within));
            }
        }
        self.fail_stop.end();
        ctx.stop();
    }
}
