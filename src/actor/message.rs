//! Messages of the actors.
//!
//! [`Execute`] and [`Status`](crate::HubRequest::Status) can be sent by anyone with the address of the
//! [`StoreActor`]; for everything that takes time, [`Wakeful`](crate::Wakeful) has
//! a method, which also cleans up when its future is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Addr, Message};
use tokio::sync::oneshot;

use super::caller::Caller;
use super::job_guard::JobVisibility;
use super::{AnswerSink, Outlet, ReplyBuffer, StoreActor};
use crate::auth::Access;
use crate::buffered::Buffered;
use crate::config::Durability;
use crate::error::Error;
use crate::fair::ClientId;
use crate::journal::JournalProgress;
use crate::model::{
    CallOptions, CallReply, IdempotencyKey, JobId, JobInfo, JobReply, JobRequest, KeyBuffer,
    KeyRequest, Reply, Reservation, ReservedJob, Revision, StoreRequest, WaitOutcome, WaitRequest,
    WatchItem, WatchRequest,
};
use crate::queue::OutcomeQuery;
use crate::session::Identity;
use crate::time::Micros;
use crate::watch::{EventBatch, WatchOwner, WatcherHandle};

/// Executes one request to the store.
///
/// Cancel: if the reply future is dropped before the store handles the message, the request is not
/// executed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CallReply, Error>")]
pub struct Execute {
    /// The request.
    pub request: StoreRequest,
    /// The idempotency key of a write, so that sending it twice executes it once.
    pub idempotency: Option<IdempotencyKey>,
    /// The minimum durability of what the answer shows, if the service's default is not enough.
    pub durability: Option<Durability>,
    /// The request is not executed after this.
    pub deadline: Option<Instant>,
}

/// An item for a watching actor; see [`Wakeful::watch_into`](crate::Wakeful::watch_into).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Watched {
    /// The id that the watching actor gave to the watch.
    pub watch_id: u64,
    /// The item; after an error, nothing more follows.
    pub item: Result<WatchItem, Error>,
}

/// The requests from one read of a connection, in one message.
#[derive(Message)]
#[rtype(result = "TaskAnswers")]
pub(crate) struct Requests {
    pub(crate) owner: Arc<WatchOwner>,
    pub(crate) works: Vec<TaskRequest>,
    /// The keys and values of `works`.
    pub(crate) keys: KeyBuffer,
    /// Receives the answers that are [withheld](TaskAnswer::Withheld).
    pub(crate) sink: Arc<dyn AnswerSink>,
    /// The owner's grants, for decisions that only the store can make; `None` for no restriction.
    pub(crate) restriction: Option<Arc<Access>>,
    /// Takes the replies that need not wait; `None` to return all of them as values.
    pub(crate) replies: Option<ReplyBuffer>,
}

pub(crate) struct TaskRequest {
    /// The id of the request, for its answer if that is withheld.
    pub(crate) id: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) task: Task,
}

/// Small, because a task is moved several times: what is rarely asked for is boxed.
pub(crate) enum Task {
    /// A request whose bytes are in the buffer of the message.
    Key(KeyRequest),
    Store(Box<StoreTask>),
    Wait {
        request: Box<WaitRequest>,
        outlet: Outlet,
    },
    OpenStream {
        outlet: Outlet,
        /// Bytes that the consumer takes.
        credit: usize,
    },
    Watch {
        stream: StreamRef,
        watch_id: u64,
        request: Box<WatchRequest>,
    },
    CancelWatch {
        stream: StreamRef,
        watch_id: u64,
    },
    /// A refusal that needs no store, kept in its place among the requests.
    Refused(Box<Error>),
}

pub(crate) struct StoreTask {
    pub(crate) options: CallOptions,
    pub(crate) request: StoreRequest,
}

impl Task {
    pub(crate) fn store(options: CallOptions, request: StoreRequest) -> Self {
        Self::Store(Box::new(StoreTask { options, request }))
    }

    pub(crate) fn refused(error: impl Into<Error>) -> Self {
        Self::Refused(Box::new(error.into()))
    }
}

/// A stream that is open, or that an earlier piece of work of the same message opens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamRef {
    Open(WatcherHandle),
    OpenedBy(usize),
}

/// One answer for each executed piece of work, in order.
pub(crate) struct TaskAnswers {
    pub(crate) done: Vec<TaskAnswer>,
    /// Work that was left because the answers have reached the limit of what may be buffered.
    pub(crate) rest: Vec<TaskRequest>,
    /// The keys and values of `rest`; otherwise only memory to use again.
    pub(crate) keys: KeyBuffer,
    /// The buffer of the message, with the replies.
    pub(crate) replies: Option<ReplyBuffer>,
}

#[derive(Debug)]
pub(crate) enum TaskAnswer {
    /// The reply was appended to the message's [`ReplyBuffer`].
    Appended,
    Now(Result<Done, Error>),
    /// The answer shows something that is not durable enough yet, and will be sent to the message's
    /// sink.
    Withheld,
}

/// Receives an answer that is made outside of the store.
pub(crate) type ReplyCallback = Box<dyn FnOnce(Result<Reply, Error>) + Send>;

#[derive(Debug)]
pub(crate) enum Done {
    Reply(CallReply),
    /// The wait was answered at once.
    Waited(WaitOutcome),
    /// The wait's outlet will get the answer. Everything after the revision counts; `None` while the
    /// wait examines the state.
    Parked(WatcherHandle, Option<Revision>),
    StreamOpened(WatcherHandle),
    Watching(Revision),
    WatchCancelled,
    LoggedIn(Identity),
}

/// Parks a wait of this process; dropping the reply ends it.
#[derive(Message)]
#[rtype(result = "Result<LocalWait, Error>")]
pub(crate) struct WaitFor {
    pub(crate) request: WaitRequest,
    pub(crate) outlet: Outlet,
}

#[derive(Debug)]
pub(crate) enum LocalWait {
    Answered(WaitOutcome),
    Parked(ParkedWait),
}

/// A parked wait of this process; ended when dropped.
#[derive(Debug)]
pub(crate) struct ParkedWait {
    pub(crate) store: Addr<StoreActor>,
    pub(crate) handle: WatcherHandle,
}

impl Drop for ParkedWait {
    fn drop(&mut self) {
        // bound: one for each wait that was parked
        self.store.do_send(CancelWaits(vec![self.handle]));
    }
}

/// Opens a stream of this process with one watch; dropping the reply closes it.
#[derive(Message)]
#[rtype(result = "Result<LocalStream, Error>")]
pub(crate) struct WatchFor {
    pub(crate) request: WatchRequest,
    pub(crate) outlet: Outlet,
}

/// A stream of this process; closed when dropped.
#[derive(Debug)]
pub(crate) struct LocalStream {
    pub(crate) store: Addr<StoreActor>,
    pub(crate) handle: WatcherHandle,
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        // bound: one for each stream that was opened
        self.store.do_send(CloseStream(self.handle));
    }
}

/// Ends waits without an answer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CancelWaits(pub(crate) Vec<WatcherHandle>);

/// Ends a stream and its watches silently.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseStream(pub(crate) WatcherHandle);

/// The consumer of a stream has taken its batch, and takes up to this many bytes more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StreamReady(pub(crate) WatcherHandle, pub(crate) usize);

/// There is space again in the buffers of a connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReadCapacity(pub(crate) OwnerId);

/// Ends every wait and watch, and refuses everything from now on. Answered when all have ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopStore {
    /// The time for ending them in slices; the rest is ended at once.
    pub(crate) within: Duration,
}

/// The journal has made progress.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct JournalProgressed(pub(crate) JournalProgress);

/// Ends the actor and all sessions.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Halt {
    /// The longest time that the disk has for what is not written yet.
    pub(crate) within: Duration,
}

/// The answer to a session's wait.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WaitAnswered(pub(crate) Result<WaitOutcome, Error>);

/// A batch for a session's stream.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Show(pub(crate) WatcherHandle, pub(crate) Buffered<EventBatch>);

/// Identifies the sender of requests to the queue, which holds jobs: the number of a connection, or of
/// a worker in this process, from the same sequence; 0 for any other caller in this process.
pub(crate) type OwnerId = u64;

/// The requests to the queue from one read of a connection. The answers are sent to the sink, some of
/// them later.
///
/// bound: `rpc.requests_in_flight_max` of each connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct JobTasks {
    pub(crate) owner: OwnerId,
    pub(crate) works: Vec<JobTask>,
    pub(crate) sink: Arc<dyn AnswerSink>,
    /// The owner's grants, for decisions that only the queue can make; `None` for no restriction.
    pub(crate) restriction: Option<Arc<Access>>,
    /// The fingerprint of the owner's user; 0 if there are no users.
    pub(crate) user: u64,
    /// The client whose shares of bounded resources are used.
    pub(crate) client: ClientId,
}

/// A request to the queue.
pub(crate) struct JobTask {
    /// The id of the request, for its answer.
    pub(crate) id: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) durability: Option<Durability>,
    pub(crate) request: JobRequest,
}

/// A request to the queue from this process. Dropping the receiver withdraws a parked request.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ExecuteJob {
    pub(crate) owner: OwnerId,
    /// The owner's id for the request.
    pub(crate) id: u64,
    pub(crate) durability: Option<Durability>,
    pub(crate) request: JobRequest,
    pub(crate) answer: oneshot::Sender<Result<CallReply, Error>>,
}

/// Withdraws parked requests of an owner, by their ids. Each still gets its one answer: `Cancelled`, if
/// it was parked.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CancelJobs {
    pub(crate) owner: OwnerId,
    pub(crate) ids: Vec<u64>,
}

/// The owner's grants have changed. Its requests that wait for jobs of topics that are no longer
/// permitted, named by their ids, are withdrawn as by [`CancelJobs`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReviseAwaits {
    pub(crate) owner: OwnerId,
    /// Each request, and the job it waits for.
    pub(crate) awaits: Vec<(u64, JobId)>,
    pub(crate) access: Arc<Access>,
}

/// The owner is gone: its reservations are lost, and its parked requests are dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OwnerGone {
    pub(crate) owner: OwnerId,
    /// Whether the owner may return over another connection, so that its resumable reservations are
    /// held for it.
    pub(crate) may_return: bool,
}

/// Ends of jobs, for the storage.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RecordFinished {
    pub(crate) finished: Vec<Finished>,
    /// The number of results that the queue has confirmed since the last message.
    pub(crate) confirmed: usize,
    /// The answers to send once the ends are recorded.
    pub(crate) answers: Vec<(Caller, JobReply)>,
}

/// A job that finished.
pub(crate) enum Finished {
    /// A result to be recorded and confirmed.
    Done(Reservation, Box<JobInfo>),
    /// An end to be recorded.
    Noted(Box<JobInfo>),
    /// An end to be reported to the requests that wait for it.
    Cleared(Box<JobInfo>),
}

/// The ends that the outcomes have recorded.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Recorded {
    /// The results, or why they are not recorded.
    pub(crate) results: Vec<(Reservation, Result<(), String>)>,
    /// The number of dead or cancelled jobs recorded, in the order of their ends.
    pub(crate) noted: usize,
}

/// A query for outcomes of jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct QueryOutcomes {
    pub(crate) caller: Caller,
    pub(crate) query: OutcomeQuery,
    /// The jobs that the caller may see.
    pub(crate) sight: JobVisibility,
    /// The time at which the wait for outcomes ends, on the steady clock of the service.
    pub(crate) until: Micros,
}

/// Answers the requests that wait for the end of this job with its current description.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StillUnfinished {
    pub(crate) id: JobId,
    pub(crate) caller: Caller,
}

/// Jobs that were handed out to a caller that is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Undelivered(pub(crate) Vec<ReservedJob>);

/// Stops the hand-out of jobs; answered when no job is handed out any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrainQueue;

/// Ends every wait for outcomes of jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopStorage;

/// Ends an actor of jobs when the journal is closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndJobs;

/// Takes back the jobs that are handed out: nothing changes any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HaltQueue;

/// Checks that every job is in exactly one place.
#[cfg(any(test, feature = "cli"))]
#[derive(Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub(crate) struct AuditQueue;
