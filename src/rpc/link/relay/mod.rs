//! [`Relay`]: a gateway through which ordinary clients reach servers that have dialed in.

mod connect;
mod route;
mod splice;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use self::route::{Route, read_route};
use self::splice::splice;
use super::accept::{AcceptOptions, Acceptor, LinkPort};
use super::authenticate::Authenticate;
use crate::address::cannot_listen;
use crate::addresses::{AddressSlot, Addresses};
use crate::config::{Config, RpcConfig};
use crate::error::{Error, ErrorCode};
use crate::front::{
    AcceptBackoff, LINGER, check_reserve, drain, refuse, set_options, too_many, too_many_from,
};
use crate::rpc::server::{SocketAcceptor, no_place};
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{HandshakeLimits, TlsConfig};
use crate::runtime::require_tokio;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// Maximum number of concurrent refusals for excess connections.
const REFUSALS_MAX: usize = 64;

/// Bytes per read from a JSON client that has selected its server.
const FIRST_WORDS_BYTES: usize = 1024;

/// The options of [`Relay::start`].
#[derive(Clone)]
pub struct RelayOptions {
    /// The limits of links (`link`) and of clients (`rpc`).
    pub config: Config,
    /// Decides who may dial in.
    pub authenticate: Arc<dyn Authenticate>,
    /// Requires TLS of clients.
    #[cfg(feature = "tls")]
    pub client_tls: Option<TlsConfig>,
    /// Requires TLS of servers that dial in; a server's certificate is its
    /// [identity](super::Presented::identity).
    #[cfg(feature = "tls")]
    pub link_tls: Option<TlsConfig>,
}

impl RelayOptions {
    /// Returns the defaults, for peers that `authenticate` admits.
    pub fn new(authenticate: impl Authenticate) -> Self {
        Self::with(Config::new(), Arc::new(authenticate))
    }

    /// Returns the defaults with other limits.
    pub fn with(config: Config, authenticate: Arc<dyn Authenticate>) -> Self {
        Self {
            config,
            authenticate,
            #[cfg(feature = "tls")]
            client_tls: None,
            #[cfg(feature = "tls")]
            link_tls: None,
        }
    }

    /// Returns the TLS setups of clients and of links.
    #[cfg(feature = "tls")]
    fn acceptors(&self, lines: &StrangerLines) -> Result<(SocketAcceptor, SocketAcceptor), Error> {
        let Config { rpc, link, .. } = &self.config;
        let of_clients = HandshakeLimits::of(rpc, lines.clone());
        let of_links = HandshakeLimits::of_links(link, rpc, lines.clone());
        Ok((
            SocketAcceptor::open(self.client_tls.clone(), of_clients)?,
            SocketAcceptor::open(self.link_tls.clone(), of_links)?,
        ))
    }

    #[cfg(not(feature = "tls"))]
    fn acceptors(&self, _: &StrangerLines) -> Result<(SocketAcceptor, SocketAcceptor), Error> {
        Ok((SocketAcceptor::Plain, SocketAcceptor::Plain))
    }
}

impl fmt::Debug for RelayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A gateway: servers dial in on one port, ordinary clients reach them by name on another
/// ([`ClientConfig::server`](crate::ClientConfig::server)). It reads only the hello of a client and
/// forwards the rest unchanged: logins, watches and workers are between client and server.
///
/// It outlives servers that come and go. It runs on the tokio runtime that it is started on, and
/// ends when it is [stopped](Self::stop) or dropped.
pub struct Relay {
    acceptor: Acceptor,
    addr: SocketAddr,
    accepting: AbortHandle,
    /// Set when everything must end.
    stop: watch::Sender<bool>,
    /// Closed when the last client is gone.
    ended: mpsc::Receiver<()>,
    clients: Arc<AtomicUsize>,
}

/// The shared state of all its clients.
struct RelayShared {
    acceptor: SocketAcceptor,
    lines: StrangerLines,
    rpc: RpcConfig,
    splice_bytes: usize,
    route_bytes_max: usize,
    port: Arc<LinkPort>,
    places: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    refusals: Arc<Semaphore>,
    clients: Arc<AtomicUsize>,
}

impl RelayShared {
    /// Admits one more client, from `peer`.
    fn admit(&self, peer: IpAddr) -> Result<(OwnedSemaphorePermit, AddressSlot), Error> {
        let of_all = Arc::clone(&self.places).try_acquire_owned();
        let of_all = of_all.map_err(|_| too_many(self.rpc.connections_max))?;
        check_reserve(self.clients.load(Ordering::Relaxed), self.rpc.descriptors_reserved)?;
        let max = self.rpc.connections_per_address_max;
        let place = self.addresses.enter(peer, max).ok_or_else(|| too_many_from(peer, max))?;
        Ok((of_all, place))
    }
}

impl Relay {
    /// Accepts clients at `listen`, and links at `accept`.
    ///
    /// # Errors
    ///
    /// `Unavailable` if an address cannot be bound; `InvalidArgument` if the limits are invalid, or
    /// the call is made outside a tokio runtime.
    pub async fn start(
        listen: impl ToSocketAddrs,
        accept: impl ToSocketAddrs,
        options: RelayOptions,
    ) -> Result<Self, Error> {
        require_tokio("Relay::start")?;
        options.config.check()?;
        let lines = StrangerLines::new(&options.config.rpc);
        let (client_acceptor, of_links) = options.acceptors(&lines)?;
        let RelayOptions { config, authenticate, .. } = options;
        let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(&error))?;
        let addr = listener.local_addr().map_err(|error| cannot_listen(&error))?;
        let accept_options = AcceptOptions {
            config: config.link.clone(),
            acceptor: of_links,
            authenticate,
            lines: lines.clone(),
            intake: None,
            accepted: None,
        };
        let acceptor = Acceptor::bind(accept, accept_options).await?;
        let (alive, ended) = mpsc::channel(1);
        let stop = watch::Sender::new(false);
        let clients = Arc::new(AtomicUsize::new(0));
        let shared = RelayShared {
            acceptor: client_acceptor,
            lines,
            splice_bytes: config.link.splice_bytes,
            route_bytes_max: config.link.hello_bytes_max,
            port: Arc::clone(&acceptor.port),
            places: Arc::new(Semaphore::new(
                config.rpc.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            addresses: Arc::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            rpc: config.rpc,
            clients: Arc::clone(&clients),
        };
        let taking = accept_all(listener, Arc::new(shared), stop.subscribe(), alive);
        let accepting = tokio::spawn(taking).abort_handle();
        tracing::info!(%addr, "listening");
        Ok(Self { acceptor, addr, accepting, stop, ended, clients })
    }

    /// Returns the address for clients.
    pub fn listen_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the address for servers that dial in.
    pub fn accept_addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// Returns the names of the connected servers, in order.
    pub fn servers(&self) -> Vec<String> {
        self.acceptor.port.names()
    }

    /// Returns the number of connected clients.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Accepts no more connections and notifies the servers, which say goodbye to their clients;
    /// running requests may take `grace`. Then everything ends, and it returns.
    ///
    /// Cancel: the rest ends at once.
    pub async fn stop(mut self, grace: Duration) {
        self.accepting.abort();
        self.acceptor.leave();
        // Returns `None` once all clients have gone, because nothing is ever sent.
        if timeout(grace, self.ended.recv()).await.is_err() {
            self.stop.send_replace(true);
            let _ = self.ended.recv().await;
        }
        self.acceptor.finish().await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.stop.send_replace(true);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Relay");
        shown.field("listen", &self.addr).field("accept", &self.accept_addr()).finish()
    }
}

async fn accept_all(
    listener: TcpListener,
    shared: Arc<RelayShared>,
    stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let mut backoff = AcceptBackoff::default();
    loop {
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.note(&error).await;
                continue;
            }
        };
        if let Err(error) = set_options(&stream, &shared.rpc) {
            let lines = &shared.lines;
            log_stranger!(lines, LineKind::Connection, DEBUG, %addr, %error, "connection lost during setup");
            continue;
        }
        let (shared, mut stop, alive) = (Arc::clone(&shared), stop.clone(), alive.clone());
        let place = match shared.admit(addr.ip()) {
            Ok(place) => place,
            Err(error) => {
                // Beyond the maximum of refusals, a connection is closed silently.
                if let Ok(permit) = Arc::clone(&shared.refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        let entered =
                            shared.acceptor.accept(stream, addr, Instant::now() + LINGER).await;
                        if let Some((socket, _)) = entered {
                            let _ = timeout(LINGER, refuse(socket, &no_place(&error))).await;
                        }
                        drop((permit, alive));
                    });
                }
                continue;
            }
        };
        tokio::spawn(async move {
            shared.clients.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = serve(&shared, stream, addr) => {}
                // An error means that the relay was dropped.
                _ = stop.wait_for(|stop| *stop) => {}
            }
            shared.clients.fetch_sub(1, Ordering::Relaxed);
            drop((place, alive));
        });
    }
}

/// Serves a client from its first byte to its end.
async fn serve(shared: &RelayShared, stream: TcpStream, addr: SocketAddr) {
    let limit = shared.rpc.handshake_timeout;
    let deadline = Instant::now() + limit;
    // The relay cannot forward a client's certificate, and does not judge it.
    let entered = shared.acceptor.accept(stream, addr, deadline).await;
    let Some((mut socket, _)) = entered else { return };
    let route =
        match timeout_at(deadline.into(), read_route(&mut socket, shared.route_bytes_max)).await {
            Ok(Ok(route)) => route,
            Ok(Err(refusal)) => return part(&mut socket, &refusal.0).await,
            Err(_) => {
                let late = "ERR wakeful: no server was selected within rpc.handshake_timeout; see \
                docs/protocol.md\n";
                return part(&mut socket, late.as_bytes()).await;
            }
        };
    let opened = match shared.port.find(&route.server) {
        Ok(link) => timeout(limit, link.open()).await.unwrap_or_else(|_| {
            let message = "the server accepted no connection within rpc.handshake_timeout";
            Err(Error::new(ErrorCode::Unavailable, message))
        }),
        Err(error) => Err(error),
    };
    let mut server = match opened {
        Ok(server) => server,
        Err(error) => {
            log_stranger!(shared.lines, LineKind::Routed, INFO, %addr, %error, "client refused");
            return part(&mut socket, &route.refusal(&error)).await;
        }
    };
    log_stranger!(shared.lines, LineKind::Routed, DEBUG, %addr, server = route.server, "client routed");
    let Route { mut forward, answer, .. } = route;
    if !answer.is_empty() {
        let begun = async {
            socket.write_all(&answer).await?;
            first_words(&mut socket, &mut forward).await
        };
        if !matches!(timeout(limit, begun).await, Ok(Ok(()))) {
            return;
        }
    }
    let begun = async {
        server.write_all(&forward).await?;
        server.flush().await
    };
    if !matches!(timeout(shared.rpc.write_timeout, begun).await, Ok(Ok(()))) {
        return;
    }
    splice(socket, server, shared.splice_bytes, shared.rpc.write_timeout).await;
}

/// Reads past the white space between two calls: a server detects the client's dialect by its first
/// byte.
async fn first_words(socket: &mut Socket, words: &mut Vec<u8>) -> io::Result<()> {
    loop {
        *words = words.trim_ascii_start().to_vec();
        if !words.is_empty() {
            return Ok(());
        }
        words.reserve(FIRST_WORDS_BYTES);
        if socket.read_buf(words).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends last bytes, if the client reads them.
async fn part(socket: &mut Socket, word: &[u8]) {
    let said = async {
        socket.write_all(word).await?;
        drain(socket).await
    };
    let _ = timeout(LINGER, said).await;
}
