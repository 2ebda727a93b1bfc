//! The TCP door: accepts connections and runs each as a task.

mod admission;
mod audit;
mod authorization;
mod calls;
mod client_name;
mod connection;
mod control_frames;
#[cfg(any(test, feature = "internals"))]
mod decoded;
mod deferred;
mod dispatcher;
mod encoder;
mod inbox;
mod job_guard;
mod jobs;
mod large_values;
mod links;
mod outbox;
mod output;
mod pending_request;
mod push_writer;
mod request_log;
mod socket_acceptor;
mod streams;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use self::admission::admit;
pub(crate) use self::admission::check_descriptors;
#[cfg(feature = "cli")]
pub(crate) use self::admission::descriptors;
pub(in crate::rpc) use self::admission::{AcceptBackoff, check_reserve, too_many, too_many_from};
use self::connection::Connection;
pub(in crate::rpc) use self::connection::LINGER;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::decoded::decoded;
pub(in crate::rpc) use self::inbox::{HELLO_BYTES_MAX, is_undecided, not_wakeful};
pub(crate) use self::links::{IncomingConnection, LinkIntake, WeakLinkIntake};
use self::outbox::{Outbox, Outgoing};
pub(in crate::rpc) use self::output::drain;
pub(crate) use self::socket_acceptor::SocketAcceptor;
use super::codec::encode_frame;
use super::frame::{Kind, PREFACE};
use super::proto::WireError;
use super::socket::Socket;
use crate::addresses::AddressSlot;
use crate::buffered::BufferedBytes;
use crate::config::RpcConfig;
use crate::environment;
use crate::error::Error;
use crate::handle::{Door, Wakeful};
use crate::session::{Peer, Session};
use crate::stranger_lines::{LineKind, log_stranger};

/// How many of those who are too many are told so at once.
const REFUSALS_MAX: usize = 64;

/// The connections of one door, by number.
type OpenConnections = Arc<Mutex<HashMap<u64, Arc<Outbox>, environment::RandomState>>>;

/// One listening socket, or what comes over the links of one place, and its connections.
pub(crate) struct Server {
    accept: JoinHandle<()>,
    open: OpenConnections,
    /// Every connection holds a sender; closed when the last has ended.
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// Starts to accept the connections of a socket that listens, which come in through `acceptor`.
    pub(crate) fn serve(
        wakeful: &Wakeful,
        listener: TcpListener,
        acceptor: SocketAcceptor,
    ) -> io::Result<(Self, SocketAddr)> {
        let addr = listener.local_addr()?;
        let open = Arc::default();
        let (alive, ended) = mpsc::channel(1);
        let tls = acceptor.is_tls();
        let accepting = accept_all(listener, wakeful.clone(), acceptor, Arc::clone(&open), alive);
        let accept = actix_rt::spawn(accepting);
        tracing::info!(%addr, tls, "listening");
        Ok((Self { accept, open, ended }, addr))
    }
}

impl Door for Server {
    fn is_over(&self) -> bool {
        self.accept.is_finished() && self.ended.is_closed()
    }

    fn send_goodbye(&self) {
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
            // Then again, for one that was being accepted just now.
            patience = LINGER;
        }
    }
}

async fn accept_all(
    listener: TcpListener,
    wakeful: Wakeful,
    acceptor: SocketAcceptor,
    open: OpenConnections,
    alive: mpsc::Sender<()>,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut backoff = AcceptBackoff::default();
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.note(&error).await;
                continue;
            }
        };
        let config = wakeful.rpc();
        if let Err(error) = set_options(&socket, &config) {
            let lines = wakeful.strangers();
            log_stranger!(lines, LineKind::Connection, DEBUG, %peer, %error, "connection lost while it was set up");
            continue;
        }
        let guard = match ConnectionGuard::enter(&wakeful, Some(peer.ip()), &open, &alive) {
            Ok(guard) => guard,
            Err(error) => {
                let acceptor = acceptor.clone();
                let arriving = async move {
                    let entered = acceptor.accept(socket, peer, environment::now() + LINGER).await;
                    entered.map(|(socket, _)| socket)
                };
                refuse_one_more(arriving, error, &refusals, &alive);
                continue;
            }
        };
        let session = Arc::new(Session::new(guard.id, Peer::Tcp(peer)));
        let (acceptor, wakeful) = (acceptor.clone(), wakeful.clone());
        actix_rt::spawn(async move {
            let accepted = environment::now();
            let in_time = accepted + config.handshake_timeout;
            let outbox = Arc::clone(&guard.outbox);
            let entered = tokio::select! {
                entered = acceptor.accept(socket, peer, in_time) => entered,
                // A goodbye: nothing has begun.
                _ = std::future::poll_fn(|cx| outbox.poll(true, cx)), if acceptor.is_tls() => None,
            };
            if let Some((socket, identity)) = entered {
                session.set_identity(identity);
                let connection = Connection::new(socket, session, wakeful, outbox);
                connection.since(accepted).run().await;
            }
            drop(guard);
        });
    }
}

/// Tells one who is too many; whoever comes when even these are many is closed without a word.
fn refuse_one_more(
    arriving: impl Future<Output = Option<Socket>> + 'static,
    error: Error,
    refusals: &Arc<Semaphore>,
    alive: &mpsc::Sender<()>,
) {
    let Ok(permit) = Arc::clone(refusals).try_acquire_owned() else { return };
    let alive = alive.clone();
    actix_rt::spawn(async move {
        if let Some(socket) = arriving.await {
            // Whoever does not listen is not told.
            let _ = tokio::time::timeout(LINGER, refuse(socket, error)).await;
        }
        drop((permit, alive));
    });
}

/// What a connection from outside is given, whoever serves it.
pub(in crate::rpc) fn set_options(socket: &TcpStream, config: &RpcConfig) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let unanswered = config.ping_interval + config.ping_timeout;
    let socket = socket2::SockRef::from(socket);
    // Peers that cannot be pinged, as JSON has no pings, are asked by the kernel.
    let second = Duration::from_secs(1);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(config.ping_interval.max(second))
        .with_interval((config.ping_timeout / 3).max(second));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(unanswered))
}

/// Says why there is no place, and closes.
pub(in crate::rpc) async fn refuse(mut socket: Socket, error: Error) -> io::Result<()> {
    let mut out = PREFACE.to_vec();
    // An error is far below any limit of frames.
    let _ = encode_frame(&mut out, Kind::Error, 0, 0, &WireError::from(&error), usize::MAX);
    socket.write_all(&out).await?;
    drain(&mut socket).await
}

/// Counts a connection for as long as it lives.
struct ConnectionGuard {
    id: u64,
    outbox: Arc<Outbox>,
    connections: Arc<AtomicU64>,
    open: OpenConnections,
    _alive: mpsc::Sender<()>,
    _place: Option<AddressSlot>,
}

impl ConnectionGuard {
    /// A place for one more connection, from `peer` if that is an address of its own.
    ///
    /// # Errors
    /// `LimitExceeded`, with the limit that is reached.
    fn enter(
        wakeful: &Wakeful,
        peer: Option<IpAddr>,
        open: &OpenConnections,
        alive: &mpsc::Sender<()>,
    ) -> Result<Self, Error> {
        let place = admit(wakeful, peer)?;
        let connections = wakeful.connections();
        let rpc = wakeful.rpc();
        let (own_max, total_max) = (rpc.output_bytes_max, rpc.total_output_bytes_max);
        let buffered = BufferedBytes::new(wakeful.buffered(), own_max, total_max);
        connections.fetch_add(1, Ordering::Relaxed);
        let guard = Self {
            id: environment::next_owner(),
            outbox: Arc::new(Outbox::new(buffered)),
            connections: Arc::clone(connections),
            open: Arc::clone(open),
            _alive: alive.clone(),
            _place: place,
        };
        open.lock().insert(guard.id, Arc::clone(&guard.outbox));
        Ok(guard)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::Config;
    use crate::actor::message::Halt;
    use crate::rpc::proto::WireHello;

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

    /// As after a defect: nobody waits for ever for a store that is gone.
    #[actix_rt::test]
    async fn r4_connections_end_when_the_store_is_gone() {
        let mut config = Config::new();
        config.rpc.ping_interval = Duration::from_millis(50);
        let wakeful = Wakeful::start(config).unwrap();
        let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
        let mut open = PREFACE.to_vec();
        let hello = WireHello { client_name: "me", server: "" };
        encode_frame(&mut open, Kind::Hello, 0, 0, &hello, usize::MAX).unwrap();
        let mut early = TcpStream::connect(addr).await.unwrap();
        early.write_all(&open).await.unwrap();
        let mut welcome = [0; PREFACE.len() + 20];
        early.read_exact(&mut welcome).await.unwrap();
        wakeful.store().send(Halt { within: Duration::from_secs(20) }).await.unwrap();
        let mut late = TcpStream::connect(addr).await.unwrap();
        late.write_all(&open).await.unwrap();
        for socket in [&mut early, &mut late] {
            let mut said = Vec::new();
            let end = socket.read_to_end(&mut said);
            tokio::time::timeout(Duration::from_secs(20), end).await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(&said).contains("the service has stopped"));
        }
        wakeful.stop().await;
    }
}
