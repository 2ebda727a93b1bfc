//! [`Link`]: an established link; [`LinkDriver`]: the task that moves its bytes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{ConnectionError, Mode};

use super::{control, limit};
use crate::config::LinkConfig;
use crate::error::{Error, ErrorCode};
use crate::front::LINGER;
use crate::rpc::server::{IncomingConnection, LinkIntake};
use crate::rpc::socket::Socket;
use crate::session::Peer;

/// Bytes that each connection of a link may be sent before it reads; defined by yamux.
const WINDOW_BYTES: usize = 256 * 1024;

/// The stream on which both ends of a link exchange signs of life: the first one opened.
const CONTROL_STREAM: u32 = 1;

/// Maximum number of concurrent requests to open connections; more wait.
const ASKS: usize = 64;

/// An established link. Cheap to clone; it ends when one of its ends does, not with the last clone.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<LinkShared>,
}

struct LinkShared {
    properties: LinkProperties,
    asks: mpsc::Sender<OpenRequest>,
    /// One permit for each connection that this end may open.
    outbound: Arc<Semaphore>,
    /// One permit for each connection that the other end may open.
    inbound: Arc<Semaphore>,
    phase: watch::Sender<LinkPhase>,
    /// The reason of its end.
    reason: Mutex<Option<String>>,
}

/// The properties of a link, from its handshake.
#[derive(Debug, Clone)]
pub(super) struct LinkProperties {
    /// The name of the link.
    pub(super) name: String,
    /// The address of the other end.
    pub(super) addr: SocketAddr,
    /// True if the other end accepts connections.
    pub(super) peer_serves: bool,
    /// The maximum number of concurrent connections, agreed by both ends.
    pub(super) streams_max: usize,
    /// The name of this end's server on the link, if it differs from its own name.
    pub(super) called: Option<Arc<str>>,
}

/// The phase of a link, which only advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LinkPhase {
    Open,
    /// Accepts no new connections.
    Leaving,
    /// Is being closed.
    Closing,
    Closed,
}

struct OpenRequest {
    permit: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<LinkStream, Error>>,
}

/// A link whose bytes do not move yet.
pub(super) struct Idle {
    link: Link,
    asks: mpsc::Receiver<OpenRequest>,
}

impl Link {
    /// Returns a link as agreed in its handshake, and the future to [run](Idle::run) it.
    pub(super) fn new(properties: LinkProperties, config: &LinkConfig) -> (Self, Idle) {
        let (sender, asks) = mpsc::channel(ASKS);
        let shared = LinkShared {
            outbound: Arc::new(Semaphore::new(properties.streams_max)),
            inbound: Arc::new(Semaphore::new(config.streams_max)),
            properties,
            asks: sender,
            phase: watch::Sender::new(LinkPhase::Open),
            reason: Mutex::new(None),
        };
        let link = Self { shared: Arc::new(shared) };
        (link.clone(), Idle { link, asks })
    }

    pub(super) fn properties(&self) -> &LinkProperties {
        &self.shared.properties
    }

    /// Opens a connection to the service of the other end.
    ///
    /// # Errors
    ///
    /// `NoSuchServer` if it serves nothing, `LimitExceeded` if it currently accepts no more,
    /// `Unavailable` if the link is ending or has ended.
    pub(super) async fn open(&self) -> Result<Socket, Error> {
        let LinkProperties { name, peer_serves, streams_max, .. } = &self.shared.properties;
        if !peer_serves {
            let message = format!("{} only calls, and serves nothing", name.escape_debug());
            return Err(Error::new(ErrorCode::NoSuchServer, message));
        }
        if *self.shared.phase.borrow() != LinkPhase::Open {
            return Err(self.gone());
        }
        let permit = Arc::clone(&self.shared.outbound).try_acquire_owned().map_err(|_| {
            let what = format!("too many connections over the link {}", name.escape_debug());
            limit("link.streams_max", *streams_max, &what)
        })?;
        let (reply, answer) = oneshot::channel();
        self.shared.asks.send(OpenRequest { permit, reply }).await.map_err(|_| self.gone())?;
        let stream = answer.await.map_err(|_| self.gone())??;
        Ok(Socket::Other(Box::new(stream)))
    }

    fn gone(&self) -> Error {
        let name = self.shared.properties.name.escape_debug();
        let message = match &*self.shared.reason.lock() {
            Some(reason) => format!("the link {name} is closed: {reason}"),
            None => format!("the link {name} is closing"),
        };
        Error::new(ErrorCode::Unavailable, message)
    }

    /// Accepts no new connections, and tells the other end to open none.
    pub(super) fn leave(&self) {
        self.advance(LinkPhase::Leaving);
    }

    /// Completes when the link accepts no new connections.
    pub(super) fn left(&self) -> impl Future<Output = ()> + Send + 'static {
        self.at_least(LinkPhase::Leaving)
    }

    /// Closes the link.
    pub(super) fn shut(&self, reason: impl Into<String>) {
        self.shared.reason.lock().get_or_insert_with(|| reason.into());
        self.advance(LinkPhase::Closing);
    }

    /// Returns true if no connection will ever be opened on it again.
    pub(super) fn is_over(&self) -> bool {
        *self.shared.phase.borrow() >= LinkPhase::Closing
    }

    /// Completes when the link has ended.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.at_least(LinkPhase::Closed)
    }

    /// Waits until no connection of the other end is left.
    pub(super) async fn drained(&self, config: &LinkConfig) {
        let all = u32::try_from(config.streams_max).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.shared.inbound.acquire_many(all).await;
    }

    /// Returns the reason of its end.
    pub(super) fn reason(&self) -> String {
        self.shared.reason.lock().clone().unwrap_or_else(|| "the link was dropped".to_owned())
    }

    fn advance(&self, to: LinkPhase) {
        self.shared.phase.send_if_modified(|phase| {
            let further = *phase < to;
            *phase = to.max(*phase);
            further
        });
    }

    fn at_least(&self, reached: LinkPhase) -> impl Future<Output = ()> + Send + 'static {
        let mut phase = self.shared.phase.subscribe();
        async move {
            // An error means that everything was dropped.
            let _ = phase.wait_for(|phase| *phase >= reached).await;
        }
    }
}

impl Idle {
    /// Moves the bytes of the link over `socket` until it ends; `dials` is true at the dialing end.
    /// Connections that the other end opens go to `door`.
    pub(super) async fn run(
        self,
        socket: Socket,
        dials: bool,
        intake: Option<LinkIntake>,
        config: &LinkConfig,
    ) {
        let Self { link, asks } = self;
        let mode = if dials { Mode::Client } else { Mode::Server };
        let connection = yamux::Connection::new(socket.compat(), yamux_config(&link, config), mode);
        let (found, control) = oneshot::channel();
        let closing = link.at_least(LinkPhase::Closing).boxed();
        let mut carrier = LinkDriver {
            connection,
            link: link.clone(),
            intake,
            asks,
            asked: None,
            control: Some(found),
            closing,
        };
        if dials && let Err(error) = carrier.open_control().await {
            link.shut(error.to_string());
        }
        let keeping = async {
            let reason = match tokio::time::timeout(config.handshake_timeout, control).await {
                Ok(Ok(stream)) => control::run(&link, stream, config).await,
                _ => "the peer sent no sign of life in time".to_owned(),
            };
            link.shut(reason);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = carrier.run() => {}
            () = keeping => {}
        }
    }
}

fn yamux_config(link: &Link, config: &LinkConfig) -> yamux::Config {
    // A stream that ended at the other end may still exist here; a further stream should then be
    // refused alone, while yamux would end the link. So yamux may hold twice as many.
    let inbound = config.streams_max.saturating_mul(2);
    let streams = inbound.saturating_add(link.shared.properties.streams_max + 1);
    let window = streams.saturating_mul(WINDOW_BYTES).saturating_add(config.window_bytes_max);
    let mut yamux = yamux::Config::default();
    yamux.set_max_connection_receive_window(None);
    yamux.set_max_num_streams(streams);
    yamux.set_max_connection_receive_window(Some(window));
    yamux
}

/// The task that moves the bytes of a link.
struct LinkDriver {
    connection: yamux::Connection<Compat<Socket>>,
    link: Link,
    intake: Option<LinkIntake>,
    asks: mpsc::Receiver<OpenRequest>,
    /// The next connection to open.
    asked: Option<OpenRequest>,
    /// Receives the control stream.
    control: Option<oneshot::Sender<LinkStream>>,
    closing: BoxFuture<'static, ()>,
}

enum LinkEvent {
    Opened(yamux::Stream),
    /// The link must close.
    Close,
    /// The other end closed the link, or it broke.
    Over(Option<ConnectionError>),
}

impl LinkDriver {
    async fn open_control(&mut self) -> Result<(), ConnectionError> {
        let stream = std::future::poll_fn(|cx| self.connection.poll_new_outbound(cx)).await?;
        self.found(stream);
        Ok(())
    }

    fn found(&mut self, stream: yamux::Stream) {
        if let Some(control) = self.control.take() {
            // The receiver gave up, which has ended the link.
            let _ = control.send(LinkStream::new(stream, &self.link, None));
        }
    }

    async fn run(&mut self) {
        loop {
            match std::future::poll_fn(|cx| self.poll(cx)).await {
                LinkEvent::Opened(stream) => self.take(stream),
                LinkEvent::Close => {
                    let close = std::future::poll_fn(|cx| self.connection.poll_close(cx));
                    // The peer may not read the goodbye.
                    let _ = tokio::time::timeout(LINGER, close).await;
                    return;
                }
                LinkEvent::Over(error) => {
                    self.link.shut(match error {
                        Some(error) => error.to_string(),
                        None => "the peer closed it".to_owned(),
                    });
                    return;
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        if self.closing.poll_unpin(cx).is_ready() {
            return Poll::Ready(LinkEvent::Close);
        }
        loop {
            if self.asked.is_none() {
                match self.asks.poll_recv(cx) {
                    Poll::Ready(Some(ask)) => self.asked = Some(ask),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            let opened = match self.connection.poll_new_outbound(cx) {
                Poll::Ready(opened) => opened,
                Poll::Pending => break,
            };
            let Some(OpenRequest { permit, reply }) = self.asked.take() else { break };
            // If the receiver is gone, the stream is dropped.
            let _ = reply.send(match opened {
                Ok(stream) => Ok(LinkStream::new(stream, &self.link, Some(permit))),
                Err(error) => Err(Error::new(ErrorCode::Unavailable, error.to_string())),
            });
        }
        self.connection.poll_next_inbound(cx).map(|inbound| match inbound {
            Some(Ok(stream)) => LinkEvent::Opened(stream),
            Some(Err(error)) => LinkEvent::Over(Some(error)),
            None => LinkEvent::Over(None),
        })
    }

    /// Accepts a stream that the other end has opened.
    fn take(&mut self, stream: yamux::Stream) {
        if stream.id().val() == CONTROL_STREAM && self.control.is_some() {
            return self.found(stream);
        }
        let shared = &self.link.shared;
        // Dropping it notifies the other end, which knows whether and how many it may open.
        let Some(intake) = &self.intake else { return };
        let Ok(permit) = Arc::clone(&shared.inbound).try_acquire_owned() else { return };
        let stream = LinkStream::new(stream, &self.link, Some(permit));
        let LinkProperties { name, addr, called, .. } = &shared.properties;
        intake.enter(IncomingConnection {
            socket: Socket::Other(Box::new(stream)),
            peer: Peer::Link { name: name.clone(), addr: *addr },
            called: called.clone(),
            left: self.link.left().boxed(),
        });
    }
}

impl Drop for LinkDriver {
    fn drop(&mut self) {
        self.link.shut("its task ended");
        self.link.advance(LinkPhase::Closed);
    }
}

/// One connection over a link, counted while it lives.
pub(super) struct LinkStream {
    inner: Compat<yamux::Stream>,
    /// Completes when the link ends: yamux does not notify the streams of a connection that closes.
    ended: Fuse<BoxFuture<'static, ()>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl LinkStream {
    fn new(stream: yamux::Stream, link: &Link, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { inner: stream.compat(), ended: link.ended().boxed().fuse(), _permit: permit }
    }

    /// Returns `polled`, unless it waits for a link that has ended.
    fn unless_ended<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let ended = polled.is_pending()
            && (self.ended.is_terminated() || self.ended.poll_unpin(cx).is_ready());
        if ended { Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())) } else { polled }
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.unless_ended(cx, polled)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.unless_ended(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.unless_ended(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.unless_ended(cx, polled)
    }
}
