//! [`Wakeful`], the handle of a running node.
//!
//! The handle stands below the listeners that call it: each of them is a [`Door`] to it. `node`
//! starts a node, opens its doors and stops it.

mod operations;

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Addr, MailboxError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::actor::message::{OwnerGone, OwnerId};
use crate::actor::{QueueActor, StorageActor, StoreActor};
use crate::addresses::Addresses;
use crate::auth::Auth;
use crate::buffered::TotalBuffered;
use crate::config::{Config, Durability, RpcConfig};
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::fair::ClientId;
use crate::local_job::LocalJob;
use crate::methods::{MethodCaller, MethodContext, ServiceRegistry};
use crate::model::{CallReply, Invocation, JobRequest, Payload};
use crate::session::Session;
use crate::stranger_lines::StrangerLines;
use crate::work::LocalWorkers;

/// A running Wakeful; cheap to clone. Its [`Operations`](crate::Operations) run in this process.
///
/// The actors run on the arbiter that [`start`](Self::start) was called on; the handle works from
/// any thread. Everything ends with [`stop`](Self::stop), not with the last handle.
#[derive(Clone)]
pub struct Wakeful {
    pub(crate) inner: Arc<WakefulShared>,
    /// The owner of the jobs that this handle reserves; `None` for no particular one.
    pub(crate) owner: Option<Arc<LocalOwner>>,
}

/// A worker of this process, as the queue knows it.
pub(crate) struct LocalOwner {
    id: OwnerId,
    queue: Addr<QueueActor>,
}

impl Drop for LocalOwner {
    fn drop(&mut self) {
        // bound: one for each worker
        self.queue.do_send(OwnerGone { owner: self.id, may_return: false });
    }
}

/// The parts of a node, which `node` puts together.
pub(crate) struct WakefulShared {
    pub(crate) store: Addr<StoreActor>,
    pub(crate) queue: Addr<QueueActor>,
    pub(crate) storage: Addr<StorageActor>,
    /// The counter of request ids for the queue of this process.
    pub(crate) calls: AtomicU64,
    pub(crate) config: Config,
    /// The part of the configuration that can change at run time.
    pub(crate) rpc: RwLock<Arc<RpcConfig>>,
    pub(crate) store_id: u64,
    /// The name of the server.
    pub(crate) name: OnceLock<String>,
    /// `None` in memory.
    pub(crate) durability: Option<Durability>,
    pub(crate) connections: Arc<AtomicU64>,
    /// The open connections by address.
    pub(crate) addresses: Arc<Addresses>,
    /// Bytes held for connections until their peers read them.
    pub(crate) buffered: Arc<TotalBuffered>,
    /// Bounds the log lines that unauthenticated peers cause.
    pub(crate) strangers: StrangerLines,
    /// Counts dropped log lines, if a counter was set.
    pub(crate) lines_dropped: OnceLock<fn() -> u64>,
    pub(crate) listeners: Mutex<Listeners>,
    /// Services of the application, and their running calls.
    pub(crate) methods: ServiceRegistry,
    /// The runtime it was started on.
    pub(crate) runtime: Handle,
    /// The session of callers in this process.
    pub(crate) here: Arc<Session>,
    /// Authentication for all listeners; `None` allows everyone.
    pub(crate) auth: OnceLock<Auth>,
    /// The workers in this process.
    pub(crate) workers: LocalWorkers,
    /// The reason why writes fail, once they do.
    pub(crate) failure: watch::Sender<Option<Error>>,
    /// Set after the grace period: remaining connections close.
    pub(crate) stopped: watch::Sender<bool>,
}

/// The parts that [`Wakeful::stop`] ends.
pub(crate) struct Listeners {
    pub(crate) doors: Vec<Box<dyn Door>>,
    /// Closed when the last actor has ended.
    pub(crate) ended: mpsc::Receiver<()>,
    /// Held until the stop, so that `ended` stays open; `None` once stopped.
    pub(crate) alive: Option<mpsc::Sender<()>>,
}

/// A way to reach a node: a listening socket, or the connections of a link. Its methods are called at
/// the start and at the stop of the node, never for a request.
pub(crate) trait Door: Send {
    /// Returns true if nothing comes in any more, and no connection is left.
    fn is_over(&self) -> bool;

    /// Accepts no more connections, and sends a goodbye to every client.
    fn say_goodbye(&self);

    /// Waits until every connection has ended, and ends those that are left after `grace`. Once
    /// `drained` completes, no job is handed out any more, and no connection is waited for because
    /// of its jobs.
    fn finish<'a>(&'a mut self, grace: Duration, drained: BoxFuture<'a, ()>) -> BoxFuture<'a, ()>;
}

/// Finishes all doors at the same time: no door waits for the peers of another.
pub(crate) async fn finish_all<D>(doors: &mut [Box<dyn Door>], grace: Duration, drained: &D)
where
    D: Future<Output = ()> + Clone + Send + 'static,
{
    let finishing = doors.iter_mut().map(|door| door.finish(grace, drained.clone().boxed()));
    join_all(finishing).await;
}

impl Wakeful {
    /// Keeps the door that `open` returns until the stop.
    ///
    /// # Errors
    /// `Unavailable` if the node has stopped; those of `open`.
    pub(crate) async fn add_door<D: Door + 'static, T>(
        &self,
        open: impl FnOnce() -> Result<(D, T), Error>,
    ) -> Result<T, Error> {
        let mut listeners = self.inner.listeners.lock().await;
        if listeners.alive.is_none() {
            return Err(gone());
        }
        listeners.doors.retain(|door| !door.is_over());
        let (door, opened) = open()?;
        listeners.doors.push(Box::new(door));
        Ok(opened)
    }

    /// Returns the same service for a worker, which owns its jobs: they are lost with the last
    /// clone.
    pub(crate) fn for_worker(&self) -> Self {
        let queue = self.inner.queue.clone();
        let owner = LocalOwner { id: environment::next_owner(), queue };
        Self { inner: Arc::clone(&self.inner), owner: Some(Arc::new(owner)) }
    }

    /// Returns the address of the actor that owns the store, for code that sends
    /// [messages](crate::actor::message) rather than calling methods.
    pub fn store(&self) -> &Addr<StoreActor> {
        &self.inner.store
    }

    /// Returns the actor that owns the jobs.
    pub(crate) fn queue(&self) -> &Addr<QueueActor> {
        &self.inner.queue
    }

    /// Returns the configuration at the start; [`reconfigure`](Self::reconfigure) does not change
    /// it.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Returns the default durability of answers, unless a request
    /// [asks](crate::CallOptions::durability) for more; `None` in memory.
    pub fn durability(&self) -> Option<Durability> {
        self.inner.durability
    }

    /// Sends a request to the queue for `owner`. Dropping the future cancels a waiting request, and
    /// gives back jobs.
    pub(crate) async fn ask_queue(
        &self,
        owner: OwnerId,
        request: JobRequest,
        durability: Option<Durability>,
    ) -> Result<CallReply, Error> {
        let id = self.inner.calls.fetch_add(1, Ordering::Relaxed);
        let asked = LocalJob::ask(&self.inner.queue, owner, id, request, durability);
        asked.answer().await.unwrap_or_else(|| Err(gone()))
    }

    pub(crate) fn store_id(&self) -> u64 {
        self.inner.store_id
    }

    pub(crate) fn connections(&self) -> &Arc<AtomicU64> {
        &self.inner.connections
    }

    pub(crate) fn strangers(&self) -> &StrangerLines {
        &self.inner.strangers
    }

    pub(crate) fn buffered(&self) -> &Arc<TotalBuffered> {
        &self.inner.buffered
    }

    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        &self.inner.addresses
    }

    /// Returns the limits for a connection accepted now.
    pub(crate) fn rpc(&self) -> Arc<RpcConfig> {
        Arc::clone(&self.inner.rpc.read())
    }

    /// Returns the authentication of listeners; `None` allows everyone.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.inner.auth.get()
    }

    /// Returns the name of this server, if set.
    pub fn name(&self) -> Option<&str> {
        self.inner.name.get().map(String::as_str)
    }

    pub(crate) fn methods(&self) -> &ServiceRegistry {
        &self.inner.methods
    }

    /// Calls a method from this process. Dropping the future drops the method.
    async fn invoke_here(&self, invocation: Invocation) -> Result<Payload, Error> {
        let session = Arc::clone(&self.inner.here);
        let (client, node) = (ClientId::Process, self.as_node());
        let caller = MethodCaller { session, client, node, deadline: None, request: None };
        let (answer, answered) = oneshot::channel();
        let _running = self.inner.methods.start(invocation, caller, move |result| {
            // The caller may be gone.
            let _ = answer.send(result);
        })?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Returns this handle for a method, which gets it from [`MethodContext::wakeful`].
    pub(crate) fn as_node(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.clone())
    }
}

impl MethodContext {
    /// Returns the node on which the method runs.
    pub fn wakeful(&self) -> &Wakeful {
        #[expect(clippy::expect_used, reason = "each call is started with `Wakeful::as_node`")]
        self.node().downcast_ref().expect("the node of a call is a `Wakeful`")
    }
}

/// Returns the meaning of a lost message to the store.
pub(crate) fn closed(error: MailboxError) -> Error {
    match error {
        MailboxError::Closed => gone(),
        MailboxError::Timeout => Error::new(
            ErrorCode::DeadlineExceeded,
            "the store did not answer in time; whether the request took effect is unknown",
        ),
    }
}

pub(crate) fn gone() -> Error {
    Error::new(ErrorCode::Unavailable, "the service has stopped")
}

impl fmt::Debug for Wakeful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeful").field("store_id", &self.inner.store_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Barrier;

    use super::*;

    /// A door that ends once the other does.
    struct Mutual(Arc<Barrier>);

    impl Door for Mutual {
        fn is_over(&self) -> bool {
            false
        }

        fn say_goodbye(&self) {}

        fn finish<'a>(&'a mut self, _: Duration, drained: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
            async move {
                drained.await;
                self.0.wait().await;
            }
            .boxed()
        }
    }

    /// Regression: a door was told that no job is handed out any more when the doors before it had
    /// ended.
    #[tokio::test]
    async fn r5_no_door_waits_for_another() {
        let both = Arc::new(Barrier::new(2));
        let door = || Box::new(Mutual(Arc::clone(&both))) as Box<dyn Door>;
        let mut doors = [door(), door()];
        let drained = std::future::ready(());
        let finished = finish_all(&mut doors, Duration::ZERO, &drained);
        tokio::time::timeout(Duration::from_secs(20), finished).await.expect("one waits");
    }
}
