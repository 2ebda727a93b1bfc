//! Starting a node, opening its doors, and stopping it: methods of [`Wakeful`].

mod contexts;
mod doors;
mod failure;
mod reconfigure;
mod services;
mod users;

pub use self::reconfigure::{LimitChange, Reconfigured};

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{AsyncContext, Recipient};
use futures_util::FutureExt;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::context::TokioContext;

use self::contexts::Contexts;
use crate::actor::message::{
    DrainQueue, EndJobs, Halt, HaltQueue, StopStorage, StopStore, Watched,
};
use crate::actor::{
    Clock, DurabilityQueue, FailStop, OtherState, QueueActor, ServerFacts, SharedLog, StorageActor,
    StoreActor,
};
use crate::config::Config;
use crate::environment;
use crate::error::Error;
use crate::handle::{Listeners, Wakeful, WakefulShared, finish_all, gone};
use crate::journal::{self, Disk, JournalRunner, RealDisk, warn_if_wide};
use crate::local_watch::ActorWatch;
use crate::methods::ServiceRegistry;
use crate::model::WatchRequest;
use crate::operations::Operations;
use crate::replayed::ReplayedState;
use crate::runtime;
use crate::session::{Peer, Session};
use crate::stranger_lines::StrangerLines;
use crate::watch::{Hub, WatchOwner};
use crate::work::{
    self, HandlerOptions, JobHandler, LocalWorkers, Schema, Topic, TopicQueue, Worker,
};

/// Maximum time of the last sync after the grace period of a stop; everything ends within a second.
const LAST_SYNC: Duration = Duration::from_millis(700);

/// Interval between progress reports while the journal is read, and the number of records between
/// two readings of the clock.
const SAY_EVERY: Duration = Duration::from_secs(2);
const SAY_RECORDS: u64 = 1 << 14;

impl Wakeful {
    /// Starts the actors on the current arbiter. Nothing listens yet: see [`listen`](Self::listen).
    /// Beside a plain tokio runtime, an actix system runs on a thread of its own.
    ///
    /// ```
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), wakeful::Error> {
    /// use wakeful::{Config, Operations, SetRequest, Wakeful};
    ///
    /// let wakeful = Wakeful::start(Config::new())?;
    /// wakeful.set(SetRequest::new("greeting", "hello")).await?;
    /// let greeting = wakeful.get("greeting").await?.kv;
    /// assert_eq!(greeting.map(|kv| kv.value.clone()), Some("hello".into()));
    /// wakeful.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the configuration contradicts itself, or the call is made outside an
    /// actix system.
    pub fn start(config: Config) -> Result<Self, Error> {
        runtime::require_arbiter("Wakeful::start")?;
        config.check()?;
        let replayed = ReplayedState::new(&config, environment::random());
        Ok(Self::run(config, replayed, Contexts::new(), environment::random(), None))
    }

    /// Opens the durable store in the directory `dir`, or creates one there, and starts the actors
    /// as [`start`](Self::start) does. Blocks the thread while the journal is read.
    ///
    /// The state is that of the last time the store was open, including everything acknowledged with
    /// `journal.durability`; leases have the time they had left at the last record, and at least a
    /// third of their time to live. See `docs/guarantees.md`, D1 and following.
    ///
    /// ```
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use wakeful::{Config, Operations, SetRequest, Wakeful};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let wakeful = Wakeful::open(Config::new(), dir.path())?;
    /// wakeful.set(SetRequest::new("greeting", "hello")).await?;
    /// wakeful.stop().await;
    ///
    /// let again = Wakeful::open(Config::new(), dir.path())?;
    /// assert!(again.get("greeting").await?.kv.is_some());
    /// again.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the configuration contradicts itself, or the call is made outside an
    /// actix system; `LimitExceeded` if a lease was granted under a larger
    /// `store.revision_bytes_max` than it can end under; `DataDirLocked` if the directory is open
    /// elsewhere; `Damaged`, naming file and offset, if its content was never written so;
    /// `NoSpace`; `JournalFailed` if it cannot be read or written. Nothing on disk was changed.
    pub fn open(config: Config, dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        warn_if_wide(dir);
        Self::open_on(Arc::new(RealDisk), config, dir)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, config: Config, dir: &Path) -> Result<Self, Error> {
        Self::open_by(JournalRunner::Threads, disk, config, dir)
    }

    /// Opens the store on `disk`; `runner` does the work of its journal.
    pub(crate) fn open_by(
        runner: JournalRunner,
        disk: Arc<dyn Disk>,
        config: Config,
        dir: &Path,
    ) -> Result<Self, Error> {
        runtime::require_arbiter("Wakeful::open")?;
        config.check()?;
        let mut replayed = ReplayedState::new(&config, environment::random());
        let contexts = Contexts::new();
        let report = contexts.report();
        replayed.begin_replay();
        let (mut records, mut said) = (0_u64, environment::now());
        let replay = &mut |_, payload: &[u8]| {
            records += 1;
            if records.is_multiple_of(SAY_RECORDS) && environment::since(said) >= SAY_EVERY {
                said = environment::now();
                tracing::info!(records, "reading the journal");
            }
            replayed.replay(payload)
        };
        let (to, id) = (&config.journal, environment::random());
        let opened = journal::open_by(runner, disk, dir, to, id, report, replay)?;
        replayed.finish_replay();
        replayed.store.check_leases()?;
        if opened.cut_bytes > 0 {
            let bytes = opened.cut_bytes;
            tracing::warn!(bytes, "cut a torn tail of the journal, left by a crash");
        }
        if opened.is_reborn {
            let what = "the last run ended uncleanly, and changes that clients saw may be lost: the store \
                        continues under another id, and its watches and reservations have ended";
            tracing::warn!(store_id = format!("{:016x}", opened.store_id), what);
        }
        tracing::info!(
            dir = %dir.display(),
            revision = replayed.store.revision(),
            records = opened.last,
            "opened the store"
        );
        Ok(Self::run(config, replayed, contexts, opened.store_id, Some(opened)))
    }

    fn run(
        config: Config,
        mut replayed: ReplayedState,
        contexts: Contexts,
        store_id: u64,
        opened: Option<journal::OpenedJournal>,
    ) -> Self {
        let connections = Arc::new(AtomicU64::new(0));
        let here = Arc::new(WatchOwner::unlimited(0, "in process".to_owned()));
        let failure = watch::Sender::new(None);
        let durability = opened.is_some().then_some(config.journal.durability);
        let clock = Clock::new(&config.queue, replayed.queue.utc().max(replayed.outcomes.utc()));
        if let Some(opened) = &opened {
            replayed.recover(clock.now(), opened.is_reborn);
        }
        let log = opened.map(|it| SharedLog::new(it, config.journal.clone(), failure.clone()));
        let ReplayedState { store, queue, outcomes } = replayed;
        let (queue, outcomes) = (Rc::new(RefCell::new(queue)), Rc::new(RefCell::new(outcomes)));
        let others = OtherState { queue: Rc::clone(&queue), outcomes: Rc::clone(&outcomes) };
        let (alive, ended) = mpsc::channel(1);
        let still = Some(alive.clone());
        let durability_queue = || log.clone().map(|log| DurabilityQueue::new(log, ()));
        let Contexts { store: store_ctx, queue: queue_ctx, storage: storage_ctx } = contexts;
        let vital = |what| FailStop::new(what, &failure, log.as_ref(), &alive);
        let (of_store, of_queue) = (vital("the store"), vital("the queue"));
        let of_storage = vital("the storage of results");
        let storage = StorageActor::new(
            outcomes,
            queue_ctx.address(),
            durability_queue(),
            of_storage,
            clock.clone(),
        );
        let turn_max = config.rpc.turn_max;
        let queue = QueueActor::new(
            queue,
            storage_ctx.address(),
            durability_queue(),
            of_queue,
            clock.clone(),
            turn_max,
        );
        let durability_queue = log.map(|log| DurabilityQueue::new(log, store.mark()));
        let hub = Hub::new(store, config.watch.clone());
        let counted = Arc::clone(&connections);
        let facts = ServerFacts { store_id, here, connections: counted, clock, turn_max };
        let actor = StoreActor::new(hub, facts, of_store, durability_queue, others);
        let (storage, queue) = (storage_ctx.run(storage), queue_ctx.run(queue));
        let store = store_ctx.run(actor);
        let listeners = Mutex::new(Listeners { doors: Vec::new(), ended, alive: still });
        let stopped = watch::Sender::new(false);
        let registry = ServiceRegistry::new(&config);
        let inner = WakefulShared {
            store,
            queue,
            storage,
            calls: AtomicU64::new(0),
            strangers: StrangerLines::new(&config.rpc),
            rpc: RwLock::new(Arc::new(config.rpc.clone())),
            config,
            store_id,
            name: OnceLock::new(),
            durability,
            connections,
            addresses: Arc::default(),
            buffered: Arc::default(),
            lines_dropped: OnceLock::new(),
            listeners,
            methods: registry,
            runtime: Handle::current(),
            here: Arc::new(Session::new(0, Peer::Local)),
            auth: OnceLock::new(),
            workers: LocalWorkers::default(),
            failure,
            stopped,
        };
        Self { inner: Arc::new(inner), owner: None }
    }

    /// Watches keys for an actor: each item is sent as [`Watched`], the next after the last was
    /// handled, so that a slow actor is never flooded. Must be called on an arbiter.
    ///
    /// Ends when the returned handle is dropped, the actor stops, or the watch ends (its error is
    /// the last item).
    ///
    /// # Errors
    ///
    /// Those of [`watch`](Operations::watch); `InvalidArgument` outside an actix system.
    pub async fn watch_into(
        &self,
        watch_id: u64,
        request: WatchRequest,
        recipient: Recipient<Watched>,
    ) -> Result<ActorWatch, Error> {
        runtime::require_arbiter("Wakeful::watch_into")?;
        let watch = self.watch(request).await?;
        let alive = self.inner.listeners.lock().await.alive.clone().ok_or_else(gone)?;
        let stopped = self.inner.stopped.subscribe();
        Ok(ActorWatch::spawn(watch_id, watch, recipient, stopped, alive))
    }

    /// Handles the jobs of a topic in this process, with as many concurrent handlers as `options`
    /// allow, on threads of their own.
    ///
    /// The worker ends with [`stop`](Self::stop): jobs that its handlers have not begun go back at
    /// once, running ones have `rpc.shutdown_grace` to finish, unfinished ones go back too, all at no
    /// cost. [Stop](Worker::stop) it before for another grace period.
    ///
    /// ```
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), wakeful::Error> {
    /// use std::time::Duration;
    /// use wakeful::{Config, HandlerOptions, JobContext, JobError, JobHandler, Wakeful};
    ///
    /// struct Double;
    ///
    /// impl JobHandler for Double {
    ///     type Job = u64;
    ///     type Output = u64;
    ///
    ///     async fn handle(&self, job: u64, _: &JobContext) -> Result<u64, JobError> {
    ///         job.checked_mul(2).ok_or_else(|| JobError::fail("too much"))
    ///     }
    /// }
    ///
    /// let wakeful = Wakeful::start(Config::new())?;
    /// let worker = wakeful.handle("double", Double, HandlerOptions::default())?;
    /// worker.stop(Duration::from_secs(1)).await;
    /// wakeful.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`work::start`](crate::work::start); `Unavailable` if the service has stopped.
    pub fn handle<H, S>(
        &self,
        topic: impl Into<Topic<H::Job, H::Output, S>>,
        handler: H,
        options: HandlerOptions,
    ) -> Result<Worker, Error>
    where
        H: JobHandler,
        S: Schema<H::Job> + Schema<H::Output>,
    {
        let topic = topic.into();
        let queue = TopicQueue::new(self.for_worker(), topic.name())
            .until(|wakeful| !wakeful.inner.queue.connected());
        let background = options.background.or(Some(true));
        let options = HandlerOptions { background, ..options };
        runtime::require_arbiter("Wakeful::handle")?;
        let start = || work::start(queue, topic, handler, options);
        self.inner.workers.enter(start).unwrap_or_else(|| Err(gone()))
    }

    /// Stops everything: no new connections or requests, goodbye to clients, an answer to every
    /// wait and a final item to every watch; then, after at most `rpc.shutdown_grace` (and a second
    /// for last messages), the end of every connection, task and actor, and of the workers of
    /// [`handle`](Self::handle) with their threads. A handler that blocks its thread all that time
    /// is awaited for up to twice the `stuck_after` of its worker. Stopping twice is harmless, also
    /// concurrently: both calls return at the end.
    ///
    /// It waits for handlers, so a handler must call it from a separate task.
    ///
    /// Cancel: the service is left half stopped; stop it again.
    pub async fn stop(&self) {
        // The caller may be on a thread without a runtime, and so without timers.
        TokioContext::new(self.stop_all(), self.inner.runtime.clone()).await;
    }

    async fn stop_all(&self) {
        let mut listeners = self.inner.listeners.lock().await;
        listeners.alive = None;
        for door in &listeners.doors {
            door.say_goodbye();
        }
        let grace = self.grace();
        let over = tokio::time::Instant::now() + grace;
        self.inner.workers.stop(grace);
        // A closed mailbox means that the store has already stopped.
        // The other half of the time is for what clients still have to read.
        let _ = self.inner.store.send(StopStore { within: grace / 2 }).await;
        // An error means that the queue is gone.
        let drained = self.inner.queue.send(DrainQueue).map(drop).shared();
        let _ = self.inner.storage.send(StopStorage).await;
        let left = over.saturating_duration_since(tokio::time::Instant::now());
        finish_all(&mut listeners.doors, left, &drained).await;
        listeners.doors.clear();
        self.inner.strangers.report_all();
        if let Some(auth) = self.inner.auth.get().cloned() {
            // An error means that this runtime is ending.
            let _ = tokio::task::spawn_blocking(move || auth.close()).await;
        }
        self.inner.methods.stop(over.saturating_duration_since(tokio::time::Instant::now())).await;
        let _ = tokio::time::timeout_at(over, drained).await;
        // While the queue can still take jobs back.
        self.inner.workers.ended().await;
        self.inner.stopped.send_replace(true);
        let _ = self.inner.queue.send(HaltQueue).await;
        let left = over.saturating_duration_since(tokio::time::Instant::now());
        let halted = self.inner.store.send(Halt { within: left + LAST_SYNC }).await.is_ok();
        let _ = self.inner.queue.send(EndJobs).await;
        let _ = self.inner.storage.send(EndJobs).await;
        if halted {
            // Returns `None` once all actors have gone, because nothing is ever sent.
            let _ = listeners.ended.recv().await;
        }
    }
}
