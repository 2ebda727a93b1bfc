//! [`Client`]: [`Operations`] over one TCP connection, shared by any number of tasks.
//!
//! Owns the parts of a request, a wait or a watch that outlive a connection. It stores no data, and
//! never guesses an answer of the server.
//!
//! # Layout
//! `session` (requests) and `streams` with `stream` (watches) decide everything, without I/O.
//! Callers write their requests into the session's output under its lock; `driver`, one task,
//! moves bytes between that and the socket, and reconnects through `handshake`. `connection_state` handles
//! connections that are opened and lost; `jobs` has what is specific to jobs.

mod call;
mod connection_state;
mod distrust;
mod driver;
mod handshake;
mod inbound;
mod jobs;
mod login;
mod pending;
mod reason;
mod session;
mod shared;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod transport;
mod watch;
#[cfg(feature = "worker")]
mod work;

pub use call::Call;
pub(crate) use distrust::distrust;
pub(crate) use transport::Connector;
pub use watch::{WatchId, WatchMux, WatchStream};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use self::handshake::ServerConnection;
use self::inbound::{ServerAnswer, protocol};
use self::reason::closed;
use self::shared::{ClientHandle, ClientShared};
use self::transport::Transport;
use crate::address;
use crate::config::ClientConfig;
use crate::config::SERVER_NAME_BYTES_MAX;
use crate::error::{Error, ErrorCode};
use crate::model::{
    CallOptions, CallReply, Invocation, Payload, Reply, Request, RpcCall, WaitOutcome, WaitRequest,
    WatchRequest,
};
use crate::operations::Operations;
use crate::runtime::require_tokio;

/// A Wakeful server, over the wire. Cheap to clone; all clones share one connection, which carries
/// any number of concurrent requests, waits and watches.
///
/// A lost connection is re-established as long as anything waits for it. What happens to a
/// request whose connection was lost:
/// - one that was not sent yet, a read, a wait, and a write with an
///   [idempotency key](CallOptions::idempotency) are resent automatically, until their deadline;
/// - so are a reserve, and a push in which every job has an index that stays taken, after the job is
///   done, for at least as long as the call may take ([`Unique::Finished`](crate::Unique::Finished));
/// - any other write fails with `Unavailable`, its outcome unknown: it is never sent twice;
/// - a watch continues exactly where it was;
/// - reserved jobs stay reserved for `queue.resume_grace` of the server, and are resumed before any
///   other request on the next connection. Those that are lost by then use up one loss each: callers
///   of [`Jobs::revoked`](crate::Jobs::revoked) are notified at once, and their settlement is refused
///   as `StaleReservation`;
/// - if the server refuses the login, because the user or its password or token is gone, everything
///   that waits fails with `LoginFailed`;
/// - if the server has another store than before, watches, and requests that name a revision or a
///   job of the old one, fail with `StoreChanged`.
///
/// Errors of every call, besides those of [`Operations`]: `Unavailable` if there was no
/// connection until the deadline, or the client is closed; `DeadlineExceeded` if there was no
/// answer; `LimitExceeded` for too many requests (`client.requests_queued_max`); `FrameTooLarge`;
/// `Protocol`.
///
/// The connection closes with the last clone, [`Call`], [`WatchStream`] and [`WatchMux`].
///
/// ```no_run
/// use wakeful::{Client, KeyRange, Operations, SetRequest, WaitRequest};
///
/// # async fn example() -> Result<(), wakeful::Error> {
/// let client = Client::connect("127.0.0.1:7117").await?;
/// let change = client.go_wait(WaitRequest::new(KeyRange::key("greeting")));
/// client.set(SetRequest::new("greeting", "hello")).await?;
/// println!("{:?}", change.await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Arc<ClientHandle>,
    deadline: Option<Duration>,
}

impl Client {
    /// Connects to the server at `addr`, `host:port`, with the defaults of [`ClientConfig`].
    ///
    /// Errors: those of [`connect_with`](Self::connect_with).
    pub async fn connect(addr: impl Into<String>) -> Result<Self, Error> {
        Self::connect_with(ClientConfig::new(addr)).await
    }

    /// Connects as configured in `config`; makes one attempt. The connection is run by a task on the
    /// current tokio runtime, and ends with it.
    ///
    /// Errors: `Unreachable` if nothing answers within `connect_timeout`; `UnsupportedVersion` if the
    /// peer is not a Wakeful server of this version; `LimitExceeded` if the server has too many
    /// connections, or slows down logins from this address; `LoginFailed` if the credentials are
    /// refused; `InvalidArgument` for an address that is not `host:port`, a ping interval of zero,
    /// credentials if there are no users, and outside a tokio runtime. Cancel: dropping the future
    /// leaves nothing behind.
    pub async fn connect_with(config: ClientConfig) -> Result<Self, Error> {
        Self::open(config, Transport::Addr).await
    }

    /// Connects through `opener` instead of to an address.
    pub(crate) async fn over(
        opener: Arc<dyn Connector>,
        config: ClientConfig,
    ) -> Result<Self, Error> {
        Self::open(config, Transport::Opener(opener)).await
    }

    async fn open(config: ClientConfig, transport: Transport) -> Result<Self, Error> {
        require_tokio("Client::connect")?;
        if config.ping_interval.is_zero() || config.ping_timeout.is_zero() {
            let message = "client.ping_interval and client.ping_timeout must be above 0";
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        if matches!(transport, Transport::Addr) {
            address::check(&config.addr)?;
        }
        if config.server.len() > SERVER_NAME_BYTES_MAX {
            let message = format!("client.server is longer than {SERVER_NAME_BYTES_MAX} bytes");
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        let connection = ServerConnection::open(&config, &transport).await?;
        let deadline = config.call_deadline;
        let shared = ClientShared::new(config, transport, &connection.welcome);
        tokio::spawn(driver::run(Arc::clone(&shared), connection));
        Ok(Self { handle: Arc::new(ClientHandle(shared)), deadline })
    }

    /// Returns the same connection with another deadline for calls and for the start of a `watch`.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { handle: Arc::clone(&self.handle), deadline: Some(deadline) }
    }

    /// Returns the configuration of this client.
    pub fn config(&self) -> &ClientConfig {
        &self.handle.config
    }

    /// Starts a request and returns at once; requests started one after another are sent together, in
    /// that order. Beyond `client.requests_in_flight_max`, they wait for their turn.
    ///
    /// Errors: those of [`Operations::call`] and of [`Client`], from the [`Call`].
    pub fn go(&self, request: impl Into<Request>) -> Call<Reply> {
        self.start(RpcCall::from(request.into()), |answer| reply(answer).map(|reply| reply.reply))
    }

    /// Does the same as [`go`](Self::go), for [`Operations::call_with`].
    pub fn go_with(&self, request: impl Into<Request>, options: CallOptions) -> Call<CallReply> {
        let request = request.into();
        match options.check(&request.facts()) {
            Ok(()) => self.start(RpcCall::Store { options, request }, reply),
            Err(error) => self.refused(error),
        }
    }

    /// Returns a call that was not even sent.
    fn refused<T>(&self, error: Error) -> Call<T> {
        let (answer, receiver) = oneshot::channel();
        let _ = answer.send(Err(error));
        Call::new(0, receiver, Arc::clone(&self.handle), |_| Err(closed()))
    }

    /// Starts a call of a method, such as `HelloService.Hello`, and returns at once. Dropping the
    /// [`Call`] cancels it: the method is dropped. A call whose connection was lost is never resent
    /// automatically.
    ///
    /// Errors: those of [`Methods::invoke`](crate::Methods::invoke) and of [`Client`], from the
    /// [`Call`].
    pub fn go_invoke<R: DeserializeOwned>(
        &self,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Call<R> {
        let argument = match Payload::bincode(argument) {
            Ok(argument) => argument,
            Err(error) => return self.refused(error),
        };
        let invocation = Invocation { method: method.to_owned(), argument };
        self.start(RpcCall::from(Request::Invoke(invocation)), |answer| {
            match reply(answer)?.reply {
                Reply::Invoke(output) => output.decode(),
                other => Err(protocol(format!("the reply does not fit a call: {other:?}"))),
            }
        })
    }

    /// Starts a wait and returns at once.
    ///
    /// A lost connection does not affect the wait: it continues for the rest of its time, and a change
    /// in between is its answer. The exception is a connection lost before the server had parked the
    /// wait: a wait for any change, without `after`, may then be answered with a change from shortly
    /// before the call. Without `timeout`, the server's default restarts.
    ///
    /// Errors: those of [`Operations::wait`] and of [`Client`], from the [`Call`]; the call deadline
    /// does not apply, but `client.wait_grace` does.
    pub fn go_wait(&self, request: WaitRequest) -> Call<WaitOutcome> {
        self.start(RpcCall::Wait(request), |answer| match answer {
            ServerAnswer::Wait(outcome) => Ok(outcome),
            other => Err(protocol(format!("the reply does not fit a wait: {other:?}"))),
        })
    }

    /// Returns a stream for many watches; see [`WatchMux`].
    pub fn watch_mux(&self) -> WatchMux {
        WatchMux::new(Arc::clone(&self.handle), self.deadline)
    }

    /// Waits until there is no connection, and returns the reason. The client reconnects by itself.
    ///
    /// Cancel: harmless.
    pub async fn disconnected(&self) -> Error {
        let mut lost = self.handle.lost.subscribe();
        match lost.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(closed),
            Err(_) => closed(),
        }
    }

    /// Waits until there is a connection; for ever once the client is closed.
    ///
    /// Cancel: harmless.
    pub async fn connected(&self) {
        // The handle holds the sender.
        let _ = self.handle.lost.subscribe().wait_for(Option::is_none).await;
    }

    /// Ends the connection, for all clones: waits and watches end with `Unavailable`, requests in
    /// flight may take `client.close_timeout`; reserved jobs that are not settled are given back at no
    /// cost. Returns when it has ended. (If the last handle is dropped instead, the jobs also go to
    /// others at once, but each uses up a loss.)
    ///
    /// Cancel: dropping the future does not stop it.
    pub async fn close(&self) {
        self.handle.with(|session, now| session.close(now));
        // The driver closes the semaphore: an error is the expected result.
        let _ = self.handle.ended.acquire().await;
    }

    fn start<T>(&self, call: RpcCall, fit: fn(ServerAnswer) -> Result<T, Error>) -> Call<T> {
        let (answer, receiver) = oneshot::channel();
        let deadline = self.deadline;
        let id = self.handle.with(|session, now| session.submit(call, answer, deadline, now));
        Call::new(id, receiver, Arc::clone(&self.handle), fit)
    }
}

fn reply(answer: ServerAnswer) -> Result<CallReply, Error> {
    match answer {
        ServerAnswer::Reply(reply) => Ok(reply),
        other => Err(protocol(format!("the reply does not fit the request: {other:?}"))),
    }
}

/// Nothing is sent before the futures are first polled; [`Client::go`] starts at once.
impl Operations for Client {
    type Watch = WatchStream;

    async fn call_with(&self, request: Request, options: CallOptions) -> Result<CallReply, Error> {
        self.go_with(request, options).await
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        self.go_wait(request).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, Error> {
        WatchStream::open(self.watch_mux(), request).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = &self.handle.config.addr;
        f.debug_struct("Client").field("addr", addr).finish_non_exhaustive()
    }
}
