//! What [`StoreActor`] does of one piece of work, and what its answer waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::kept::{admit, answer_bytes, refusal};
use super::log::Log;
use super::message::{Answer, Done, Later, StreamRef, Task, Work};
use super::store::{StoreActor, StoreLedger, WARM_GROUP, start_session};
use super::withheld::{self, Until};
use super::{AnswerSink, Outlet};
use crate::config::Durability;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::model::{
    CallOptions, CallReply, KeyRange, Reply, Request, SetRequest, StatusReply, TxnOp, TxnRequest,
    WaitRequest,
};
use crate::store::{Micros, Once, State, StoreError};
use crate::watch::{Handle, Owner, WaitStart};

/// Bytes of log that a change takes beside its key and value, roughly.
const CHANGE_BYTES: u64 = 64;

impl StoreActor {
    /// Does one piece of work of a connection; an answer that shows what is not durable enough yet
    /// is put with those to be withheld. Returns as well what the answer keeps, in bytes.
    pub(super) fn answer(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        work: Work,
        before: &[Answer],
        sink: &Arc<dyn AnswerSink>,
        withheld: &mut withheld::Held,
    ) -> (Answer, usize) {
        let id = work.id;
        if let Task::Store { request, .. } = &work.task
            && is_of_disk(request)
        {
            let sink = Arc::clone(sink);
            let later = Box::new(move |reply: Result<Reply, Error>| {
                sink.take(vec![(id, reply.map(|reply| Done::Reply(on_disk(reply))))]);
            });
            return match self.do_on_disk(request, work.deadline, later) {
                Ok(()) => (Answer::Withheld, 0),
                Err(error) => (Answer::Now(Err(error)), 0),
            };
        }
        let writes = match work.task.writes() {
            Some(true) if owner.buffered.allowance().refuses(1) => {
                let what = "the server keeps as many answers as it may for clients that do not take \
                            them; write without asking for what was before, or try again later";
                return (Answer::Now(Err(refusal(&owner.buffered, what))), 0);
            }
            writes => writes.is_some(),
        };
        let deadline = work.deadline;
        // The answer to a large write follows at its end, see `deliver`.
        let Some((mut answer, until)) = self.work(now, owner, work, before) else {
            return (Answer::Withheld, 0);
        };
        let bytes = match writes {
            true => answer_bytes(&answer),
            false => admit(&owner.buffered, &mut answer),
        };
        let Some(until) = until else { return (Answer::Now(answer), bytes) };
        withheld.push(until, id, deadline, answer);
        (Answer::Withheld, bytes)
    }

    /// Has what concerns the files done; `later` gives the answer.
    pub(super) fn do_on_disk(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
        later: Later,
    ) -> Result<(), Error> {
        self.requests += 1;
        if self.stopping {
            return Err(StoreError::Stopping { resume: None }.into());
        }
        let Some(ledger) = &self.ledger else {
            let message = "the store is in memory: there are no files to back up; start the server \
                           with a data directory";
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        };
        if let Some(error) = ledger.failed() {
            return Err(error);
        }
        if deadline.is_some_and(|deadline| deadline <= environment::now()) {
            return Err(StoreError::DeadlineExceeded.into());
        }
        let later = self.awaited.add(deadline, later);
        match request {
            Request::ReadSnapshot { id, offset, limit } => {
                ledger.log.get_mut().read_snapshot(*id, *offset, *limit, later);
            }
            _ => self.snapshots.ask(later),
        }
        Ok(())
    }

    /// Does one piece of work, and tells what its answer waits for; `before` are the answers to
    /// those before it in the same message. `None` if it is a large write that is only begun.
    pub(super) fn work(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        work: Work,
        before: &[Answer],
    ) -> Option<(Result<Done, Error>, Option<Until>)> {
        self.requests += 1;
        if self.stopping {
            return Some((Err(StoreError::Stopping { resume: None }.into()), None));
        }
        // By the clock of this moment: what came before in the same message may have taken long.
        if work.deadline.is_some_and(|deadline| deadline <= environment::now()) {
            return Some((Err(StoreError::DeadlineExceeded.into()), None));
        }
        match work.task {
            Task::Store { options, request } => {
                let (reply, until) = self.apply(now, owner, options, request)?;
                Some((reply.map(Done::Reply), until))
            }
            task => Some((self.attend(now, owner, work.deadline, task, before), None)),
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
            Task::OpenStream { outlet, credit } => {
                let alive = self.vital.alive();
                let session = || start_session(outlet, alive);
                Done::StreamOpened(self.hub.open_stream(owner, credit, session)?)
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
        owner: &Owner,
        options: CallOptions,
        request: Request,
    ) -> Option<(Result<CallReply, Error>, Option<Until>)> {
        let once = options.idempotency.map(|key| Once { key, client: owner.client });
        self.hub.state_mut().set_client(owner.client);
        let Some(ledger) = &self.ledger else {
            let Some(reply) = self.apply_to_hub(now, once, request) else {
                self.begun = Some(None);
                return None;
            };
            return Some((reply.map(|reply| CallReply { reply, durability: None }), None));
        };
        if changes(&request)
            && let Err(error) = check_room(&mut ledger.log.get_mut(), self.hub.state(), &request)
        {
            return Some((Err(error), None));
        }
        let level = ledger.level(options.durability);
        let touches_pending = self.hub.state().touches_pending(&request);
        if let (Some(_), Some(error)) = (ledger.until(level, touches_pending), ledger.failed()) {
            return Some((Err(error), None));
        }
        let records = self.hub.records().records();
        let Some(mut reply) = self.apply_to_hub(now, once, request) else {
            self.begun = Some(Some(level));
            return None;
        };
        let shows_pending = touches_pending || self.hub.records().records() > records;
        if let (false, Ok(reply)) = (shows_pending, &mut reply) {
            self.hub.state().show_visible(reply);
        }
        let until = self.ledger.as_ref().and_then(|it| it.until(level, shows_pending));
        Some((reply.map(|reply| CallReply { reply, durability: Some(level) }), until))
    }

    fn apply_to_hub(
        &mut self,
        now: Micros,
        once: Option<Once>,
        request: Request,
    ) -> Option<Result<Reply, Error>> {
        let grants = matches!(request, Request::LeaseGrant(_));
        if grants {
            self.draw_lease_ids();
        }
        let mut reply = self.hub.begin(now, once, request)?;
        if grants {
            self.draw_lease_ids();
        }
        if let Ok(Reply::Status(status)) = &mut reply {
            status.store_id = self.store_id;
            status.server_version = env!("CARGO_PKG_VERSION").to_owned();
            status.uptime = environment::since(self.started);
            status.connections = self.connections.load(Ordering::Relaxed);
            status.requests = self.requests;
            if let Some(ledger) = &self.ledger {
                describe(ledger, status);
            }
        }
        Some(reply.map_err(Error::from))
    }

    /// As long as a lease has no keys it is whoever's who knows its id: so that is not to be guessed,
    /// not from others that are known either; nor is one from before a restart by chance that of
    /// somebody else's lease. 53 bits, so that a client of JSON may handle the id as a number.
    pub(super) fn draw_lease_ids(&mut self) {
        self.hub.state_mut().number_leases_from(environment::random::<u64>() >> 11);
    }

    fn wait(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        request: WaitRequest,
        outlet: Outlet,
    ) -> Result<WaitStart, StoreError> {
        let alive = self.vital.alive();
        self.hub.wait(now, owner, request, || start_session(outlet, alive))
    }

    /// Has the store look ahead to the next requests.
    pub(super) fn warm(&self, works: &[Work]) {
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
}

/// Fills in what the journal knows.
fn describe(ledger: &StoreLedger, status: &mut StatusReply) {
    let log = ledger.log.get();
    let Some(stats) = log.stats() else { return };
    status.journal_records = stats.records;
    status.journal_commits = stats.commits;
    status.journal_bytes = stats.disk_bytes;
    status.durable_revision = ledger.durable().revision;
    status.snapshot_bytes = stats.snapshot.map_or(0, |it| it.bytes);
    status.log_bytes = log.log_bytes();
    status.journal_sync = Duration::from_micros(stats.sync_micros_last);
}

/// Whether a request may change something, leases and history included.
fn changes(request: &Request) -> bool {
    request.is_write() || matches!(request, Request::LeaseKeepAlive(_) | Request::Compact(_))
}

/// Checks that what a request changes can be written. Keys are looked up only where it is refused as one
/// that grows.
fn check_room(log: &mut Log, state: &State, request: &Request) -> Result<(), Error> {
    let checked = log.check(bytes_set(request));
    match checked {
        Err(_) if !grows(state, request) => log.check(None),
        checked => checked,
    }
}

/// Returns about how many bytes of log a request takes that may make the store larger.
fn bytes_set(request: &Request) -> Option<u64> {
    let bytes = |set: &SetRequest| CHANGE_BYTES + (set.key.len() + set.value.len()) as u64;
    match request {
        Request::Set(set) => Some(bytes(set)),
        Request::LeaseGrant(_) => Some(CHANGE_BYTES),
        Request::Txn(TxnRequest { success, failure, .. }) => {
            let sets = success.iter().chain(failure).filter_map(|op| match op {
                TxnOp::Set(set) => Some(bytes(set)),
                _ => None,
            });
            sets.reduce(|one, other| one + other)
        }
        _ => None,
    }
}

/// Returns whether a request may make the store larger. A set of a key that is there and larger does not.
fn grows(state: &State, request: &Request) -> bool {
    let grows = |set: &SetRequest| {
        let before = state.key_bytes(&set.key);
        before.is_none_or(|before| set.key.len() + set.value.len() >= before)
    };
    match request {
        Request::Set(set) => grows(set),
        Request::LeaseGrant(_) => true,
        Request::Txn(TxnRequest { success, failure, .. }) => {
            success.iter().chain(failure).any(|op| matches!(op, TxnOp::Set(set) if grows(set)))
        }
        _ => false,
    }
}

impl Task {
    /// Whether the answer holds values, of one that changes something; `None` of any other.
    fn writes(&self) -> Option<bool> {
        let Self::Store { request, .. } = self else { return None };
        match request {
            Request::Set(set) => Some(set.return_previous),
            Request::Delete(delete) => Some(delete.return_previous),
            Request::Txn(txn) => {
                let holds = |op: &TxnOp| match op {
                    TxnOp::Set(set) => set.return_previous,
                    TxnOp::Delete(delete) => delete.return_previous,
                    TxnOp::Get(_) | TxnOp::Range(_) => true,
                };
                Some(txn.success.iter().chain(&txn.failure).any(holds))
            }
            request => request.is_write().then_some(false),
        }
    }

    /// Whether it may take much longer than a look-up.
    pub(super) fn is_heavy(&self) -> bool {
        match self {
            Self::Store { request, .. } => request.is_heavy(),
            Self::Wait { request, .. } => request.is_heavy(),
            _ => false,
        }
    }
}

impl Request {
    /// Whether the store may take much longer for it than for a look-up.
    pub(crate) fn is_heavy(&self) -> bool {
        match self {
            Self::Range(_) | Self::Scan(_) | Self::Txn(_) | Self::LeaseRevoke(_) => true,
            Self::LeaseTimeToLive(_) | Self::LeaseKeys { .. } | Self::LeaseList { .. } => true,
            Self::Watchers { .. } | Self::ReadSnapshot { .. } => true,
            Self::Delete(delete) => !matches!(delete.range, KeyRange::Key(_)),
            _ => false,
        }
    }
}

impl WaitRequest {
    /// Whether the store may take much longer for it than for a look-up.
    pub(crate) fn is_heavy(&self) -> bool {
        self.after.is_some() || !matches!(self.range, KeyRange::Key(_))
    }
}

/// Whether it is about the files, and answered when those are done with.
pub(super) fn is_of_disk(request: &Request) -> bool {
    matches!(request, Request::Snapshot | Request::ReadSnapshot { .. })
}

/// The reply to a request about the files, which are on the disk.
pub(super) fn on_disk(reply: Reply) -> CallReply {
    CallReply { reply, durability: Some(Durability::Fsync) }
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
