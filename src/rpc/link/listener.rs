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

use super::accept::{Acceptor, Come, House, Terms};
use super::authenticate::{Anyone, Authenticate};
use super::carrier::Link;
#[cfg(feature = "tls")]
use crate::config::Config;
use crate::config::{ClientConfig, LinkConfig};
use crate::error::Error;
use crate::rpc::client::{Client, Opener};
use crate::rpc::server::Entrance;
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{DoorLimits, TlsConfig};
use crate::runtime::{require_arbiter, require_tokio};
use crate::service::Wakeful;
use crate::session::Identity;

/// How many clients wait for whoever takes them; links beyond wait with their client.
const WAITING_MAX: usize = 64;

/// What [`ReverseListener::bind`] takes beside an address.
#[derive(Clone)]
pub struct ReverseOptions {
    /// The bounds of the links.
    pub link: LinkConfig,
    /// What each client is made with; its `addr` says only where it is a client of.
    pub client: ClientConfig,
    /// Who may dial.
    pub authenticate: Arc<dyn Authenticate>,
    /// What whoever dials may call in return.
    pub serve: Option<Wakeful>,
    /// Whoever dials speaks TLS; a certificate that it shows is its
    /// [identity](super::Presented::identity). The files are looked at again every 5 s.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
}

impl ReverseOptions {
    /// The defaults, for those whom `authenticate` knows. Serves nothing in return.
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

    /// The defaults, for whoever reaches the port.
    pub fn for_anyone() -> Self {
        Self::new(Anyone)
    }
}

impl ReverseOptions {
    #[cfg(feature = "tls")]
    fn entrance(&self) -> Result<Entrance, Error> {
        let rpc = Config::new().rpc;
        Entrance::open(self.tls.clone(), DoorLimits::of_links(&self.link, &rpc))
    }

    #[cfg(not(feature = "tls"))]
    fn entrance(&self) -> Result<Entrance, Error> {
        Ok(Entrance::Plain)
    }
}

impl fmt::Debug for ReverseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReverseOptions");
        shown.field("link", &self.link).field("serve", &self.serve).finish_non_exhaustive()
    }
}

/// Who has dialed in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dialer {
    /// What it is called.
    pub name: String,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// Who it has proved to be; `None` where anyone may dial.
    pub identity: Option<Identity>,
}

/// Listens for servers that dial in, and gives a [`Client`] of each: a `Stream`, which lasts until
/// the listener is dropped or [stopped](Self::stop). A client lasts as long as its link; of a server
/// that comes again there is another. Who is not taken from the stream waits, and costs a link.
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
    /// Listens at `addr`, on the tokio runtime that this is called on; on an arbiter if
    /// `options.serve` says what to serve.
    ///
    /// # Errors
    /// `Unavailable` if the address cannot be bound, or the service to be served has stopped;
    /// `InvalidArgument` if the limits make no sense, a file of `tls` cannot be used, or the call is
    /// made outside such a runtime.
    pub async fn bind(addr: impl ToSocketAddrs, options: ReverseOptions) -> Result<Self, Error> {
        require_tokio("ReverseListener::bind")?;
        let entrance = options.entrance()?;
        let ReverseOptions { link: config, client: template, authenticate, serve, .. } = options;
        let door = match serve {
            Some(wakeful) => {
                require_arbiter("ReverseListener::bind, with `serve`,")?;
                Some(wakeful.link_door().await?.key())
            }
            None => None,
        };
        let (come, coming) = mpsc::channel(WAITING_MAX);
        let acceptor =
            Acceptor::bind(addr, Terms { config, entrance, authenticate, door, come: Some(come) })
                .await?;
        let (made, clients) = mpsc::channel(WAITING_MAX);
        let making = tokio::spawn(make_all(coming, made, template.clone())).abort_handle();
        Ok(Self { acceptor, clients, making, template })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The next server that dials in; `None` when it is stopped.
    ///
    /// Cancel: harmless.
    pub async fn next(&mut self) -> Option<(Client, Dialer)> {
        self.clients.recv().await
    }

    /// The names of those who are there and serve, in order.
    pub fn names(&self) -> Vec<String> {
        self.acceptor.house.names()
    }

    /// A client of the server that is called `name` now and whenever one is: it outlives the link,
    /// and goes on over the next. Without a name, of the only one.
    ///
    /// # Errors
    /// `NoSuchServer` if there is none now; else as [`Client::connect_with`].
    ///
    /// Cancel: leaves nothing behind.
    pub async fn client(&self, name: impl Into<String>) -> Result<Client, Error> {
        let name = name.into();
        let addr = format!("{name} over a link");
        let opener = Named { house: Arc::clone(&self.acceptor.house), name };
        Client::over(Arc::new(opener), ClientConfig { addr, ..self.template.clone() }).await
    }

    /// Takes no more links in and ends those there are, with what is under way. Returns when it has.
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

/// Makes a client of each link that comes, side by side: one that is slow holds up nobody.
async fn make_all(
    mut coming: mpsc::Receiver<Come>,
    made: mpsc::Sender<(Client, Dialer)>,
    template: ClientConfig,
) {
    let mut making = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            come = coming.recv() => {
                let Some(come) = come else { return };
                making.spawn(make(come, made.clone(), template.clone()));
            }
            Some(_) = making.join_next() => {}
        }
    }
}

async fn make(
    Come { link, identity }: Come,
    made: mpsc::Sender<(Client, Dialer)>,
    template: ClientConfig,
) {
    let about = link.about();
    let (name, addr) = (about.name.clone(), about.addr);
    let config = ClientConfig { addr: format!("{name} at {addr}"), ..template };
    match Client::over(Arc::new(Bound(link.clone())), config).await {
        Ok(client) => {
            tokio::select! {
                // An error: nobody wants it.
                _ = made.send((client, Dialer { name, addr, identity })) => {}
                () = link.ended() => {}
            }
        }
        Err(error) => {
            tracing::warn!(name, %addr, %error, "a server dialed in, but does not serve; closing");
            link.shut(error.to_string());
        }
    }
}

/// The way over one link, as long as it lives.
struct Bound(Link);

impl Opener for Bound {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        self.0.open().boxed()
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

/// The way over whichever link has a name.
struct Named {
    house: Arc<House>,
    name: String,
}

impl Opener for Named {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        async { self.house.find(&self.name)?.open().await }.boxed()
    }

    fn is_over(&self) -> bool {
        false
    }
}
