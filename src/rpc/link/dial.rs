//! [`DialHandle`]: a link that is re-established whenever it is lost.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::carrier::{Link, LinkProperties};
use super::hello::{self, LinkHello, LinkWelcome};
use crate::auth::Credentials;
use crate::config::{ClientConfig, Config, LinkConfig};
use crate::error::{Error, ErrorCode};
use crate::rpc::backoff::ReconnectBackoff;
use crate::rpc::client::{Client, Connector};
use crate::rpc::server::LinkIntake;
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::{config::ClientTls, rpc::tls};

/// The options of [`Wakeful::dial`](crate::Wakeful::dial).
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// The name this server asks for; clients select it by this name.
    pub name: String,
    /// The credentials for the name.
    pub credentials: Option<Credentials>,
    /// Whether connections over the link are served; otherwise the link is for
    /// [`DialHandle::client`].
    pub serve: bool,
    /// Dials with TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<ClientTls>,
}

impl DialOptions {
    /// Returns options to serve under `name` without credentials.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            credentials: None,
            serve: true,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// The state of a kept link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialState {
    /// There is no link; with the error of the last attempt or link, if any.
    Down(Option<Error>),
    /// The link is up, to this address.
    Up(SocketAddr),
    /// The link was stopped.
    Stopped,
}

/// A kept link; see [`Wakeful::dial`](crate::Wakeful::dial). Cheap to clone. The link is kept even
/// without a handle.
#[derive(Clone)]
pub struct DialHandle {
    shared: Arc<DialShared>,
}

struct DialShared {
    addr: String,
    options: DialOptions,
    config: LinkConfig,
    /// How long a stop waits for connections being served.
    grace: Duration,
    state: watch::Sender<DialState>,
    link: watch::Sender<Option<Link>>,
    links: AtomicU64,
    stop: watch::Sender<bool>,
}

impl DialHandle {
    /// Returns the current state.
    pub fn state(&self) -> DialState {
        self.shared.state.borrow().clone()
    }

    /// Returns the number of links so far, including the current one.
    pub fn links(&self) -> u64 {
        self.shared.links.load(Ordering::Relaxed)
    }

    /// Waits until the link is up; returns its address.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it was stopped.
    ///
    /// Cancel: harmless.
    pub async fn up(&self) -> Result<SocketAddr, Error> {
        let mut state = self.shared.state.subscribe();
        let settled = |state: &DialState| !matches!(state, DialState::Down(_));
        match state.wait_for(settled).await.as_deref() {
            Ok(DialState::Up(addr)) => Ok(*addr),
            _ => Err(stopped()),
        }
    }

    /// Returns a client of the service at the other end, with the defaults; see
    /// [`client_with`](Self::client_with).
    ///
    /// # Errors
    ///
    /// Those of [`client_with`](Self::client_with).
    pub async fn client(&self) -> Result<Client, Error> {
        self.client_with(ClientConfig::new(format!("over the link to {}", self.shared.addr))).await
    }

    /// Returns a client of the service at the other end. It waits `connect_timeout` for a link, and
    /// outlives it: it continues over the next one. `addr` only names it in errors.
    ///
    /// # Errors
    ///
    /// `NoSuchServer` if the other end serves nothing; `Unavailable` if there is no link, or it was
    /// stopped; otherwise those of [`Client::connect_with`].
    ///
    /// Cancel: leaves nothing behind.
    pub async fn client_with(&self, config: ClientConfig) -> Result<Client, Error> {
        Client::over(Arc::new(DialOpener(Arc::clone(&self.shared))), config).await
    }

    /// Stops the link: the other end is told to begin nothing new, running requests may take
    /// `rpc.shutdown_grace`, then the link closes. Returns when it has closed.
    ///
    /// Cancel: it is stopped all the same.
    pub async fn stop(&self) {
        self.shared.stop.send_replace(true);
        let mut state = self.shared.state.subscribe();
        // An error means that it ended with its runtime.
        let _ = state.wait_for(|state| *state == DialState::Stopped).await;
    }
}

impl fmt::Debug for DialHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DialHandle");
        shown.field("addr", &self.shared.addr).field("name", &self.shared.options.name);
        shown.field("state", &self.state()).finish()
    }
}

/// Opens connections over the current link.
struct DialOpener(Arc<DialShared>);

impl Connector for DialOpener {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        async {
            let mut link = self.0.link.subscribe();
            let link = loop {
                // The lock must not be held during the wait.
                let found = link.borrow_and_update().clone().filter(|link| !link.is_over());
                if let Some(found) = found {
                    break found;
                }
                if self.is_over() {
                    return Err(stopped());
                }
                link.changed().await.map_err(|_| stopped())?;
            };
            link.open().await
        }
        .boxed()
    }

    fn is_over(&self) -> bool {
        *self.0.state.borrow() == DialState::Stopped
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::Unavailable, "the link was stopped")
}

/// Keeps a link to `addr`; must be called on an arbiter.
pub(crate) fn dial(
    addr: String,
    options: DialOptions,
    config: &Config,
    intake: LinkIntake,
) -> DialHandle {
    let shared = Arc::new(DialShared {
        addr,
        options,
        config: config.link.clone(),
        grace: config.rpc.shutdown_grace,
        state: watch::Sender::new(DialState::Down(None)),
        link: watch::Sender::new(None),
        links: AtomicU64::new(0),
        stop: watch::Sender::new(false),
    });
    actix_rt::spawn(keep(StoppedOnDrop(Arc::clone(&shared)), intake));
    DialHandle { shared }
}

/// Reports on drop that the link is stopped, for whatever reason.
struct StoppedOnDrop(Arc<DialShared>);

impl Drop for StoppedOnDrop {
    fn drop(&mut self) {
        self.0.state.send_replace(DialState::Stopped);
        self.0.link.send_replace(None);
    }
}

async fn keep(this: StoppedOnDrop, intake: LinkIntake) {
    let shared = &this.0;
    let config = &shared.config;
    let mut backoff = ReconnectBackoff::new(config.backoff_min, config.backoff_max);
    loop {
        let failure = tokio::select! {
            connected = connect(shared) => match connected {
                Ok((socket, properties)) => {
                    let since = Instant::now();
                    let (ended, over) = serve(shared, socket, properties, &intake).await;
                    if over {
                        return;
                    }
                    backoff.lost_after(since.elapsed());
                    tracing::warn!(addr = shared.addr, name = shared.options.name, reason = %ended, "link lost; dialing again");
                    ended
                }
                Err(error) => {
                    tracing::warn!(addr = shared.addr, name = shared.options.name, %error, "cannot establish the link; dialing again");
                    error
                }
            },
            () = told_to_stop(shared, &intake) => return,
        };
        shared.state.send_replace(DialState::Down(Some(failure)));
        tokio::select! {
            () = sleep(backoff.next(rand::random())) => {}
            () = told_to_stop(shared, &intake) => return,
        }
    }
}

/// Completes when the handle or the service is stopped.
async fn told_to_stop(shared: &DialShared, intake: &LinkIntake) {
    let mut stop = shared.stop.subscribe();
    tokio::select! {
        // Infallible: `shared` holds the sender.
        _ = stop.wait_for(|stop| *stop) => {}
        () = intake.closed() => {}
    }
}

/// Makes one attempt.
async fn connect(shared: &DialShared) -> Result<(Socket, LinkProperties), Error> {
    let DialShared { addr, options, config, .. } = shared;
    let unreachable = |error: &io::Error| {
        Error::new(ErrorCode::Unreachable, format!("cannot link to {addr}: {error}"))
    };
    let late = |what: &str, limit: Duration| {
        let message = format!("cannot link to {addr}: {what} within {limit:?}");
        Error::new(ErrorCode::Unreachable, message)
    };
    let connected = timeout(config.connect_timeout, TcpStream::connect(addr)).await;
    let stream = connected
        .map_err(|_| late("no connection", config.connect_timeout))?
        .map_err(|error| unreachable(&error))?;
    set_options(&stream, config).map_err(|error| unreachable(&error))?;
    let peer = stream.peer_addr().map_err(|error| unreachable(&error))?;
    let secured = timeout(config.handshake_timeout, secure(stream, options, addr)).await;
    let mut socket = secured.map_err(|_| late("no TLS handshake", config.handshake_timeout))??;
    let hello = LinkHello {
        name: options.name.clone(),
        credentials: options.credentials.clone(),
        serves: options.serve,
        streams_max: u32::try_from(config.streams_max).unwrap_or(u32::MAX),
    };
    let greeted = timeout(config.handshake_timeout, hello::greet(&mut socket, &hello, addr)).await;
    let LinkWelcome { serves, streams_max } =
        greeted.map_err(|_| late("no answer to the hello", config.handshake_timeout))??;
    let properties = LinkProperties {
        name: options.name.clone(),
        addr: peer,
        peer_serves: serves,
        streams_max: config.streams_max.min(streams_max as usize),
        called: Some(options.name.as_str().into()),
    };
    Ok((socket, properties))
}

#[cfg(feature = "tls")]
async fn secure(stream: TcpStream, options: &DialOptions, addr: &str) -> Result<Socket, Error> {
    match &options.tls {
        Some(tls) => tls::connect(stream, tls, addr).await,
        None => Ok(stream.into()),
    }
}

#[cfg(not(feature = "tls"))]
async fn secure(stream: TcpStream, _: &DialOptions, _: &str) -> Result<Socket, Error> {
    Ok(stream.into())
}

/// Sets the options of a link's TCP connection.
pub(super) fn set_options(stream: &TcpStream, config: &LinkConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let unanswered = config.ping_interval + config.ping_timeout;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unanswered))
}

/// Runs a link until it ends; returns the reason, and whether to stop keeping it.
async fn serve(
    shared: &DialShared,
    socket: Socket,
    properties: LinkProperties,
    intake: &LinkIntake,
) -> (Error, bool) {
    let config = &shared.config;
    let addr = properties.addr;
    let (link, idle) = Link::new(properties, config);
    tracing::info!(addr = shared.addr, name = shared.options.name, "link is up");
    shared.links.fetch_add(1, Ordering::Relaxed);
    shared.link.send_replace(Some(link.clone()));
    shared.state.send_replace(DialState::Up(addr));
    let acceptor = shared.options.serve.then(|| intake.clone());
    let stopping = async {
        told_to_stop(shared, intake).await;
        link.leave();
        // When the service stops, it ends the remaining connections itself, after this.
        let _ = timeout(shared.grace, link.drained(config)).await;
        link.shut("the link was stopped");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = idle.run(socket, true, acceptor, config) => {}
        () = stopping => {}
    }
    shared.link.send_replace(None);
    let over = *shared.stop.borrow() || intake.closed().now_or_never().is_some();
    (Error::new(ErrorCode::Unavailable, link.reason()), over)
}
