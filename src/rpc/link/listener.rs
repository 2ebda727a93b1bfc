//! [`ReverseListener`]: a client for each server that dials in.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::ToSocketAddrs;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::accept::{AcceptOptions, AcceptedLink, Acceptor, LinkPort};
use super::authenticate::{Anyone, Authenticate};
use super::carrier::Link;
use crate::config::{ClientConfig, Config, LinkConfig, RpcConfig};
use crate::error::Error;
use crate::handle::Wakeful;
use crate::rpc::client::{Client, Connector};
use crate::rpc::server::{LinkIntake, SocketAcceptor};
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{HandshakeLimits, TlsConfig};
use crate::runtime::{require_arbiter, require_tokio};
use crate::session::Identity;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// Maximum number of clients waiting to be taken; further links wait with their client.
const WAITING_MAX: usize = 64;

/// The options of [`ReverseListener::bind`].
#[derive(Clone)]
pub struct ReverseOptions {
    /// The limits of links.
    pub link: LinkConfig,
    /// The configuration of each client; its `addr` only describes the origin.
    pub client: ClientConfig,
    /// Decides who may dial.
    pub authenticate: Arc<dyn Authenticate>,
    /// The service that dialing peers may call in return.
    pub serve: Option<Wakeful>,
    /// Requires TLS of dialing peers; a peer's certificate is its
    /// [identity](super::Presented::identity). The files are checked for changes every 5 s.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
}

impl ReverseOptions {
    /// Returns the defaults, for peers that `authenticate` admits. Serves nothing in return.
    pub fn new(authenticate: impl Authenticate) -> Self {
        Self {
            link: LinkConfig::new(),
            client: ClientConfig::new("over a link"),
            authenticate: Arc::new(authenticate),
            serve: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Returns the defaults, for every peer that reaches the port.
    pub fn for_anyone() -> Self {
        Self::new(Anyone)
    }
}

impl ReverseOptions {
    #[cfg(feature = "tls")]
    fn acceptor(&self, rpc: &RpcConfig, lines: &StrangerLines) -> Result<SocketAcceptor, Error> {
        let limits = HandshakeLimits::of_links(&self.link, rpc, lines.clone());
        SocketAcceptor::open(self.tls.clone(), limits)
    }

    #[cfg(not(feature = "tls"))]
    fn acceptor(&self, _: &RpcConfig, _: &StrangerLines) -> Result<SocketAcceptor, Error> {
        Ok(SocketAcceptor::Plain)
    }
}

impl fmt::Debug for ReverseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReverseOptions");
        shown.field("link", &self.link).field("serve", &self.serve).finish_non_exhaustive()
    }
}

/// A server that has dialed in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dialer {
    /// The name of the server.
    pub name: String,
    /// The address of the server.
    pub addr: SocketAddr,
    /// The proved identity of the server; `None` if every peer may dial.
    pub identity: Option<Identity>,
}

/// Listens for servers that dial in, and returns a [`Client`] of each: a `Stream`, which lasts
/// until the listener is dropped or [stopped](Self::stop). A client lasts as long as its link; a
/// server that dials again gets a new one. A client that is not taken from the stream waits, and
/// occupies a link.
///
/// ```
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use wakeful::link::{DialOptions, ReverseListener, ReverseOptions, SharedToken};
/// use wakeful::{Config, Methods, Service, Wakeful};
///
/// let token = SharedToken::new("6f1ed002ab5595859014ebf0951522d9")?;
/// let shown = token.credentials();
/// let mut listener =
///     ReverseListener::bind("127.0.0.1:0", ReverseOptions::new(token)).await?;
///
/// // Elsewhere, behind a firewall:
/// let wakeful = Wakeful::start(Config::new())?;
/// let hello = Service::new("HelloService")
///     .method("Hello", async |name: String, _| Ok(format!("hello:{name}")));
/// wakeful.register(hello)?;
/// let options = DialOptions { credentials: Some(shown), ..DialOptions::new("inside") };
/// wakeful.dial(listener.addr().to_string(), options).await?;
///
/// let (client, dialer) = listener.next().await.ok_or_else(|| wakeful::Error::failed("over"))?;
/// assert_eq!(dialer.name, "inside");
/// let said: String = client.invoke("HelloService.Hello", "world").await?;
/// assert_eq!(said, "hello:world");
/// wakeful.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct ReverseListener {
    acceptor: Acceptor,
    clients: mpsc::Receiver<(Client, Dialer)>,
    making: AbortHandle,
    template: ClientConfig,
}

impl ReverseListener {
    /// Listens at `addr`, on the current tokio runtime; it must be an arbiter if `options.serve` is
    /// set.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the address cannot be bound, or the service to be served has stopped;
    /// `InvalidArgument` if the limits are invalid, a file of `tls` cannot be used, or the call is
    /// made outside such a runtime.
    pub async fn bind(addr: impl ToSocketAddrs, options: ReverseOptions) -> Result<Self, Error> {
        require_tokio("ReverseListener::bind")?;
        // As the service has them, if one is served.
        let (rpc, lines) = match &options.serve {
            Some(wakeful) => (wakeful.rpc(), wakeful.strangers().clone()),
            None => {
                let rpc = Config::new().rpc;
                let lines = StrangerLines::new(&rpc);
                (Arc::new(rpc), lines)
            }
        };
        let acceptor = options.acceptor(&rpc, &lines)?;
        let ReverseOptions { link: config, client: template, authenticate, serve, .. } = options;
        let intake = match serve {
            Some(wakeful) => {
                require_arbiter("ReverseListener::bind, with `serve`,")?;
                Some(LinkIntake::open(&wakeful).await?.downgrade())
            }
            None => None,
        };
        let (accepted, coming) = mpsc::channel(WAITING_MAX);
        let accept_options = AcceptOptions {
            config,
            acceptor,
            authenticate,
            lines: lines.clone(),
            intake,
            accepted: Some(accepted),
        };
        let acceptor = Acceptor::bind(addr, accept_options).await?;
        let (made, clients) = mpsc::channel(WAITING_MAX);
        let making = tokio::spawn(make_all(coming, made, template.clone(), lines)).abort_handle();
        Ok(Self { acceptor, clients, making, template })
    }

    /// Returns the bound address.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// Returns the next server that dials in; `None` once stopped.
    ///
    /// Cancel: harmless.
    pub async fn next(&mut self) -> Option<(Client, Dialer)> {
        self.clients.recv().await
    }

    /// Returns the names of connected peers that serve, in order.
    pub fn names(&self) -> Vec<String> {
        self.acceptor.port.names()
    }

    /// Returns a client of the server named `name`, now and whenever one has the name: it outlives
    /// the link, and continues over the next. An empty name means the only server.
    ///
    /// # Errors
    ///
    /// `NoSuchServer` if there is none now; otherwise those of [`Client::connect_with`].
    ///
    /// Cancel: leaves nothing behind.
    pub async fn client(&self, name: impl Into<String>) -> Result<Client, Error> {
        let name = name.into();
        let addr = format!("{name} over a link");
        let opener = NamedLinkOpener { port: Arc::clone(&self.acceptor.port), name };
        Client::over(Arc::new(opener), ClientConfig { addr, ..self.template.clone() }).await
    }

    /// Accepts no more links and ends the existing ones with their requests. Returns when they have
    /// ended.
    pub async fn stop(mut self) {
        self.acceptor.finish().await;
    }
}

impl Drop for ReverseListener {
    fn drop(&mut self) {
        self.making.abort();
    }
}

impl Stream for ReverseListener {
    type Item = (Client, Dialer);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().clients.poll_recv(cx)
    }
}

impl fmt::Debug for ReverseListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReverseListener");
        shown.field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// Makes a client of each link, concurrently: a slow one delays no other.
async fn make_all(
    mut coming: mpsc::Receiver<AcceptedLink>,
    made: mpsc::Sender<(Client, Dialer)>,
    template: ClientConfig,
    lines: StrangerLines,
) {
    let mut making = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = coming.recv() => {
                let Some(accepted) = accepted else { return };
                making.spawn(make(accepted, made.clone(), template.clone(), lines.clone()));
            }
            Some(_) = making.join_next() => {}
        }
    }
}

async fn make(
    AcceptedLink { link, identity }: AcceptedLink,
    made: mpsc::Sender<(Client, Dialer)>,
    template: ClientConfig,
    lines: StrangerLines,
) {
    let properties = link.properties();
    let (name, addr) = (properties.name.clone(), properties.addr);
    let config = ClientConfig { addr: format!("{name} at {addr}"), ..template };
    match Client::over(Arc::new(LinkOpener(link.clone())), config).await {
        Ok(client) => {
            tokio::select! {
                // An error means that the receiver is gone.
                _ = made.send((client, Dialer { name, addr, identity })) => {}
                () = link.ended() => {}
            }
        }
        Err(error) => {
            let what = "a server dialed in, but does not serve; closing";
            log_stranger!(lines, LineKind::Link, WARN, name, %addr, %error, "{what}");
            link.shut(error.to_string());
        }
    }
}

/// Opens connections over one link, as long as it lives.
struct LinkOpener(Link);

impl Connector for LinkOpener {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        self.0.open().boxed()
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

/// Opens connections over the link that has a name at the time.
struct NamedLinkOpener {
    port: Arc<LinkPort>,
    name: String,
}

impl Connector for NamedLinkOpener {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        async { self.port.find(&self.name)?.open().await }.boxed()
    }

    fn is_over(&self) -> bool {
        false
    }
}
