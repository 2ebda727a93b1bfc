//! [`Wakeful`]: starts the actors, and is the one handle that every door calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use actix::{Actor, Addr, MailboxError, Recipient};
use tokio::net::ToSocketAddrs;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::actor::message::{Execute, Halt, LocalWait, Stop, WaitFor, WatchFor, Watched};
use crate::actor::{Outlet, StoreActor};
use crate::config::Config;
use crate::error::{Error, ErrorCode};
use crate::local_watch::{LocalWatch, WatchInto};
use crate::model::{IdempotencyKey, Reply, Request, WaitOutcome, WaitRequest, WatchRequest};
use crate::operations::Operations;
use crate::rpc::server::Server;
use crate::store::State;
use crate::watch::{Hub, Owner};

/// A running Wakeful; cheap to clone. Its [`Operations`] are done in this process.
///
/// The actors run on the arbiter that [`start`](Self::start) was called on, the handle works from
/// any thread. Everything ends with [`stop`](Self::stop), not with the last handle.
#[derive(Clone)]
pub struct Wakeful {
    inner: Arc<Inner>,
}

struct Inner {
    store: Addr<StoreActor>,
    config: Config,
    store_id: u64,
    connections: Arc<AtomicU64>,
    house: Mutex<House>,
}

/// What is to be ended by [`Wakeful::stop`].
struct House {
    doors: Vec<Server>,
    /// Closed when the last actor has ended.
    ended: mpsc::Receiver<()>,
    stopped: bool,
}

impl Wakeful {
    /// Starts the actors on the current arbiter. No door is open yet: see [`listen`](Self::listen).
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
    /// `InvalidArgument` if the configuration contradicts itself.
    ///
    /// # Panics
    /// Outside an actix system, as every actor does.
    pub fn start(config: Config) -> Result<Self, Error> {
        config.check()?;
        let store_id = rand::random();
        let connections = Arc::new(AtomicU64::new(0));
        let here = Arc::new(Owner { id: 0, name: "in process".to_owned() });
        let hub = Hub::new(State::new(config.store.clone()), config.watch.clone());
        let (alive, ended) = mpsc::channel(1);
        let store = StoreActor::new(hub, store_id, here, Arc::clone(&connections), alive).start();
        let house = Mutex::new(House { doors: Vec::new(), ended, stopped: false });
        Ok(Self { inner: Arc::new(Inner { store, config, store_id, connections, house }) })
    }

    /// Opens the TCP door at `addr`; tells the address it got (of use with port 0). Must be called
    /// on an arbiter, on which the connections then run.
    ///
    /// # Errors
    /// `Unavailable` if the address cannot be bound, or the service has stopped.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> Result<std::net::SocketAddr, Error> {
        let mut house = self.inner.house.lock().await;
        if house.stopped {
            return Err(gone());
        }
        let server = Server::bind(self, addr).await.map_err(|error| {
            Error::new(ErrorCode::Unavailable, format!("cannot listen: {error}"))
        })?;
        let addr = server.addr();
        house.doors.push(server);
        Ok(addr)
    }

    /// Watches keys for an actor: each item is sent as [`Watched`], the next once the last was
    /// handled, so that a slow actor is never flooded. Must be called on an arbiter.
    ///
    /// Ends when the returned handle is dropped, the actor stops, or the watch does (its error is
    /// the last item).
    ///
    /// # Errors
    /// As [`watch`](Operations::watch).
    pub async fn watch_into(
        &self,
        watch_id: u64,
        request: WatchRequest,
        recipient: Recipient<Watched>,
    ) -> Result<WatchInto, Error> {
        let watch = self.watch(request).await?;
        Ok(WatchInto::spawn(watch_id, watch, recipient))
    }

    /// The address of the actor that owns the store, for those who would rather send
    /// [messages](crate::actor::message) than call methods.
    pub fn store(&self) -> &Addr<StoreActor> {
        &self.inner.store
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Stops everything: no new connections or requests, goodbye to clients, an answer to every
    /// wait and a last word to every watch, then, after at most `rpc.shutdown_grace` (and a second
    /// for last words), the end of every connection, task and actor. Stopping twice is harmless,
    /// also at once: both return at the end.
    ///
    /// Cancel: the service is left half stopped; stop it again.
    pub async fn stop(&self) {
        let mut house = self.inner.house.lock().await;
        house.stopped = true;
        for door in &house.doors {
            door.say_goodbye();
        }
        // Closed already means stopped already.
        let _ = self.inner.store.send(Stop).await;
        for door in &mut house.doors {
            door.finish(self.inner.config.rpc.shutdown_grace).await;
        }
        house.doors.clear();
        if self.inner.store.send(Halt).await.is_ok() {
            // `None`, as nothing is ever sent: all have gone.
            let _ = house.ended.recv().await;
        }
    }

    pub(crate) fn store_id(&self) -> u64 {
        self.inner.store_id
    }

    pub(crate) fn connections(&self) -> &Arc<AtomicU64> {
        &self.inner.connections
    }

    async fn execute(&self, execute: Execute) -> Result<Reply, Error> {
        self.inner.store.send(execute).await.map_err(closed)?
    }
}

impl Operations for Wakeful {
    type Watch = LocalWatch;

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        self.execute(Execute { request, idempotency: None, deadline: None }).await
    }

    async fn call_once(&self, key: IdempotencyKey, request: Request) -> Result<Reply, Error> {
        self.execute(Execute { request, idempotency: Some(key), deadline: None }).await
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        let (answer, answered) = oneshot::channel();
        let outlet = Outlet::Wait(Box::new(move |outcome| {
            // Whoever waited may have stopped waiting.
            let _ = answer.send(outcome);
        }));
        let message = WaitFor { service: self.clone(), request, outlet };
        match self.inner.store.send(message).await.map_err(closed)?? {
            LocalWait::Answered(outcome) => Ok(outcome),
            // Held until the answer: dropping it frees the wait.
            LocalWait::Parked(_parked) => answered.await.map_err(|_| gone())?,
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<LocalWatch, Error> {
        let (batches, received) = tokio::sync::mpsc::unbounded_channel();
        // bound: one batch until the consumer is ready for the next
        let outlet = Outlet::Stream(Box::new(move |_, batch| {
            let _ = batches.send(batch);
        }));
        let message = WatchFor { service: self.clone(), request, outlet };
        let stream = self.inner.store.send(message).await.map_err(closed)??;
        Ok(LocalWatch::new(stream, received))
    }
}

/// What a lost message to the store means.
pub(crate) fn closed(error: MailboxError) -> Error {
    match error {
        MailboxError::Closed => gone(),
        MailboxError::Timeout => Error::new(
            ErrorCode::DeadlineExceeded,
            "the store did not answer in time; whether the request was done is unknown",
        ),
    }
}

fn gone() -> Error {
    Error::new(ErrorCode::Unavailable, "the service has stopped")
}

impl fmt::Debug for Wakeful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeful").field("store_id", &self.inner.store_id).finish_non_exhaustive()
    }
}
