//! [`Network`]: sockets in memory that delay bytes, deliver them in pieces, and are cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::task::AbortHandle;

use super::trace::{Direction, Trace, TraceEvent, digest};
use crate::error::{Error, ErrorCode};
use crate::journal::FaultyDisk;
use crate::rpc::client::Connector;
use crate::rpc::server::{IncomingConnection, WeakLinkIntake};
use crate::rpc::socket::Socket;
use crate::session::Peer;

/// Maximum delay, milliseconds, of most bytes and of some.
const DELAY_MS_MAX: u64 = 2;
const LONG_DELAY_MS_MAX: u64 = 40;

/// Maximum number of bytes in flight in one direction.
const UNDER_WAY_MAX: usize = 8 * 1024;

/// Connects clients with a server. Clones share the network.
#[derive(Clone)]
pub(super) struct Network(Arc<NetworkShared>);

struct NetworkShared {
    intake: WeakLinkIntake,
    disk: FaultyDisk,
    trace: Trace,
    state: Mutex<NetworkState>,
}

struct NetworkState {
    chance: StdRng,
    connections: u64,
    /// The carriers of every connection opened so far.
    wires: Vec<SimulatedWire>,
    closed: bool,
}

struct SimulatedWire {
    number: u64,
    carriers: [AbortHandle; 2],
}

impl Network {
    pub(super) fn new(intake: WeakLinkIntake, disk: FaultyDisk, trace: Trace, seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        let state =
            Mutex::new(NetworkState { chance, connections: 0, wires: Vec::new(), closed: false });
        Self(Arc::new(NetworkShared { intake, disk, trace, state }))
    }

    /// Opens a connection to the server; returns the client's end.
    pub(super) fn connect(&self, whose: &'static str) -> io::Result<DuplexStream> {
        let NetworkShared { intake, disk, trace, state } = &*self.0;
        let intake = intake.upgrade().ok_or(io::ErrorKind::ConnectionRefused)?;
        let mut state = state.lock();
        if state.closed {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.connections += 1;
        let connection = state.connections;
        trace.note(TraceEvent::Opened { connection, whose });
        let (client, far) = duplex(state.chance.random_range(64..=UNDER_WAY_MAX));
        let (server, near) = duplex(state.chance.random_range(64..=UNDER_WAY_MAX));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let peer = Peer::Link { name: whose.to_owned(), addr };
        let left = Box::pin(std::future::pending());
        intake.enter(IncomingConnection {
            socket: Socket::Other(Box::new(server)),
            peer,
            called: None,
            left,
        });
        let ((from_client, to_client), (from_server, to_server)) = (split(far), split(near));
        let mut carry = |way| {
            let chance = StdRng::seed_from_u64(state.chance.random());
            WireCarrier { connection, way, trace: trace.clone(), disk: disk.clone(), chance }
        };
        let (up, down) = (carry(Direction::ToServer), carry(Direction::ToClient));
        // Not on the arbiter: a client reconnects from a task that cannot spawn there.
        let up = tokio::spawn(up.run(from_client, to_server)).abort_handle();
        let down = tokio::spawn(down.run(from_server, to_client)).abort_handle();
        state.wires.push(SimulatedWire { number: connection, carriers: [up, down] });
        Ok(client)
    }

    /// Cuts an open connection, if there is one: both ends see it end in the middle of the data in
    /// flight.
    pub(super) fn cut_one(&self) {
        let mut state = self.0.state.lock();
        state.wires.retain(|wire| wire.carriers.iter().any(|it| !it.is_finished()));
        if state.wires.is_empty() {
            return;
        }
        let open = state.wires.len();
        let at = state.chance.random_range(0..open);
        let wire = state.wires.swap_remove(at);
        self.0.trace.note(TraceEvent::Fault(format!("connection {} is cut", wire.number)));
        wire.carriers.iter().for_each(AbortHandle::abort);
    }

    /// Cuts every connection, and refuses new ones.
    pub(super) fn cut_all(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        for wire in state.wires.drain(..) {
            wire.carriers.iter().for_each(AbortHandle::abort);
        }
    }

    /// Returns the opener through which a client connects.
    pub(super) fn opener(&self, whose: &'static str) -> Arc<dyn Connector> {
        Arc::new(Dial { network: self.clone(), whose })
    }
}

/// Connects a client.
struct Dial {
    network: Network,
    whose: &'static str,
}

impl Connector for Dial {
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>> {
        let opened = self.network.connect(self.whose).map_err(|error| {
            Error::new(ErrorCode::Unreachable, format!("the server is stopping: {error}"))
        });
        Box::pin(std::future::ready(opened.map(|socket| Socket::Other(Box::new(socket)))))
    }

    fn is_over(&self) -> bool {
        self.network.0.intake.upgrade().is_none()
    }
}

/// Carries the bytes of one direction.
struct WireCarrier {
    connection: u64,
    way: Direction,
    trace: Trace,
    disk: FaultyDisk,
    chance: StdRng,
}

impl WireCarrier {
    async fn run<R, W>(mut self, mut from: R, mut to: W)
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        // The other end notices an end that is gone.
        let _ = self.carry(&mut from, &mut to).await;
        let Self { connection, way, .. } = self;
        self.trace.note(TraceEvent::Closed { connection, way });
        let _ = to.shutdown().await;
    }

    async fn carry<R, W>(&mut self, from: &mut R, to: &mut W) -> io::Result<()>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let Self { connection, way, .. } = *self;
        let mut buffer = vec![0; UNDER_WAY_MAX];
        loop {
            let piece = match self.chance.random_bool(0.2) {
                true => self.chance.random_range(1..=64),
                false => UNDER_WAY_MAX,
            };
            let read = from.read(buffer.get_mut(..piece).unwrap_or_default()).await?;
            if read == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            tokio::time::sleep(self.delay()).await;
            if self.disk.has_ended() {
                // The process ended with the last change of the disk: later bytes were never sent.
                return std::future::pending().await;
            }
            let digest = digest(bytes);
            self.trace.note(TraceEvent::Bytes { connection, way, bytes: read, digest });
            to.write_all(bytes).await?;
        }
    }

    fn delay(&mut self) -> Duration {
        let max = match self.chance.random_bool(0.02) {
            true => LONG_DELAY_MS_MAX,
            false => DELAY_MS_MAX,
        };
        Duration::from_millis(self.chance.random_range(0..=max))
    }
}
