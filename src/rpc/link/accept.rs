//! [`Acceptor`]: accepts links from authenticated peers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use super::authenticate::{Admission, Authenticate, Presented};
use super::carrier::{Idle, Link, LinkProperties};
use super::dial::set_options;
use super::hello::{HandshakeError, LinkHello, LinkWelcome, encode_answer, read_hello, send};
use super::registry::LinkRegistry;
use super::{check_name, limit};
use crate::address::{cannot_listen, network};
use crate::config::LinkConfig;
use crate::error::{Error, ErrorCode};
use crate::fair::Excess;
use crate::fair_places::{FairPlace, FairPlaces};
use crate::front::{AcceptBackoff, LINGER, drain};
use crate::rpc::server::{SocketAcceptor, WeakLinkIntake};
use crate::rpc::socket::Socket;
use crate::session::Identity;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// Maximum number of concurrent refusals for excess connections.
const REFUSALS_MAX: usize = 64;

/// An accepted link.
pub(super) struct AcceptedLink {
    pub(super) link: Link,
    pub(super) identity: Option<Identity>,
}

/// Accepts links on one port. Dropping it ends them.
pub(super) struct Acceptor {
    addr: SocketAddr,
    accepting: AbortHandle,
    pub(super) port: Arc<LinkPort>,
    /// Closed when the last link has ended.
    ended: mpsc::Receiver<()>,
}

/// The conditions under which links are accepted.
pub(super) struct AcceptOptions {
    pub(super) config: LinkConfig,
    pub(super) acceptor: SocketAcceptor,
    pub(super) authenticate: Arc<dyn Authenticate>,
    pub(super) lines: StrangerLines,
    /// The service that this end offers to peers.
    pub(super) intake: Option<WeakLinkIntake>,
    /// Receives each link whose peer serves.
    pub(super) accepted: Option<mpsc::Sender<AcceptedLink>>,
}

/// The shared state of all links of one port.
pub(super) struct LinkPort {
    accept_options: AcceptOptions,
    names: Mutex<LinkRegistry<Link>>,
    /// Counts links by the address of the peer.
    places: FairPlaces<IpAddr>,
    /// Counts connections that have not authenticated yet, by their address.
    handshakes: FairPlaces<IpAddr>,
    refusals: Arc<Semaphore>,
    /// Set when shutdown was requested.
    stop: tokio::sync::watch::Sender<bool>,
}

impl LinkPort {
    /// Returns the link named `name`; without a name, the only one.
    ///
    /// # Errors
    ///
    /// `NoSuchServer`.
    pub(super) fn find(&self, name: &str) -> Result<Link, Error> {
        self.names.lock().find(name)
    }

    /// Returns all names.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.lock().names()
    }
}

impl Acceptor {
    /// Starts to accept links at `addr`, on the current tokio runtime.
    pub(super) async fn bind(
        addr: impl ToSocketAddrs,
        accept_options: AcceptOptions,
    ) -> Result<Self, Error> {
        let config = &accept_options.config;
        config.check()?;
        let listener = TcpListener::bind(addr).await.map_err(|error| cannot_listen(&error))?;
        let addr = listener.local_addr().map_err(|error| cannot_listen(&error))?;
        let port = Arc::new(LinkPort {
            places: FairPlaces::new(config.links_max),
            handshakes: FairPlaces::new(config.handshakes_max),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            accept_options,
            names: Mutex::default(),
            stop: tokio::sync::watch::Sender::new(false),
        });
        let (alive, ended) = mpsc::channel(1);
        let accepting = tokio::spawn(accept_all(listener, Arc::clone(&port), alive)).abort_handle();
        tracing::info!(%addr, "accepting links");
        Ok(Self { addr, accepting, port, ended })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more links, and tells peers to begin nothing new.
    pub(super) fn leave(&self) {
        self.accepting.abort();
        self.port.names.lock().links().iter().for_each(Link::leave);
    }

    /// Ends all links, and waits until they have ended.
    pub(super) async fn finish(&mut self) {
        self.accepting.abort();
        self.port.stop.send_replace(true);
        // Returns `None` once all links have gone, because nothing is ever sent.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.accepting.abort();
        self.port.stop.send_replace(true);
    }
}

async fn accept_all(listener: TcpListener, port: Arc<LinkPort>, alive: mpsc::Sender<()>) {
    let mut backoff = AcceptBackoff::default();
    loop {
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.note(&error).await;
                continue;
            }
        };
        if let Err(error) = set_options(&stream, &port.accept_options.config) {
            let lines = &port.accept_options.lines;
            log_stranger!(lines, LineKind::Connection, DEBUG, %addr, %error, "a link was lost during setup");
            continue;
        }
        let place = match port.handshakes.enter(network(addr.ip())) {
            Ok(place) => place,
            Err(excess) => {
                refuse_one_more(stream, addr, excess, &port);
                continue;
            }
        };
        let (port, alive) = (Arc::clone(&port), alive.clone());
        tokio::spawn(async move {
            let mut stop = port.stop.subscribe();
            tokio::select! {
                () = take_in(&port, stream, addr, place) => {}
                // Infallible: `LinkPort` holds the sender.
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(alive);
        });
    }
}

/// Refuses an excess connection; beyond the maximum of refusals it is closed silently.
fn refuse_one_more(stream: TcpStream, addr: SocketAddr, excess: Excess, port: &Arc<LinkPort>) {
    let Ok(permit) = Arc::clone(&port.refusals).try_acquire_owned() else { return };
    let max = port.accept_options.config.handshakes_max;
    let error =
        limit("link.handshakes_max", max, excess.what("too many peers are dialing at once"));
    let acceptor = port.accept_options.acceptor.clone();
    tokio::spawn(async move {
        let entered = acceptor.accept(stream, addr, Instant::now() + LINGER).await;
        if let Some((mut socket, _)) = entered {
            part(&mut socket, &encode_answer(&Err(error))).await;
        }
        drop(permit);
    });
}

/// Sends last bytes, if the peer reads them.
async fn part(socket: &mut Socket, word: &[u8]) {
    let said = async {
        send(socket, word).await?;
        drain(socket).await
    };
    let _ = timeout(LINGER, said).await;
}

/// Handles a link from its first byte to its end.
async fn take_in(
    port: &LinkPort,
    stream: TcpStream,
    addr: SocketAddr,
    handshake: FairPlace<IpAddr>,
) {
    let limit = port.accept_options.config.handshake_timeout;
    let deadline = Instant::now() + limit;
    let entered = port.accept_options.acceptor.accept(stream, addr, deadline).await;
    let Some((mut socket, proved)) = entered else { return };
    let known = match timeout_at(deadline.into(), know(port, &mut socket, addr, proved)).await {
        Ok(known) => known,
        Err(_) => {
            let message = "the link was not set up within link.handshake_timeout";
            Err(HandshakeError::Refused(Error::new(ErrorCode::Protocol, message)))
        }
    };
    let known = known.and_then(|(hello, Admission { identity, over })| {
        let registered = register(port, &hello, identity, addr).map_err(HandshakeError::Refused)?;
        Ok((registered, over))
    });
    let (registered, over) = match known {
        Ok(registered) => registered,
        Err(HandshakeError::Gone) => return,
        Err(HandshakeError::Line(line)) => {
            let lines = &port.accept_options.lines;
            log_stranger!(lines, LineKind::LinkRefused, INFO, %addr, "refused: does not begin a link");
            return part(&mut socket, line.as_bytes()).await;
        }
        Err(HandshakeError::Refused(error)) => {
            let (lines, code) = (&port.accept_options.lines, error.code);
            log_stranger!(lines, LineKind::LinkRefused, WARN, %addr, %code, %error, "link refused");
            return part(&mut socket, &encode_answer(&Err(error))).await;
        }
    };
    let welcome = LinkWelcome {
        serves: port.accept_options.intake.as_ref().and_then(WeakLinkIntake::upgrade).is_some(),
        streams_max: u32::try_from(port.accept_options.config.streams_max).unwrap_or(u32::MAX),
    };
    let said = timeout(limit, send(&mut socket, &encode_answer(&Ok(welcome)))).await;
    drop(handshake);
    if matches!(said, Ok(Ok(()))) {
        keep(port, registered, over, socket).await;
    } else {
        // Frees its permit.
        let _ = socket.shutdown().await;
    }
}

/// Reads the hello and authenticates the peer.
async fn know(
    port: &LinkPort,
    socket: &mut Socket,
    addr: SocketAddr,
    identity: Option<Identity>,
) -> Result<(LinkHello, Admission), HandshakeError> {
    let mut hello = read_hello(socket, port.accept_options.config.hello_bytes_max).await?;
    check_name(&hello.name).map_err(HandshakeError::Refused)?;
    let credentials = hello.credentials.take();
    let presented = Presented { name: hello.name.clone(), credentials, addr, identity };
    let admission = port
        .accept_options
        .authenticate
        .authenticate(&presented)
        .await
        .map_err(HandshakeError::Refused)?;
    Ok((hello, admission))
}

/// A registered link, which is removed on drop.
struct Registered<'a> {
    port: &'a LinkPort,
    link: Link,
    idle: Option<Idle>,
    identity: Option<Identity>,
    /// The place of the link in the registry, if it serves.
    place: Option<u64>,
    _place: FairPlace<IpAddr>,
}

impl Registered<'_> {
    /// Returns whether one more line may be written of the link: of one that had to prove who it is, any.
    fn admits(&self, cause: LineKind) -> bool {
        self.identity.is_some() || self.port.accept_options.lines.admits(cause)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.port.names.lock().leave(&self.link.properties().name, place);
        }
    }
}

/// Registers the link and, if it serves, its name.
fn register<'a>(
    port: &'a LinkPort,
    hello: &LinkHello,
    identity: Option<Identity>,
    addr: SocketAddr,
) -> Result<Registered<'a>, Error> {
    let of_links = port.places.enter(network(addr.ip())).map_err(|excess| {
        let what = excess.what("too many links");
        limit("link.links_max", port.accept_options.config.links_max, what)
    })?;
    let properties = LinkProperties {
        name: hello.name.clone(),
        addr,
        peer_serves: hello.serves,
        streams_max: port.accept_options.config.streams_max.min(hello.streams_max as usize),
        called: None,
    };
    let (link, idle) = Link::new(properties, &port.accept_options.config);
    let mut registered =
        Registered { port, link, idle: Some(idle), identity, place: None, _place: of_links };
    if hello.serves {
        let (link, identity) = (registered.link.clone(), registered.identity.clone());
        let entered = port.names.lock().enter(&hello.name, identity, link)?;
        registered.place = Some(entered.place);
        if let Some(before) = entered.replaced {
            let name = &*hello.name;
            log_stranger!(
                registered,
                LineKind::Link,
                WARN,
                name,
                "a newer link replaces an older one"
            );
            before.shut("a newer link took over the name");
        }
    }
    Ok(registered)
}

/// Runs a link to its end.
async fn keep(
    port: &LinkPort,
    mut registered: Registered<'_>,
    over: BoxFuture<'static, ()>,
    socket: Socket,
) {
    let Some(idle) = registered.idle.take() else { return };
    let link = registered.link.clone();
    let LinkProperties { name, addr, peer_serves, .. } = link.properties();
    let who = registered.identity.as_ref().map(|identity| identity.name.as_str());
    log_stranger!(registered, LineKind::Link, INFO, name, %addr, who, serves = peer_serves, "link is up");
    let accepted = async {
        if let Some(accepted) = port.accept_options.accepted.as_ref().filter(|_| *peer_serves) {
            let (link, identity) = (link.clone(), registered.identity.clone());
            // An error means that the receiver is gone.
            let _ = accepted.send(AcceptedLink { link, identity }).await;
        }
        std::future::pending::<()>().await;
    };
    let intake = port.accept_options.intake.as_ref().and_then(WeakLinkIntake::upgrade);
    let leaving = async {
        match &intake {
            Some(intake) => intake.closed().await,
            None => std::future::pending().await,
        }
        link.leave();
        link.drained(&port.accept_options.config).await;
        link.shut("the service has stopped");
        std::future::pending::<()>().await;
    };
    let revoked = async {
        over.await;
        link.shut("the peer is no longer permitted to dial");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = idle.run(socket, false, intake.clone(), &port.accept_options.config) => {}
        () = accepted => {}
        () = leaving => {}
        () = revoked => {}
    }
    log_stranger!(registered, LineKind::Link, INFO, name, %addr, reason = link.reason(), "link ended");
}
