//! Messages of the actors.
//!
//! [`Execute`] and [`Status`](crate::HubRequest::Status) are for whoever holds the address of the
//! [`StoreActor`](super::StoreActor); everything that takes time has a method on
//! [`Wakeful`], which also cleans up when its future is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Message;
use tokio::sync::oneshot;

use super::caller::Caller;
use super::job_guard::JobSight;
use super::{AnswerSink, Outlet};
use crate::auth::Access;
use crate::buffered::Buffered;
use crate::config::Durability;
use crate::error::Error;
use crate::fair::ClientId;
use crate::journal::Progress;
use crate::model::{
    CallOptions, CallReply, IdempotencyKey, JobId, JobInfo, JobReply, JobRequest, Reply,
    Reservation, ReservedJob, Revision, StoreRequest, WaitOutcome, WaitRequest, WatchItem,
    WatchRequest,
};
use crate::queue::Sought;
use crate::service::Wakeful;
use crate::session::Identity;
use crate::watch::{Batch, Handle, Owner};

/// Asks the store to do one request.
///
/// Cancel: dropping the reply future before the store comes to it means it is not done.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CallReply, Error>")]
pub struct Execute {
    /// What to do.
    pub request: StoreRequest,
    /// The caller's name for a write, so that sending it twice does it once.
    pub idempotency: Option<IdempotencyKey>,
    /// How durable what the answer shows is to be, where the service would be content with less.
    pub durability: Option<Durability>,
    /// Not to be done after this.
    pub deadline: Option<Instant>,
}

/// What an actor that watches is sent; see [`Wakeful::watch_into`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Watched {
    /// The name the watching actor gave to the watch.
    pub watch_id: u64,
    /// What is new; after an error nothing more comes.
    pub item: Result<WatchItem, Error>,
}

/// What one read of a connection brought: one message, however many requests.
#[derive(Message)]
#[rtype(result = "Answers")]
pub(crate) struct Requests {
    pub(crate) owner: Arc<Owner>,
    pub(crate) works: Vec<Work>,
    /// Takes the answers that are [withheld](Answer::Withheld).
    pub(crate) sink: Arc<dyn AnswerSink>,
    /// What the owner may do, to judge what only the store knows; `None` for everything.
    pub(crate) restriction: Option<Arc<Access>>,
}

pub(crate) struct Work {
    /// The request's, for its answer if that is withheld.
    pub(crate) id: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) task: Task,
}

pub(crate) enum Task {
    Store {
        options: CallOptions,
        request: StoreRequest,
    },
    Wait {
        request: WaitRequest,
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
        request: WatchRequest,
    },
    CancelWatch {
        stream: StreamRef,
        watch_id: u64,
    },
    /// Something that needs no store, kept in its place.
    Refused(Error),
}

/// A stream that is open, or that an earlier piece of work of the same message opens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamRef {
    Open(Handle),
    OpenedBy(usize),
}

/// One answer for each piece of work that was done, in order.
pub(crate) struct Answers {
    pub(crate) done: Vec<Answer>,
    /// Work that was left, as the answers before it are as much as may be kept.
    pub(crate) rest: Vec<Work>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Now(Result<Done, Error>),
    /// It shows what is not durable enough yet: it comes by the message's sink when that is.
    Withheld,
}

/// Gives an answer that others than the store make.
pub(crate) type Later = Box<dyn FnOnce(Result<Reply, Error>) + Send>;

#[derive(Debug)]
pub(crate) enum Done {
    Reply(CallReply),
    /// The wait was answered at once.
    Waited(WaitOutcome),
    /// The wait's outlet will have its answer. Everything after the revision counts; `None` while the
    /// wait examines the state.
    Parked(Handle, Option<Revision>),
    StreamOpened(Handle),
    Watching(Revision),
    WatchCancelled,
    LoggedIn(Identity),
}

/// Parks one wait of this process; dropping the reply frees it.
#[derive(Message)]
#[rtype(result = "Result<LocalWait, Error>")]
pub(crate) struct WaitFor {
    pub(crate) service: Wakeful,
    pub(crate) request: WaitRequest,
    pub(crate) outlet: Outlet,
}

#[derive(Debug)]
pub(crate) enum LocalWait {
    Answered(WaitOutcome),
    Parked(ParkedWait),
}

/// A parked wait of this process; freed when dropped.
#[derive(Debug)]
pub(crate) struct ParkedWait {
    pub(crate) service: Wakeful,
    pub(crate) handle: Handle,
}

impl Drop for ParkedWait {
    fn drop(&mut self) {
        // bound: one for each wait that was parked
        self.service.store().do_send(CancelWaits(vec![self.handle]));
    }
}

/// Opens a stream of this process with one watch; dropping the reply closes it.
#[derive(Message)]
#[rtype(result = "Result<LocalStream, Error>")]
pub(crate) struct WatchFor {
    pub(crate) service: Wakeful,
    pub(crate) request: WatchRequest,
    pub(crate) outlet: Outlet,
}

/// A stream of this process; closed when dropped.
#[derive(Debug)]
pub(crate) struct LocalStream {
    pub(crate) service: Wakeful,
    pub(crate) handle: Handle,
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        // bound: one for each stream that was opened
        self.service.store().do_send(CloseStream(self.handle));
    }
}

/// Frees waits without an answer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CancelWaits(pub(crate) Vec<Handle>);

/// Ends a stream and its watches without a word.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseStream(pub(crate) Handle);

/// The consumer of a stream has taken its batch, and takes up to this many bytes more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ready(pub(crate) Handle, pub(crate) usize);

/// There is room again for what is read for a connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Room(pub(crate) OwnerId);

/// Ends every wait and watch, and refuses everything from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// The journal has come further.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct Progressed(pub(crate) Progress);

/// Ends the actor, and with it every session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Halt {
    /// How long the disk has at most for what is not written yet.
    pub(crate) within: Duration,
}

/// The answer to a session's wait.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Answered(pub(crate) Result<WaitOutcome, Error>);

/// What a session's stream is shown.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Show(pub(crate) Handle, pub(crate) Buffered<Batch>);

/// Who asks the queue, and holds jobs: a connection by its number, a worker of this process by one
/// of the same numbers; 0 for any other caller in this process.
pub(crate) type OwnerId = u64;

/// What one read of a connection asks of the queue. Each answer comes by the sink, some later.
///
/// bound: `rpc.requests_in_flight_max` of each connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct JobWorks {
    pub(crate) owner: OwnerId,
    pub(crate) works: Vec<JobWork>,
    pub(crate) sink: Arc<dyn AnswerSink>,
    /// What the owner may do, to judge what only the queue knows; `None` for everything.
    pub(crate) restriction: Option<Arc<Access>>,
    /// The fingerprint of the owner's user; 0 where there are no users.
    pub(crate) user: u64,
    /// Who has a share of what is bounded.
    pub(crate) client: ClientId,
}

/// A request to the queue.
pub(crate) struct JobWork {
    /// The request's, for its answer.
    pub(crate) id: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) durability: Option<Durability>,
    pub(crate) request: JobRequest,
}

/// A request to the queue from this process. A dropped receiver takes a parked one back.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ExecuteJob {
    pub(crate) owner: OwnerId,
    /// The owner's name for the request.
    pub(crate) id: u64,
    pub(crate) durability: Option<Durability>,
    pub(crate) request: JobRequest,
    pub(crate) answer: oneshot::Sender<Result<CallReply, Error>>,
}

/// The owner gives up requests that are parked, by their ids. Each still gets its one answer:
/// `Cancelled`, if it was parked.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CancelJobs {
    pub(crate) owner: OwnerId,
    pub(crate) ids: Vec<u64>,
}

/// What the owner may see has changed. Those of its requests that wait for jobs of other topics, named
/// by their ids, are given up, as by [`CancelJobs`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReviseAwaits {
    pub(crate) owner: OwnerId,
    /// Each request, and the job it waits for.
    pub(crate) awaits: Vec<(u64, JobId)>,
    pub(crate) access: Arc<Access>,
}

/// The owner is gone: its jobs are lost to it, its parked requests are dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OwnerGone {
    pub(crate) owner: OwnerId,
    /// It may come back over another connection: what it may resume is held for it.
    pub(crate) may_return: bool,
}

/// What became of jobs, for the storage.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Record {
    pub(crate) finished: Vec<Finished>,
    /// How many results the queue has confirmed since the last message.
    pub(crate) confirmed: usize,
    /// What is to be answered once they are.
    pub(crate) answers: Vec<(Caller, JobReply)>,
}

/// A job that finished.
pub(crate) enum Finished {
    /// To be recorded; that it is, is to be confirmed.
    Done(Reservation, Box<JobInfo>),
    /// To be recorded.
    Noted(Box<JobInfo>),
    /// To be reported to the requests that wait for it.
    Cleared(Box<JobInfo>),
}

/// What the outcomes have recorded.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Recorded {
    /// Results, or why they are not recorded.
    pub(crate) results: Vec<(Reservation, Result<(), String>)>,
    /// How many jobs that died or were cancelled, in the order in which they did.
    pub(crate) noted: usize,
}

/// Seeks what became of jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Seek {
    pub(crate) caller: Caller,
    pub(crate) sought: Sought,
    /// The jobs that the caller may see.
    pub(crate) sight: JobSight,
    pub(crate) wait: Duration,
}

/// Answers the requests that wait for the end of this job with its current description.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StillUnfinished {
    pub(crate) id: JobId,
    pub(crate) caller: Caller,
}

/// Jobs that were handed out to somebody who is not there any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Undelivered(pub(crate) Vec<ReservedJob>);

/// Hands out no more jobs; answered when none is handed out any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrainQueue;

/// Ends every wait for what becomes of jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopStorage;

/// Ends an actor of jobs, when the journal is closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndJobs;

/// Takes back what is handed out: nothing changes any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HaltQueue;

/// Asks the queue whether every job is in exactly one place.
#[cfg(any(test, feature = "cli"))]
#[derive(Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub(crate) struct Audit;
