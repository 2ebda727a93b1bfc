//! [`Worker`]: handlers at work on a topic; [`start`] starts them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::context::Notes;
use super::handler_actor::{HandlerActor, HandlerShared};
use super::job_board::JobBoard;
use super::thread_pool::ThreadPool;
use super::worker_actor::{StopActor, WorkerActor};
use super::{HandlerOptions, JobHandler, Queue, Schema, Topic};
use crate::error::Error;
use crate::model::{Blob, Reservation};
use crate::runtime::require_arbiter;

/// Starts to handle the jobs of `queue` with `handler`, on the current arbiter; `options` choose
/// the handlers' threads. `topic` defines the encoding of payloads and results.
///
/// [`Wakeful::handle`](crate::Wakeful::handle) and [`Client::work`](crate::Client::work) do this
/// for one of their topics.
///
/// # Errors
///
/// `InvalidArgument` if the options are invalid, or the call is made outside an actix system;
/// `Unavailable` if threads cannot be started.
pub fn start<Q, H, S>(
    queue: Q,
    topic: impl Into<Topic<H::Job, H::Output, S>>,
    handler: H,
    options: HandlerOptions,
) -> Result<Worker, Error>
where
    Q: Queue,
    H: JobHandler,
    S: Schema<H::Job> + Schema<H::Output>,
{
    require_arbiter("work::start")?;
    options.check()?;
    let (queue, topic) = (Arc::new(queue), topic.into());
    let ctx: Context<WorkerActor<Q>> = Context::new();
    let board = Arc::new(JobBoard::new(ctx.address().recipient()));
    let name = topic.name().clone();
    let shared = Arc::new(HandlerShared {
        handler: Arc::new(handler),
        topic,
        attempt_timeout: options.attempt_timeout,
        notes: Arc::new(QueueNotes(Arc::clone(&queue))),
        board: Arc::clone(&board),
    });
    let hire = Box::new(move |place, arbiter: &actix::ArbiterHandle| {
        let shared = Arc::clone(&shared);
        // The board finds the actor, which registers there.
        let _ = HandlerActor::start_in_arbiter(arbiter, move |_| HandlerActor::new(shared, place));
    });
    let threads = ThreadPool::new(&options, Arc::clone(&board), hire);
    let stats = Arc::new(Mutex::new(WorkerStats::default()));
    let (ended, ending) = watch::channel(None);
    let actor = WorkerActor::new(queue, name, options, board, threads, Arc::clone(&stats), ended)?;
    let actor = ctx.run(actor);
    Ok(Worker { end: WorkerEnd { stop: Arc::new(ActorStop(actor)), ending }, stats })
}

/// Handlers at work on a topic, until the worker is stopped or dropped, or the queue ends for good.
///
/// Dropping it stops it without a grace period, and does not wait for the end: running jobs go back
/// to the queue.
pub struct Worker {
    end: WorkerEnd,
    stats: Arc<Mutex<WorkerStats>>,
}

/// Ends a worker and reports its end, without keeping it at work.
#[derive(Clone)]
pub(super) struct WorkerEnd {
    stop: Arc<dyn StopWorker>,
    ending: watch::Receiver<Option<Stopped>>,
}

/// The counters of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// Jobs it holds: running handlers, and jobs about to begin.
    pub running: u64,
    /// Attempts that succeeded, their results recorded.
    pub done: u64,
    /// Attempts that failed: by an error, a panic, a timeout, or an unrecorded result.
    pub failed: u64,
    /// Attempts that postponed their job.
    pub snoozed: u64,
    /// Failed attempts that panicked.
    pub panics: u64,
    /// Failed attempts that timed out.
    pub timed_out: u64,
    /// Held jobs that were cancelled, or lost to another worker.
    pub revoked: u64,
    /// Jobs given back unfinished.
    pub released: u64,
    /// Stuck threads: a handler has not returned since its time was over.
    pub stuck: u64,
    /// Threads that replaced a stuck one.
    pub replaced: u64,
    /// Errors of the queue.
    pub queue_errors: u64,
}

/// The result of a stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Threads whose handlers did not return; each ends when its handler does. All others are gone.
    pub stuck: usize,
}

impl Worker {
    /// Takes no more jobs, lets running ones finish for `grace`, gives the others back at no cost,
    /// and ends every actor and thread of the worker. Queue and storage stay open.
    ///
    /// Cancel: it is stopped all the same, as by a drop after `grace`.
    pub async fn stop(mut self, grace: Duration) -> Stopped {
        self.end.stop(grace);
        self.end.ended().await
    }

    /// Waits until it has ended by itself, as it does when the service behind its queue has.
    ///
    /// Cancel: harmless.
    pub async fn ended(&mut self) -> Stopped {
        self.end.ended().await
    }

    /// Returns the counters.
    pub fn stats(&self) -> WorkerStats {
        *self.stats.lock()
    }

    pub(super) fn end(&self) -> &WorkerEnd {
        &self.end
    }
}

impl WorkerEnd {
    pub(super) fn stop(&self, grace: Duration) {
        self.stop.stop(grace);
    }

    /// Returns true if it has ended, possibly with its arbiter.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.borrow().is_some() || self.ending.has_changed().is_err()
    }

    pub(super) async fn ended(&mut self) -> Stopped {
        // An error means that its arbiter is gone, and the worker with it.
        self.ending
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|stopped| *stopped)
            .unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.end.has_ended() {
            self.end.stop.abandon();
        }
    }
}

/// The worker's actor, independent of its queue.
pub(super) trait StopWorker: Send + Sync {
    fn stop(&self, grace: Duration);
    fn abandon(&self);
}

struct ActorStop<Q: Queue>(Addr<WorkerActor<Q>>);

impl<Q: Queue> StopWorker for ActorStop<Q> {
    fn stop(&self, grace: Duration) {
        // bound: a worker is stopped by its owner and by its service, and dropped once
        self.0.do_send(StopActor { grace: Some(grace) });
    }

    fn abandon(&self) {
        // bound: as above
        self.0.do_send(StopActor { grace: None });
    }
}

struct QueueNotes<Q>(Arc<Q>);

impl<Q: Queue> Notes for QueueNotes<Q> {
    fn note(&self, reservation: Reservation, note: Blob) -> BoxFuture<'static, Result<(), Error>> {
        let queue = Arc::clone(&self.0);
        Box::pin(async move { queue.progress(reservation, note).await })
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
