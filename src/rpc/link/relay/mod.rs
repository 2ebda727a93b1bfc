//! [`Relay`]: a gateway by which ordinary clients reach the servers that have dialed in.

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
use super::accept::{Acceptor, House, Terms};
use super::authenticate::Authenticate;
use crate::address::cannot_listen;
use crate::config::{Config, RpcConfig};
use crate::error::{Error, ErrorCode};
use crate::rpc::server::addresses::{Addresses, Place};
use crate::rpc::server::{
    Entrance, Hindrance, LINGER, check_reserve, hear_out, refuse, set_options, too_many,
    too_many_from,
};
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{DoorLimits, TlsConfig};
use crate::runtime::require_tokio;

/// How many of those who are too many are told so at once.
const REFUSALS_MAX: usize = 64;

/// Read at once of a JSON client that has named its server.
const FIRST_WORDS_BYTES: usize = 1024;

/// What [`Relay::start`] takes beside its addresses.
#[derive(Clone)]
pub struct RelayOptions {
    /// The bounds of the links (`link`) and of the clients (`rpc`).
    pub config: Config,
    /// Who may dial in.
    pub authenticate: Arc<dyn Authenticate>,
    /// Clients speak TLS with the relay.
    #[cfg(feature = "tls")]
    pub client_tls: Option<TlsConfig>,
    /// Servers that dial in do; a certificate that one shows is its
    /// [identity](super::Presented::identity).
    #[cfg(feature = "tls")]
    pub link_tls: Option<TlsConfig>,
}

impl RelayOptions {
    /// The defaults, for those whom `authenticate` knows.
    pub fn new(authenticate: impl Authenticate) -> Self {
        Self::with(Config::new(), Arc::new(authenticate))
    }

    /// The same, with bounds that are not the defaults.
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

    /// What clients, and what links, go through first.
    #[cfg(feature = "tls")]
    fn entrances(&self) -> Result<(Entrance, Entrance), Error> {
        let Config { rpc, link, .. } = &self.config;
        let of_clients = Entrance::open(self.client_tls.clone(), DoorLimits::of(rpc))?;
        let of_links = Entrance::open(self.link_tls.clone(), DoorLimits::of_links(link, rpc))?;
        Ok((of_clients, of_links))
    }

    #[cfg(not(feature = "tls"))]
    fn entrances(&self) -> Result<(Entrance, Entrance), Error> {
        Ok((Entrance::Plain, Entrance::Plain))
    }
}

impl fmt::Debug for RelayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A gateway: servers dial in on one port, ordinary clients reach them by their names on another
/// ([`ClientConfig::server`](crate::ClientConfig::server)). It reads of a client only its hello and
/// moves the rest as it is: logins, watches and workers are between the client and the server.
///
/// It outlives servers that come and go. It runs on the tokio runtime that it is started on, and
/// ends when it is [stopped](Self::stop) or dropped.
pub struct Relay {
    acceptor: Acceptor,
    addr: SocketAddr,
    accepting: AbortHandle,
    /// Everything ends.
    stop: watch::Sender<bool>,
    /// Closed when the last client is gone.
    ended: mpsc::Receiver<()>,
    clients: Arc<AtomicUsize>,
}

/// What all its clients share.
struct Hall {
    entrance: Entrance,
    rpc: RpcConfig,
    splice_bytes: usize,
    route_bytes_max: usize,
    house: Arc<House>,
    places: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    refusals: Arc<Semaphore>,
    clients: Arc<AtomicUsize>,
}

impl Hall {
    /// A place for one more client, from `peer`.
    fn admit(&self, peer: IpAddr) -> Result<(OwnedSemaphorePermit, Place), Error> {
        let of_all = Arc::clone(&self.places).try_acquire_owned();
        let of_all = of_all.map_err(|_| too_many(self.rpc.connections_max))?;
        check_reserve(self.clients.load(Ordering::Relaxed), self.rpc.descriptors_reserved)?;
        let max = self.rpc.connections_per_address_max;
        let place = self.addresses.enter(peer, max).ok_or_else(|| too_many_from(peer, max))?;
        Ok((of_all, place))
    }
}

impl Relay {
    /// Takes clients at `listen`, and links at `accept`.
    ///
    /// # Errors
    /// `Unavailable` if an address cannot be bound; `InvalidArgument` if the limits make no sense, or
    /// the call is made outside a tokio runtime.
    pub async fn start(
        listen: impl ToSocketAddrs,
        accept: impl ToSocketAddrs,
        options: RelayOptions,
    ) -> Result<Self, Error> {
        require_tokio("Relay::start")?;
        options.config.check()?;
        let (entrance, of_links) = options.entrances()?;
        let RelayOptions { config, authenticate, .. } = options;
        let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(&error))?;
        let addr = listener.local_addr().map_err(|error| cannot_listen(&error))?;
        let terms = Terms {
            config: config.link.clone(),
            entrance: of_links,
            authenticate,
            door: None,
            come: None,
        };
        let acceptor = Acceptor::bind(accept, terms).await?;
        let (alive, ended) = mpsc::channel(1);
        let stop = watch::Sender::new(false);
        let clients = Arc::new(AtomicUsize::new(0));
        let hall = Hall {
            entrance,
            splice_bytes: config.link.splice_bytes,
            route_bytes_max: config.link.hello_bytes_max,
            house: Arc::clone(&acceptor.house),
            places: Arc::new(Semaphore::new(
                config.rpc.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            addresses: Arc::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            rpc: config.rpc,
            clients: Arc::clone(&clients),
        };
        let taking = accept_all(listener, Arc::new(hall), stop.subscribe(), alive);
        let accepting = tokio::spawn(taking).abort_handle();
        tracing::info!(%addr, "listening");
        Ok(Self { acceptor, addr, accepting, stop, ended, clients })
    }

    /// Where clients connect.
    pub fn listen_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where servers dial in.
    pub fn accept_addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The names of the servers that are there, in order.
    pub fn servers(&self) -> Vec<String> {
        self.acceptor.house.names()
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Takes nothing new and tells the servers so, who say goodbye to their clients; what is under
    /// way may take `grace`. Then everything ends, and it returns.
    ///
    /// Cancel: what is left ends at once.
    pub async fn stop(mut self, grace: Duration) {
        self.accepting.abort();
        self.acceptor.leave();
        // `None`, as nothing is ever sent: all have gone.
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
    hall: Arc<Hall>,
    stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let mut hindrance = Hindrance::default();
    loop {
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                hindrance.note(&error).await;
                continue;
            }
        };
        if let Err(error) = set_options(&stream, &hall.rpc) {
            tracing::debug!(%addr, %error, "connection lost while it was set up");
            continue;
        }
        let (hall, mut stop, alive) = (Arc::clone(&hall), stop.clone(), alive.clone());
        let place = match hall.admit(addr.ip()) {
            Ok(place) => place,
            Err(error) => {
                // Whoever comes when even these are many is closed without a word.
                if let Ok(permit) = Arc::clone(&hall.refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        let entered =
                            hall.entrance.enter(stream, addr, Instant::now() + LINGER).await;
                        if let Some((socket, _)) = entered {
                            let _ = timeout(LINGER, refuse(socket, error)).await;
                        }
                        drop((permit, alive));
                    });
                }
                continue;
            }
        };
        tokio::spawn(async move {
            hall.clients.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = serve(&hall, stream, addr) => {}
                // An error: the relay is dropped.
                _ = stop.wait_for(|stop| *stop) => {}
            }
            hall.clients.fetch_sub(1, Ordering::Relaxed);
            drop((place, alive));
        });
    }
}

/// A client from its first byte to its end.
async fn serve(hall: &Hall, stream: TcpStream, addr: SocketAddr) {
    let limit = hall.rpc.handshake_timeout;
    let deadline = Instant::now() + limit;
    // A certificate of a client is not for the relay to judge, and cannot be handed on.
    let entered = hall.entrance.enter(stream, addr, deadline).await;
    let Some((mut socket, _)) = entered else { return };
    let route =
        match timeout_at(deadline.into(), read_route(&mut socket, hall.route_bytes_max)).await {
            Ok(Ok(route)) => route,
            Ok(Err(refusal)) => return part(&mut socket, &refusal.0).await,
            Err(_) => {
                let late = "ERR wakeful: nobody was asked for within rpc.handshake_timeout; see \
                docs/protocol.md\n";
                return part(&mut socket, late.as_bytes()).await;
            }
        };
    let opened = match hall.house.find(&route.server) {
        Ok(link) => timeout(limit, link.open()).await.unwrap_or_else(|_| {
            let message = "the server took no connection within rpc.handshake_timeout";
            Err(Error::new(ErrorCode::Unavailable, message))
        }),
        Err(error) => Err(error),
    };
    let mut server = match opened {
        Ok(server) => server,
        Err(error) => {
            tracing::info!(%addr, %error, "client refused");
            return part(&mut socket, &route.refusal(&error)).await;
        }
    };
    tracing::debug!(%addr, server = route.server, "client routed");
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
    if !matches!(timeout(hall.rpc.write_timeout, begun).await, Ok(Ok(()))) {
        return;
    }
    splice(socket, server, hall.splice_bytes, hall.rpc.write_timeout).await;
}

/// Reads until there is more than the white space between two calls: by its first byte a server knows
/// which language a client speaks.
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

/// Says the last word, as far as the client listens.
async fn part(socket: &mut Socket, word: &[u8]) {
    let said = async {
        socket.write_all(word).await?;
        hear_out(socket).await
    };
    let _ = timeout(LINGER, said).await;
}
