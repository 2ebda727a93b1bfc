//! Execution of one piece of work by [`StoreActor`], and what its answer waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::answer_bytes::{admit, answer_bytes, refusal};
use super::awaiting_durability::Barrier;
use super::backlog::{BegunWrite, RequestBatch, Worked, appended};
use super::log::JournalLog;
use super::message::{Done, ReplyCallback, StoreTask, StreamRef, Task, TaskAnswer, TaskRequest};
use super::store::{PREFETCH_GROUP, StoreActor, StoreDurabilityQueue, start_session};
use super::{AnswerSink, Outlet};
use crate::config::Durability;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::model::facts::DiskUse;
use crate::model::{
    CallOptions, CallReply, FilesRequest, HubRequest, KeyAction, KeyBuffer, KeyView, KvCall,
    KvRequest, Reply, StatusReply, StoreRequest, TxnOp, TxnRequest, WaitRequest,
};
use crate::pace::Turn;
use crate::store::{IdempotentWrite, StoreError, StoreState};
use crate::time::Micros;
use crate::watch::{WaitStart, WatchOwner, WatcherHandle};

/// The result of a request to the keys.
pub(super) enum Applied {
    /// The reply, and what it waits for.
    Done(Result<CallReply, Error>, Option<Barrier>),
    /// A large write that has only begun, with the durability of its answer.
    Begun(Option<Durability>),
}

/// Approximate bytes of log that a change takes in addition to its key and value.
const CHANGE_BYTES: u64 = 64;

impl StoreActor {
    /// Does one piece of work of a connection; an answer that shows what is not durable enough yet
    /// is put with those to be withheld.
    pub(super) fn answer(
        &mut self,
        now: Micros,
        turn: &Turn,
        batch: &mut RequestBatch,
        work: TaskRequest,
    ) -> Worked {
        let RequestBatch { owner, answers: before, keys, sink, withheld, replies, .. } = batch;
        let TaskRequest { id, deadline, task } = work;
        if let Err(error) = self.take_up(turn, deadline) {
            return Worked::Done(TaskAnswer::Now(Err(error)), 0);
        }
        // The answer follows at the end of the write, see `deliver`.
        let begun = |level| Worked::Begun(BegunWrite { id, deadline, level });
        let (mut answer, until, writes) = match task {
            Task::Key(request) => {
                let options = CallOptions { idempotency: None, durability: request.durability };
                match self.apply_for(now, owner, options, KvCall::Key(keys.view(&request))) {
                    (Applied::Done(reply, until), writes) => {
                        (reply.map(Done::Reply), until, writes)
                    }
                    (Applied::Begun(level), _) => return begun(level),
                }
            }
            Task::Store(task) => match *task {
                StoreTask { options, request: StoreRequest::Kv(request) } => {
                    match self.apply_for(now, owner, options, request.into()) {
                        (Applied::Done(reply, until), writes) => {
                            (reply.map(Done::Reply), until, writes)
                        }
                        (Applied::Begun(level), _) => return begun(level),
                    }
                }
                StoreTask { options, request: StoreRequest::Hub(request) } => {
                    let (reply, until) = self.ask_hub(now, options.durability, &request);
                    (reply.map(Done::Reply), until, false)
                }
                StoreTask { request: StoreRequest::Files(request), .. } => {
                    let sink = Arc::clone(sink);
                    return Worked::Done(self.answer_on_disk(id, deadline, &request, sink), 0);
                }
            },
            Task::Wait { request, outlet } => {
                (self.wait(now, owner, deadline, *request, outlet), None, false)
            }
            Task::OpenStream { outlet, credit } => {
                (self.open_stream(owner, outlet, credit), None, false)
            }
            Task::Watch { stream, watch_id, request } => {
                let stream = resolve(stream, before);
                let watching = stream.and_then(|it| self.hub.watch(now, it, watch_id, *request));
                (watching.map(Done::Watching).map_err(Error::from), None, false)
            }
            Task::CancelWatch { stream, watch_id } => {
                let stream = resolve(stream, before);
                let cancelled = stream.and_then(|it| self.hub.cancel_watch(it, watch_id));
                (cancelled.map(|()| Done::WatchCancelled).map_err(Error::from), None, false)
            }
            Task::Refused(error) => (Err(*error), None, false),
        };
        let bytes = match writes {
            true => answer_bytes(&answer),
            false => admit(&owner.buffered, &mut answer),
        };
        let Some(until) = until else {
            return Worked::Done(appended(replies, id, answer, bytes), bytes);
        };
        withheld.push(until, id, deadline, answer);
        Worked::Done(TaskAnswer::Withheld, bytes)
    }

    /// Executes a request of a connection to the keys, or begins it, unless its answer must not be kept;
    /// also returns whether it writes.
    #[inline(always)]
    fn apply_for(
        &mut self,
        now: Micros,
        owner: &WatchOwner,
        options: CallOptions,
        request: KvCall<'_>,
    ) -> (Applied, bool) {
        let writes = request.disk() != DiskUse::Nothing;
        if writes && holds_values(&request) && owner.buffered.allowance().refuses(1) {
            let what = "the server has reached its limit of answers that clients have not read; \
                        write without requesting previous values, or try again later";
            return (Applied::Done(Err(refusal(&owner.buffered, what)), None), writes);
        }
        (self.apply(now, owner, options, request), writes)
    }

    /// Counts a request, and refuses it if the service stops or the request's deadline has passed.
    pub(super) fn take_up(&mut self, turn: &Turn, deadline: Option<Instant>) -> Result<(), Error> {
        self.requests += 1;
        self.check_running()?;
        // A recent reading, not that of the message: its earlier requests may have taken long.
        if deadline.is_some_and(|deadline| deadline <= turn.reading_for(deadline)) {
            return Err(StoreError::DeadlineExceeded.into());
        }
        Ok(())
    }

    /// Refuses requests while the service stops.
    pub(super) fn check_running(&self) -> Result<(), StoreError> {
        if self.stopping { Err(StoreError::Stopping { resume: None }) } else { Ok(()) }
    }

    /// Passes a request of a connection about files on to the journal; `sink` receives the answer.
    fn answer_on_disk(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        request: &FilesRequest,
        sink: Arc<dyn AnswerSink>,
    ) -> TaskAnswer {
        let later = Box::new(move |reply: Result<Reply, Error>| {
            sink.take(vec![(id, reply.map(|reply| Done::Reply(on_disk(reply))))]);
        });
        match self.do_on_disk(request, deadline, later) {
            Ok(()) => TaskAnswer::Withheld,
            Err(error) => TaskAnswer::Now(Err(error)),
        }
    }

    /// Passes a request about files on to the journal; `later` receives the answer.
    pub(super) fn do_on_disk(
        &mut self,
        request: &FilesRequest,
        deadline: Option<Instant>,
        later: ReplyCallback,
    ) -> Result<(), Error> {
        let Some(durability_queue) = &self.durability_queue else {
            let message = "the store is in memory: there are no files to back up; start the server \
                           with a data directory";
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        };
        if let Some(error) = durability_queue.failed() {
            return Err(error);
        }
        let later = self.awaited.add(deadline, later);
        match request {
            FilesRequest::ReadSnapshot { id, offset, limit } => {
                durability_queue.log.get_mut().read_snapshot(*id, *offset, *limit, later);
            }
            FilesRequest::Snapshot => self.snapshots.ask(later),
        }
        Ok(())
    }

    /// Begins a wait, which is shown nothing that is not durable.
    fn wait(
        &mut self,
        now: Micros,
        owner: &Arc<WatchOwner>,
        deadline: Option<Instant>,
        mut request: WaitRequest,
        outlet: Outlet,
    ) -> Result<Done, Error> {
        if let Some(deadline) = deadline {
            let left = Duration::from_micros(self.micros(deadline).saturating_sub(now));
            request.timeout = Some(request.timeout.map_or(left, |asked| asked.min(left)));
        }
        Ok(match self.begin_wait(now, owner, request, outlet)? {
            WaitStart::Answered(outcome) => Done::Waited(outcome),
            WaitStart::Parked(handle, revision) => Done::Parked(handle, revision),
        })
    }

    fn open_stream(
        &mut self,
        owner: &Arc<WatchOwner>,
        outlet: Outlet,
        credit: usize,
    ) -> Result<Done, Error> {
        let alive = self.fail_stop.alive();
        let session = || start_session(outlet, alive);
        Ok(Done::StreamOpened(self.hub.open_stream(owner, credit, session)?))
    }

    /// Executes a request to the keys, or begins it.
    pub(super) fn apply(
        &mut self,
        now: Micros,
        owner: &WatchOwner,
        options: CallOptions,
        request: KvCall<'_>,
    ) -> Applied {
        let once = options.idempotency.map(|key| IdempotentWrite { key, client: owner.client });
        self.hub.state_mut().set_client(owner.client);
        let Some(durability_queue) = &self.durability_queue else {
            return match self.apply_to_hub(now, once, request) {
                Some(reply) => Applied::Done(reply.map(CallReply::new), None),
                None => Applied::Begun(None),
            };
        };
        if request.disk() != DiskUse::Nothing
            && let Err(error) =
                check_capacity(&mut durability_queue.log.get_mut(), self.hub.state(), &request)
        {
            return Applied::Done(Err(error), None);
        }
        let level = durability_queue.level(options.durability);
        let touches_pending = self.hub.state().touches_pending(&request);
        if durability_queue.until(level, touches_pending).is_some()
            && let Some(error) = durability_queue.failed()
        {
            return Applied::Done(Err(error), None);
        }
        let records = self.hub.records().records();
        let Some(mut reply) = self.apply_to_hub(now, once, request) else {
            if let Some(durability_queue) = &self.durability_queue {
                durability_queue.log.get_mut().large_begins();
            }
            return Applied::Begun(Some(level));
        };
        let shows_pending = touches_pending || self.hub.records().records() > records;
        if let (false, Ok(reply)) = (shows_pending, &mut reply) {
            self.hub.state().show_visible(reply);
        }
        let until = self.durability_queue.as_ref().and_then(|it| it.until(level, shows_pending));
        Applied::Done(reply.map(|reply| CallReply { reply, durability: Some(level) }), until)
    }

    #[inline(always)]
    fn apply_to_hub(
        &mut self,
        now: Micros,
        once: Option<IdempotentWrite>,
        request: KvCall<'_>,
    ) -> Option<Result<Reply, Error>> {
        let grants = matches!(request, KvCall::Owned(KvRequest::LeaseGrant(_)));
        if grants {
            self.draw_lease_ids();
        }
        let reply = self.hub.begin(now, once, request)?;
        if grants {
            self.draw_lease_ids();
        }
        Some(reply.map_err(Error::from))
    }

    /// Answers a request about the store and its watchers. The answer shows nothing that is not
    /// durable.
    pub(super) fn ask_hub(
        &mut self,
        now: Micros,
        asked: Option<Durability>,
        request: &HubRequest,
    ) -> (Result<CallReply, Error>, Option<Barrier>) {
        let (mut durability, mut until) = (None, None);
        if let Some(durability_queue) = &self.durability_queue {
            let level = durability_queue.level(asked);
            until = durability_queue.until(level, false);
            if until.is_some()
                && let Some(error) = durability_queue.failed()
            {
                return (Err(error), None);
            }
            durability = Some(level);
        }
        let reply = self.hub.administer(now, request).map(|mut reply| {
            if let Reply::Status(status) = &mut reply {
                self.complete(status);
            }
            CallReply { reply, durability }
        });
        (reply.map_err(Error::from), until)
    }

    /// Fills in the values that the store does not have.
    fn complete(&self, status: &mut StatusReply) {
        status.store_id = self.store_id;
        status.server_version = env!("CARGO_PKG_VERSION").to_owned();
        status.uptime = environment::since(self.started);
        status.connections = self.connections.load(Ordering::Relaxed);
        status.requests = self.requests;
        if let Some(durability_queue) = &self.durability_queue {
            describe(durability_queue, status);
        }
    }

    /// Draws the ids of leases at random. Anyone who knows the id of a lease without keys may use it,
    /// so ids must be unguessable, even from others that are known, and an id from before a restart
    /// must not match another user's lease by chance. 53 bits, so that a JSON client can represent the
    /// id as a number.
    pub(super) fn draw_lease_ids(&mut self) {
        self.hub.state_mut().number_leases_from(environment::random::<u64>() >> 11);
    }

    /// Begins a wait for the time that its request states.
    pub(super) fn begin_wait(
        &mut self,
        now: Micros,
        owner: &Arc<WatchOwner>,
        request: WaitRequest,
        outlet: Outlet,
    ) -> Result<WaitStart, StoreError> {
        let alive = self.fail_stop.alive();
        self.hub.wait(now, owner, request, || start_session(outlet, alive))
    }

    /// Warms the cache for the next requests.
    pub(super) fn prefetch(&self, works: &[TaskRequest], keys: &KeyBuffer) {
        if works.len() < 2 {
            return;
        }
        let next = works.get(..PREFETCH_GROUP).unwrap_or(works);
        let mut writes = 0;
        let keys = next.iter().filter_map(|work| match &work.task {
            Task::Key(request) => {
                writes += usize::from(request.action.is_write());
                Some(keys.key(request))
            }
            Task::Store(task) => match &task.request {
                StoreRequest::Kv(KvRequest::Get(get)) => Some(&*get.key),
                StoreRequest::Kv(KvRequest::Set(set)) => {
                    writes += 1;
                    Some(&*set.key)
                }
                _ => None,
            },
            _ => None,
        });
        let keys: smallvec::SmallVec<[&[u8]; PREFETCH_GROUP]> = keys.collect();
        self.hub.prefetch(keys.into_iter(), writes);
    }
}

/// Fills in the values that the journal has.
fn describe(durability_queue: &StoreDurabilityQueue, status: &mut StatusReply) {
    let log = durability_queue.log.get();
    let Some(stats) = log.stats() else { return };
    status.journal_records = stats.records;
    status.journal_commits = stats.commits;
    status.journal_bytes = stats.disk_bytes;
    status.durable_revision = durability_queue.durable().revision;
    status.snapshot_bytes = stats.snapshot.map_or(0, |it| it.bytes);
    status.log_bytes = log.log_bytes();
    status.journal_sync = Duration::from_micros(stats.sync_micros_last);
}

/// Checks that the changes of a request can be written. Keys are looked up only if the request would be
/// refused as one that grows the store.
fn check_capacity(
    log: &mut JournalLog,
    state: &StoreState,
    request: &KvCall<'_>,
) -> Result<(), Error> {
    match bytes_set(request) {
        Some(bytes) => log.check_growth(bytes, || grows(state, request)),
        None => log.check(),
    }
}

/// Returns the approximate bytes of log that a request takes if it may grow the store.
fn bytes_set(request: &KvCall<'_>) -> Option<u64> {
    let bytes = |key: &[u8], value: &[u8]| CHANGE_BYTES + (key.len() + value.len()) as u64;
    let growth = (request.disk() == DiskUse::Growth).then_some(CHANGE_BYTES);
    match request {
        KvCall::Key(view) => growth.map(|_| bytes(view.key, view.value)),
        KvCall::Owned(KvRequest::Set(set)) => Some(bytes(&set.key, &set.value)),
        KvCall::Owned(KvRequest::Txn(TxnRequest { success, failure, .. })) => {
            let sets = success.iter().chain(failure).filter_map(|op| match op {
                TxnOp::Set(set) => Some(bytes(&set.key, &set.value)),
                TxnOp::Get(_) | TxnOp::Range(_) | TxnOp::Delete(_) => None,
            });
            sets.reduce(|one, other| one + other)
        }
        KvCall::Owned(_) => growth,
    }
}

/// Returns whether a request may grow the store. A set that does not enlarge an existing key does not.
fn grows(state: &StoreState, request: &KvCall<'_>) -> bool {
    let grows = |key: &[u8], value: &[u8]| {
        let before = state.key_bytes(key);
        before.is_none_or(|before| key.len() + value.len() >= before)
    };
    match request {
        KvCall::Key(KeyView { action: KeyAction::Set { .. }, key, value }) => grows(key, value),
        KvCall::Owned(KvRequest::Set(set)) => grows(&set.key, &set.value),
        KvCall::Owned(KvRequest::Txn(TxnRequest { success, failure, .. })) => {
            let grows = |op: &TxnOp| matches!(op, TxnOp::Set(set) if grows(&set.key, &set.value));
            success.iter().chain(failure).any(grows)
        }
        request => request.disk() == DiskUse::Growth,
    }
}

/// Returns whether the answer to a request that changes something may contain values.
fn holds_values(request: &KvCall<'_>) -> bool {
    let request = match request {
        KvCall::Key(view) => {
            return match view.action {
                KeyAction::Get { .. } => true,
                KeyAction::Set { return_previous, .. } | KeyAction::Delete { return_previous } => {
                    return_previous
                }
            };
        }
        KvCall::Owned(request) => request,
    };
    match request {
        KvRequest::Set(set) => set.return_previous,
        KvRequest::Delete(delete) => delete.return_previous,
        KvRequest::Txn(txn) => txn.success.iter().chain(&txn.failure).any(|op| match op {
            TxnOp::Set(set) => set.return_previous,
            TxnOp::Delete(delete) => delete.return_previous,
            TxnOp::Get(_) | TxnOp::Range(_) => true,
        }),
        KvRequest::LeaseGrant(_) | KvRequest::LeaseKeepAlive(_) => false,
        KvRequest::LeaseRevoke(_) | KvRequest::Compact(_) => false,
        // Reads, of which the answer itself is refused, see `admit`.
        KvRequest::Get(_) | KvRequest::Range(_) | KvRequest::Scan(_) => true,
        KvRequest::LeaseTimeToLive(_)
        | KvRequest::LeaseList { .. }
        | KvRequest::LeaseKeys { .. } => true,
    }
}

impl Task {
    /// Returns whether the task may take much longer than a look-up.
    pub(super) fn is_heavy(&self) -> bool {
        match self {
            Self::Key(_) => false,
            Self::Store(task) => task.request.facts().weight.is_heavy(),
            Self::Wait { request, .. } => request.facts().weight.is_heavy(),
            // The items of a watch are read batch by batch, when its stream is ready.
            Self::OpenStream { .. } | Self::Watch { .. } | Self::CancelWatch { .. } => false,
            Self::Refused(_) => false,
        }
    }
}

/// Returns the reply to a request about files, which are on the disk.
pub(super) fn on_disk(reply: Reply) -> CallReply {
    CallReply { reply, durability: Some(Durability::Fsync) }
}

fn resolve(stream: StreamRef, before: &[TaskAnswer]) -> Result<WatcherHandle, StoreError> {
    match stream {
        StreamRef::Open(handle) => Ok(handle),
        StreamRef::OpenedBy(index) => match before.get(index) {
            Some(TaskAnswer::Now(Ok(Done::StreamOpened(handle)))) => Ok(*handle),
            _ => Err(StoreError::WatchNotFound(0)),
        },
    }
}
