//! The driver: the one task that owns the socket, and reconnects when the connection is lost.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant as Tick, Sleep, sleep, sleep_until, timeout};

use super::handshake::ServerConnection;
use super::inbound::{Inbound, unreadable};
use super::reason::closed;
use super::shared::ClientShared;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::rpc::backoff::ReconnectBackoff;
use crate::rpc::frame::{self, Kind};
use crate::rpc::keep_alive::{KeepAlive, PeerSilence};
use crate::rpc::socket::Socket;

/// The space reserved for each read: for many small replies, or a good part of a large one.
const READ_BYTES: usize = 64 * 1024;

/// The size above which a buffer that grew for a large frame is shrunk.
const KEPT_BYTES: usize = 1024 * 1024;

/// Ends the session with the driver, however the driver ends, including with its runtime.
struct EndSession(Arc<ClientShared>);

impl Drop for EndSession {
    fn drop(&mut self) {
        self.0.drive(|session, _| session.end(&closed()));
        self.0.ended.close();
    }
}

/// Runs the session on `connection` and its successors until it is no longer wanted.
pub(super) fn run(
    shared: Arc<ClientShared>,
    connection: ServerConnection,
) -> impl Future<Output = ()> + Send + 'static {
    // Made here, because a task that is never polled must end the session too.
    let end = EndSession(shared);
    async move { drive(&end.0, connection).await }
}

async fn drive(shared: &ClientShared, connection: ServerConnection) {
    let config = &shared.config;
    let mut backoff =
        ReconnectBackoff::new(config.reconnect_backoff_min, config.reconnect_backoff_max);
    let mut connection = Some(connection);
    while let Some(current) = connection.take() {
        let since = environment::now();
        let Some(error) = serve(shared, current).await else { return };
        tracing::debug!(addr = config.addr, %error, "connection lost");
        shared.lost.send_replace(Some(error.clone()));
        shared.drive(|session, _| session.cut(error));
        backoff.lost_after(environment::since(since));
        connection = reconnect(shared, &mut backoff).await;
    }
}

/// Waits until a connection is wanted, and opens one; `None` when the session is over.
async fn reconnect(
    shared: &ClientShared,
    backoff: &mut ReconnectBackoff,
) -> Option<ServerConnection> {
    loop {
        attend(shared, sleep(backoff.next(environment::random()))).await?;
        attend(shared, wanted(shared)).await?;
        match attend(shared, ServerConnection::open(&shared.config, &shared.transport)).await? {
            Ok(connection) => {
                shared.drive(|session, now| session.welcome(&connection.welcome, now));
                shared.lost.send_replace(None);
                return Some(connection);
            }
            Err(error) => {
                tracing::debug!(addr = shared.config.addr, %error, "reconnect failed");
                if shared.transport.is_over() {
                    shared.drive(|session, _| session.end(&error));
                    return None;
                }
                let shut_out = is_for_good(&error);
                shared.drive(|session, _| {
                    if shut_out {
                        session.refuse_all(&error);
                    }
                    session.cut(error);
                });
            }
        }
    }
}

/// Returns whether another attempt with the same credentials is useless.
fn is_for_good(error: &Error) -> bool {
    matches!(error.code, ErrorCode::LoginFailed | ErrorCode::NotLoggedIn)
}

async fn wanted(shared: &ClientShared) {
    // Both this future and `attend` wait for the same notification, which only one of them receives:
    // `attend` receives it first, and polls this one again.
    std::future::poll_fn(|_| {
        if shared.drive(|session, _| session.is_wanted()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Runs `work` without a connection, and enforces deadlines meanwhile; `None` when the session is over.
async fn attend<T>(shared: &ClientShared, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let (over, deadline) = shared.drive(|session, now| {
            session.expire(now);
            (session.is_over(now), session.next_deadline())
        });
        if over {
            return None;
        }
        let tick = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            value = &mut work => return Some(value),
            () = shared.wake.notified() => {}
            () = tick => {}
        }
    }
}

/// Serves one connection until it is lost, and returns the reason; `None` when the session is over.
async fn serve(shared: &ClientShared, connection: ServerConnection) -> Option<Error> {
    let ServerConnection { mut socket, mut received, .. } = connection;
    let config = &shared.config;
    let mut keep_alive =
        KeepAlive::new(config.ping_interval, config.ping_timeout, environment::now());
    let mut output = WriteBuffer::default();
    let mut batch = Vec::new();
    let mut timer = pin!(sleep_until(Tick::from_std(keep_alive.due())));
    loop {
        if let Err(error) = take_in(shared, &mut received, &mut batch) {
            return Some(error);
        }
        let turn = turn(shared, &mut output, &mut keep_alive);
        match turn {
            DriverTurn::Over => {
                part(shared, &mut socket, &output).await;
                return None;
            }
            DriverTurn::Lost(error) => return Some(error),
            DriverTurn::Until(at) => arm(timer.as_mut(), at),
        }
        received.reserve(READ_BYTES);
        let moved = tokio::select! {
            biased;
            moved = socket.exchange(&mut received, output.rest()) => moved,
            () = shared.wake.notified(), if output.is_empty() => continue,
            () = timer.as_mut() => continue,
        };
        match moved.written {
            Some(Ok(bytes)) => output.written(bytes),
            Some(Err(error)) => {
                return Some(write_failed(shared, &mut received, &mut socket, &error));
            }
            None => {}
        }
        match moved.read {
            Some(Ok(0)) => return Some(lost(shared, "the server closed it")),
            Some(Ok(_)) => keep_alive.heard(environment::now()),
            Some(Err(error)) => return Some(lost(shared, &error.to_string())),
            None => {}
        }
    }
}

/// The next action of the driver.
enum DriverTurn {
    /// Wait for the socket, for work, or for this time.
    Until(Instant),
    Lost(Error),
    Over,
}

fn turn(shared: &ClientShared, output: &mut WriteBuffer, keep_alive: &mut KeepAlive) -> DriverTurn {
    shared.drive(|session, now| {
        session.expire(now);
        match keep_alive.look(now) {
            PeerSilence::Short => {}
            PeerSilence::Ask => session.send_bare(Kind::Ping, 0),
            PeerSilence::Dead => return DriverTurn::Lost(lost(shared, "the server is silent")),
        }
        if output.is_empty() {
            output.refill(|bytes| session.take_output(bytes, now));
        }
        if session.is_over(now) {
            DriverTurn::Over
        } else if session.is_left() && output.is_empty() {
            DriverTurn::Lost(lost(shared, "the server is stopping"))
        } else {
            let due = keep_alive.due();
            DriverTurn::Until(session.next_deadline().map_or(due, |deadline| deadline.min(due)))
        }
    })
}

/// Processes every complete frame that was received.
fn take_in(
    shared: &ClientShared,
    received: &mut BytesMut,
    batch: &mut Vec<Inbound>,
) -> Result<(), Error> {
    let mut rest = &received[..];
    let mut broken = None;
    // Frames before a broken one are still processed.
    loop {
        match next_frame(rest, shared.config.frame_bytes_max) {
            Ok(Some((inbound, after))) => {
                batch.push(inbound);
                rest = after;
            }
            Ok(None) => break,
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    let used = received.len() - rest.len();
    received.advance(used);
    if received.is_empty() && received.capacity() > KEPT_BYTES {
        *received = BytesMut::new();
    }
    if !batch.is_empty() {
        shared.drive(|session, now| {
            batch.drain(..).try_for_each(|inbound| session.apply(inbound, now))
        })?;
    }
    broken.map_or(Ok(()), Err)
}

fn next_frame(bytes: &[u8], body_bytes_max: usize) -> Result<Option<(Inbound, &[u8])>, Error> {
    match frame::split(bytes, body_bytes_max).map_err(|error| unreadable(&error))? {
        Some((header, body, rest)) => Ok(Some((Inbound::decode(&header, body)?, rest))),
        None => Ok(None),
    }
}

/// Handles a failed write. A server that ends a connection sends the reason and closes; a write can
/// fail before the reason is read.
fn write_failed(
    shared: &ClientShared,
    received: &mut BytesMut,
    socket: &mut Socket,
    error: &io::Error,
) -> Error {
    let mut more = || socket.read_buf(received).now_or_never();
    while more().is_some_and(|read| read.is_ok_and(|bytes| bytes > 0)) {}
    match take_in(shared, received, &mut Vec::new()) {
        Err(reason) => reason,
        Ok(()) => lost(shared, &error.to_string()),
    }
}

/// Sends the remaining output, for a limited time, and closes the socket.
async fn part(shared: &ClientShared, socket: &mut Socket, output: &WriteBuffer) {
    let mut rest = Vec::new();
    shared.drive(|session, now| session.take_output(&mut rest, now));
    let last = async {
        socket.write_all(output.rest()).await?;
        socket.write_all(&rest).await?;
        socket.shutdown().await
    };
    // Whether the output arrives or not, the connection ends.
    let _ = timeout(shared.config.close_timeout, last).await;
}

fn lost(shared: &ClientShared, reason: &str) -> Error {
    let addr = &shared.config.addr;
    Error::new(ErrorCode::Unavailable, format!("connection to {addr} lost: {reason}"))
}

/// Moves the timer only to an earlier time, or when it has expired: moving it is not free, and
/// deadlines mostly become later.
fn arm(mut timer: std::pin::Pin<&mut Sleep>, at: Instant) {
    let at = Tick::from_std(at);
    if timer.is_elapsed() || at < timer.deadline() {
        timer.as_mut().reset(at);
    }
}

/// Bytes on their way into the socket.
#[derive(Default)]
struct WriteBuffer {
    bytes: Vec<u8>,
    at: usize,
}

impl WriteBuffer {
    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn written(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn refill(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.at = 0;
        fill(&mut self.bytes);
    }
}
