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
use super::carrier::{About, Idle, Link};
use super::dial::set_options;
use super::hello::{Hello, Unfit, Welcome, encode_answer, read_hello, say};
use super::registry::Registry;
use super::{check_name, limit};
use crate::address::{cannot_listen, network};
use crate::config::LinkConfig;
use crate::error::{Error, ErrorCode};
use crate::fair::Excess;
use crate::fair_places::{FairPlace, FairPlaces};
use crate::rpc::server::{DoorKey, Entrance, Hindrance, LINGER, hear_out};
use crate::rpc::socket::Socket;
use crate::session::Identity;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// Maximum number of concurrent refusals for excess connections.
const REFUSALS_MAX: usize = 64;

/// An accepted link.
pub(super) struct Come {
    pub(super) link: Link,
    pub(super) identity: Option<Identity>,
}

/// Accepts links on one port. Dropping it ends them.
pub(super) struct Acceptor {
    addr: SocketAddr,
    accepting: AbortHandle,
    pub(super) house: Arc<House>,
    /// Closed when the last link has ended.
    ended: mpsc::Receiver<()>,
}

/// The conditions under which links are accepted.
pub(super) struct Terms {
    pub(super) config: LinkConfig,
    pub(super) entrance: Entrance,
    pub(super) authenticate: Arc<dyn Authenticate>,
    pub(super) lines: StrangerLines,
    /// The service that this end offers to peers.
    pub(super) door: Option<DoorKey>,
    /// Receives each link whose peer serves.
    pub(super) come: Option<mpsc::Sender<Come>>,
}

/// The shared state of all links of one port.
pub(super) struct House {
    terms: Terms,
    names: Mutex<Registry<Link>>,
    /// Counts links by the address of the peer.
    places: FairPlaces<IpAddr>,
    /// Counts connections that have not authenticated yet, by their address.
    handshakes: FairPlaces<IpAddr>,
    refusals: Arc<Semaphore>,
    /// Set when shutdown was requested.
    stop: tokio::sync::watch::Sender<bool>,
}

impl House {
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
    pub(super) async fn bind(addr: impl ToSocketAddrs, terms: Terms) -> Result<Self, Error> {
        let config = &terms.config;
        config.check()?;
        let listener = TcpListener::bind(addr).await.map_err(|error| cannot_listen(&error))?;
        let addr = listener.local_addr().map_err(|error| cannot_listen(&error))?;
        let house = Arc::new(House {
            places: FairPlaces::new(config.links_max),
            handshakes: FairPlaces::new(config.handshakes_max),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            terms,
            names: Mutex::default(),
            stop: tokio::sync::watch::Sender::new(false),
        });
        let (alive, ended) = mpsc::channel(1);
        let accepting =
            tokio::spawn(accept_all(listener, Arc::clone(&house), alive)).abort_handle();
        tracing::info!(%addr, "accepting links");
        Ok(Self { addr, accepting, house, ended })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more links, and tells peers to begin nothing new.
    pub(super) fn leave(&self) {
        self.accepting.abort();
        self.house.names.lock().links().iter().for_each(Link::leave);
    }

    /// Ends all links, and waits until they have ended.
    pub(super) async fn finish(&mut self) {
        self.accepting.abort();
        self.house.stop.send_replace(true);
        // Returns `None` once all links have gone, because nothing is ever sent.
        let _ = self.ended.recv().await;
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.accepting.abort();
        self.house.stop.send_replace(true);
    }
}

async fn accept_all(listener: TcpListener, house: Arc<House>, alive: mpsc::Sender<()>) {
    let mut hindrance = Hindrance::default();
    loop {
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                hindrance.note(&error).await;
                continue;
            }
        };
        if let Err(error) = set_options(&stream, &house.terms.config) {
            let lines = &house.terms.lines;
            log_stranger!(lines, LineKind::Connection, DEBUG, %addr, %error, "a link was lost during setup");
            continue;
        }
        let place = match house.handshakes.enter(Some(network(addr.ip()))) {
            Ok(place) => place,
            Err(excess) => {
                refuse_one_more(stream, addr, excess, &house);
                continue;
            }
        };
        let (house, alive) = (Arc::clone(&house), alive.clone());
        tokio::spawn(async move {
            let mut stop = house.stop.subscribe();
            tokio::select! {
                () = take_in(&house, stream, addr, place) => {}
                // Infallible: `House` holds the sender.
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(alive);
        });
    }
}

/// Refuses an excess connection; beyond the maximum of refusals it is closed silently.
fn refuse_one_more(stream: TcpStream, addr: SocketAddr, excess: Excess, house: &Arc<House>) {
    let Ok(permit) = Arc::clone(&house.refusals).try_acquire_owned() else { return };
    let max = house.terms.config.handshakes_max;
    let error =
        limit("link.handshakes_max", max, excess.what("too many peers are dialing at once"));
    let entrance = house.terms.entrance.clone();
    tokio::spawn(async move {
        let entered = entrance.enter(stream, addr, Instant::now() + LINGER).await;
        if let Some((mut socket, _)) = entered {
            part(&mut socket, &encode_answer(&Err(error))).await;
        }
        drop(permit);
    });
}

/// Sends last bytes, if the peer reads them.
async fn part(socket: &mut Socket, word: &[u8]) {
    let said = async {
        say(socket, word).await?;
        hear_out(socket).await
    };
    let _ = timeout(LINGER, said).await;
}

/// Handles a link from its first byte to its end.
async fn take_in(house: &House, stream: TcpStream, addr: SocketAddr, handshake: FairPlace<IpAddr>) {
    let limit = house.terms.config.handshake_timeout;
    let deadline = Instant::now() + limit;
    let entered = house.terms.entrance.enter(stream, addr, deadline).await;
    let Some((mut socket, proved)) = entered else { return };
    let known = match timeout_at(deadline.into(), know(house, &mut socket, addr, proved)).await {
        Ok(known) => known,
        Err(_) => {
            let message = "the link was not set up within link.handshake_timeout";
            Err(Unfit::Refused(Error::new(ErrorCode::Protocol, message)))
        }
    };
    let known = known.and_then(|(hello, Admission { identity, over })| {
        let registered = register(house, &hello, identity, addr).map_err(Unfit::Refused)?;
        Ok((registered, over))
    });
    let (registered, over) = match known {
        Ok(registered) => registered,
        Err(Unfit::Gone) => return,
        Err(Unfit::Line(line)) => {
            let lines = &house.terms.lines;
            log_stranger!(lines, LineKind::LinkRefused, INFO, %addr, "refused: does not begin a link");
            return part(&mut socket, line.as_bytes()).await;
        }
        Err(Unfit::Refused(error)) => {
            let (lines, code) = (&house.terms.lines, error.code);
            log_stranger!(lines, LineKind::LinkRefused, WARN, %addr, %code, %error, "link refused");
            return part(&mut socket, &encode_answer(&Err(error))).await;
        }
    };
    let welcome = Welcome {
        serves: house.terms.door.as_ref().and_then(DoorKey::door).is_some(),
        streams_max: u32::try_from(house.terms.config.streams_max).unwrap_or(u32::MAX),
    };
    let said = timeout(limit, say(&mut socket, &encode_answer(&Ok(welcome)))).await;
    drop(handshake);
    if matches!(said, Ok(Ok(()))) {
        keep(house, registered, over, socket).await;
    } else {
        // Frees its permit.
        let _ = socket.shutdown().await;
    }
}

/// Reads the hello and authenticates the peer.
async fn know(
    house: &House,
    socket: &mut Socket,
    addr: SocketAddr,
    identity: Option<Identity>,
) -> Result<(Hello, Admission), Unfit> {
    let mut hello = read_hello(socket, house.terms.config.hello_bytes_max).await?;
    check_name(&hello.name).map_err(Unfit::Refused)?;
    let credentials = hello.credentials.take();
    let presented = Presented { name: hello.name.clone(), credentials, addr, identity };
    let admission =
        house.terms.authenticate.authenticate(&presented).await.map_err(Unfit::Refused)?;
    Ok((hello, admission))
}

/// A registered link, which is removed on drop.
struct Registered<'a> {
    house: &'a House,
    link: Link,
    idle: Option<Idle>,
    identity: Option<Identity>,
    /// Its place in the registry, if it serves.
    place: Option<u64>,
    _place: FairPlace<IpAddr>,
}

impl Registered<'_> {
    /// Returns whether one more line may be written of the link: of one that had to prove who it is, any.
    fn admits(&self, cause: LineKind) -> bool {
        self.identity.is_some() || self.house.terms.lines.admits(cause)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.house.names.lock().leave(&self.link.about().name, place);
        }
    }
}

/// Registers the link and, if it serves, its name.
fn register<'a>(
    house: &'a House,
    hello: &Hello,
    identity: Option<Identity>,
    addr: SocketAddr,
) -> Result<Registered<'a>, Error> {
    let of_links = house.places.enter(Some(network(addr.ip()))).map_err(|excess| {
        let what = excess.what("too many links");
        limit("link.links_max", house.terms.config.links_max, what)
    })?;
    let about = About {
        name: hello.name.clone(),
        addr,
        peer_serves: hello.serves,
        streams_max: house.terms.config.streams_max.min(hello.streams_max as usize),
        called: None,
    };
    let (link, idle) = Link::new(about, &house.terms.config);
    let mut registered =
        Registered { house, link, idle: Some(idle), identity, place: None, _place: of_links };
    if hello.serves {
        let (link, identity) = (registered.link.clone(), registered.identity.clone());
        let entered = house.names.lock().enter(&hello.name, identity, link)?;
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
    house: &House,
    mut registered: Registered<'_>,
    over: BoxFuture<'static, ()>,
    socket: Socket,
) {
    let Some(idle) = registered.idle.take() else { return };
    let link = registered.link.clone();
    let About { name, addr, peer_serves, .. } = link.about();
    let who = registered.identity.as_ref().map(|identity| identity.name.as_str());
    log_stranger!(registered, LineKind::Link, INFO, name, %addr, who, serves = peer_serves, "link is up");
    let come = async {
        if let Some(come) = house.terms.come.as_ref().filter(|_| *peer_serves) {
            let (link, identity) = (link.clone(), registered.identity.clone());
            // An error means that the receiver is gone.
            let _ = come.send(Come { link, identity }).await;
        }
        std::future::pending::<()>().await;
    };
    let door = house.terms.door.as_ref().and_then(DoorKey::door);
    let leaving = async {
        match &door {
            Some(door) => door.closed().await,
            None => std::future::pending().await,
        }
        link.leave();
        link.drained(&house.terms.config).await;
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
        () = idle.run(socket, false, door.clone(), &house.terms.config) => {}
        () = come => {}
        () = leaving => {}
        () = revoked => {}
    }
    log_stranger!(registered, LineKind::Link, INFO, name, %addr, reason = link.reason(), "link ended");
}
