//! [`Server`]: the door of one listener; accepts connections and runs each as a task.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::admission::{AcceptBackoff, admit};
use super::connection::{Connection, LINGER};
use super::outbox::{Outbox, Outgoing};
use super::output::drain;
use super::protocol::Protocol;
use crate::addresses::AddressSlot;
use crate::buffered::BufferedBytes;
use crate::config::RpcConfig;
use crate::environment;
use crate::error::Error;
use crate::handle::{Door, Wakeful};
use crate::session::{Identity, Peer, Session};
use crate::stranger_lines::{LineKind, log_stranger};

/// Maximum number of concurrent refusals of connections.
const REFUSALS_MAX: usize = 64;

/// The outboxes of the connections of one door, by the id of the connection.
type Open = Arc<Mutex<HashMap<u64, Arc<Outbox>, environment::RandomState>>>;

/// A listener's handshake, and the protocol of its connections.
pub(crate) trait Accept: Clone + 'static {
    /// The carrier of a connection.
    type Socket: AsyncRead + AsyncWrite + Unpin + 'static;
    /// The protocol of a connection.
    type Protocol: Protocol;

    /// Returns the carrier of the connection, and the identity that the peer has proved; `None` if
    /// the handshake fails or lasts beyond `deadline`. Cancel: the socket is closed.
    async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<(Self::Socket, Option<Identity>)>;

    /// Returns true if [`accept`](Self::accept) waits for the peer.
    fn has_handshake(&self) -> bool {
        false
    }

    /// Returns the protocol of a new connection to `node`.
    fn protocol(&self, node: &Wakeful) -> Self::Protocol;

    /// Returns the bytes to send to a connection that is not admitted.
    fn refusal(&self, error: &Error) -> Vec<u8>;
}

/// The connections of one listening socket, or of one source of links.
pub(crate) struct Server {
    accept: JoinHandle<()>,
    open: Open,
    /// Closed when the last connection has ended; each holds a sender.
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// Starts to accept connections from a listening socket, with the handshake of `acceptor`. Must
    /// be called on an arbiter.
    pub(crate) fn serve(
        node: &Wakeful,
        listener: TcpListener,
        acceptor: impl Accept,
    ) -> io::Result<(Self, SocketAddr)> {
        let addr = listener.local_addr()?;
        let (server, _) = Self::over(node, |guests| accept_all(listener, guests, acceptor));
        Ok((server, addr))
    }

    /// Starts `accept`, which admits connections through its [`Guests`]. Also returns a sender: until
    /// it is dropped, the stop waits for the server as for a connection. Must be called on an arbiter.
    pub(crate) fn over<F: Future<Output = ()> + 'static>(
        node: &Wakeful,
        accept: impl FnOnce(Guests) -> F,
    ) -> (Self, mpsc::Sender<()>) {
        let open = Open::default();
        let (alive, ended) = mpsc::channel(1);
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let guests =
            Guests { node: node.clone(), open: Arc::clone(&open), alive: alive.clone(), refusals };
        (Self { accept: actix_rt::spawn(accept(guests)), open, ended }, alive)
    }
}

impl Door for Server {
    fn is_over(&self) -> bool {
        self.accept.is_finished() && self.ended.is_closed()
    }

    fn say_goodbye(&self) {
        self.accept.abort();
        for outbox in self.open.lock().values() {
            outbox.push(Outgoing::Goodbye);
        }
    }

    fn finish<'a>(&'a mut self, grace: Duration, drained: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        let open = Arc::clone(&self.open);
        let tell = async move {
            drained.await;
            open.lock().values().for_each(|outbox| outbox.push(Outgoing::Drained));
            std::future::pending().await
        };
        let finish = async move {
            tokio::select! {
                biased;
                () = self.wait(grace) => {}
                never = tell => never,
            }
        };
        finish.boxed()
    }
}

impl Server {
    async fn wait(&mut self, grace: Duration) {
        let mut patience = grace;
        while tokio::time::timeout(patience, self.ended.recv()).await.is_err() {
            for outbox in self.open.lock().values() {
                outbox.close();
            }
            // Once more, for a connection that was being accepted.
            patience = LINGER;
        }
    }
}

/// Admits connections to a door. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guests {
    node: Wakeful,
    open: Open,
    alive: mpsc::Sender<()>,
    refusals: Arc<Semaphore>,
}

impl Guests {
    /// Returns the node of the door.
    pub(crate) fn node(&self) -> &Wakeful {
        &self.node
    }

    /// Admits one more connection, from the address `peer` unless it comes over a link.
    ///
    /// # Errors
    /// `LimitExceeded`, naming the limit that is reached.
    pub(crate) fn admit(&self, peer: Option<IpAddr>) -> Result<Admitted, Error> {
        let place = admit(&self.node, peer)?;
        let connections = self.node.connections();
        let rpc = self.node.rpc();
        let (own_max, total_max) = (rpc.output_bytes_max, rpc.total_output_bytes_max);
        let buffered = BufferedBytes::new(self.node.buffered(), own_max, total_max);
        connections.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted {
            id: environment::next_owner(),
            outbox: Arc::new(Outbox::new(buffered)),
            connections: Arc::clone(connections),
            node: self.node.clone(),
            open: Arc::clone(&self.open),
            _alive: self.alive.clone(),
            _place: place,
        };
        self.open.lock().insert(admitted.id, Arc::clone(&admitted.outbox));
        Ok(admitted)
    }

    /// Sends a refusal to a connection, and closes it; closes it at once if too many refusals are in
    /// progress.
    pub(crate) fn refuse<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        &self,
        arriving: impl Future<Output = Option<S>> + 'static,
        refusal: impl FnOnce() -> Vec<u8>,
    ) {
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        let refusal = refusal();
        let alive = self.alive.clone();
        actix_rt::spawn(async move {
            if let Some(socket) = arriving.await {
                // A peer that does not read within this time misses the refusal.
                let _ = tokio::time::timeout(LINGER, refuse(socket, &refusal)).await;
            }
            drop((permit, alive));
        });
    }
}

async fn accept_all(listener: TcpListener, guests: Guests, acceptor: impl Accept) {
    let mut backoff = AcceptBackoff::default();
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.note(&error).await;
                continue;
            }
        };
        let config = guests.node.rpc();
        if let Err(error) = set_options(&socket, &config) {
            let lines = guests.node.strangers();
            log_stranger!(lines, LineKind::Connection, DEBUG, %peer, %error, "connection lost while it was set up");
            continue;
        }
        let acceptor = acceptor.clone();
        match guests.admit(Some(peer.ip())) {
            Ok(admitted) => {
                let in_time = config.handshake_timeout;
                actix_rt::spawn(admitted.run_from(socket, peer, acceptor, in_time));
            }
            Err(error) => {
                let told = acceptor.clone();
                let arriving = async move {
                    let entered = acceptor.accept(socket, peer, environment::now() + LINGER).await;
                    entered.map(|(socket, _)| socket)
                };
                guests.refuse(arriving, || told.refusal(&error));
            }
        }
    }
}

/// Sets the options of every accepted socket.
pub(crate) fn set_options(socket: &TcpStream, config: &RpcConfig) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let unanswered = config.ping_interval + config.ping_timeout;
    let socket = socket2::SockRef::from(socket);
    // The kernel probes peers that cannot be pinged: JSON has no pings.
    let second = Duration::from_secs(1);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(config.ping_interval.max(second))
        .with_interval((config.ping_timeout / 3).max(second));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(unanswered))
}

/// Sends a refusal, and closes.
pub(crate) async fn refuse(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    refusal: &[u8],
) -> io::Result<()> {
    socket.write_all(refusal).await?;
    drain(&mut socket).await
}

/// An admitted connection; counted until it is dropped.
pub(crate) struct Admitted {
    id: u64,
    outbox: Arc<Outbox>,
    connections: Arc<AtomicU64>,
    node: Wakeful,
    open: Open,
    _alive: mpsc::Sender<()>,
    _place: Option<AddressSlot>,
}

impl Admitted {
    /// Serves a socket after the handshake of `acceptor`, which may take up to `in_time`.
    async fn run_from<A: Accept>(
        self,
        socket: TcpStream,
        peer: SocketAddr,
        acceptor: A,
        in_time: Duration,
    ) {
        let session = Arc::new(Session::new(self.id, Peer::Tcp(peer)));
        let accepted = environment::now();
        let entered = tokio::select! {
            entered = acceptor.accept(socket, peer, accepted + in_time) => entered,
            // The node stops: without a protocol, there is no request to answer.
            _ = std::future::poll_fn(|cx| self.outbox.poll(true, cx)), if acceptor.has_handshake() => None,
        };
        if let Some((socket, identity)) = entered {
            session.set_identity(identity);
            let (node, outbox) = (self.node.clone(), Arc::clone(&self.outbox));
            let protocol = acceptor.protocol(&node);
            let connection = Connection::new(socket, protocol, session, node, outbox);
            connection.since(accepted).run().await;
        }
    }

    /// Serves a socket, and sends a goodbye when `left` completes.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin, W: Protocol>(
        self,
        socket: S,
        protocol: W,
        peer: Peer,
        left: BoxFuture<'static, ()>,
    ) {
        let session = Arc::new(Session::new(self.id, peer));
        let (node, outbox) = (self.node.clone(), Arc::clone(&self.outbox));
        let mut run =
            std::pin::pin!(Connection::new(socket, protocol, session, node, outbox).run());
        tokio::select! {
            biased;
            () = &mut run => {}
            () = left => {
                self.outbox.push(Outgoing::Goodbye);
                run.await;
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[actix_rt::test]
    async fn z16_the_kernel_gives_a_silent_peer_up_as_soon_as_pings_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (socket, config) = (accepted.unwrap().0, Config::new().rpc);
        set_options(&socket, &config).unwrap();
        let options = socket2::SockRef::from(&socket);
        let timeout = options.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(config.ping_interval + config.ping_timeout));
        drop(peer);
    }
}
