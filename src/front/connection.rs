//! [`Connection`]: one socket, from accept to close.
//!
//! A connection is one task. Each read becomes one message to the store, however many requests it
//! contains; the store answers at once, so only this message is awaited. Everything else (output,
//! sessions, deadlines) is polled together. Nothing is read while more output waits than the limit
//! allows, so a peer that does not read is not served, and costs no more than that limit.

mod deadlines;

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tracing::Instrument;
use tracing::field::Empty;

use super::control_frame_budget::ControlFrameBudget;
use super::dispatcher::RequestDispatcher;
use super::inbox::{Inbox, is_login};
use super::outbox::{Outbox, OutboxEvent};
use super::output::{OutputBuffer, drain};
use super::protocol::{End, Fatal, Protocol, Received};
use crate::auth::Credentials;
use crate::buffered::Charge;
use crate::config::RpcConfig;
use crate::environment;
use crate::handle::Wakeful;
use crate::model::RpcCall;
use crate::pace::{self, Turn, TurnPause};
use crate::session::Session;
use crate::stranger_lines::{LineKind, log_stranger};

/// Maximum size of one read.
const READ_BYTES: usize = 64 * 1024;

/// Assumed time to encode a byte of small answers, in nanoseconds.
const ENCODED_NANOS: u64 = 1;

/// Reads of fewer bytes or requests are too short to be measured as a turn.
const MEASURED_BYTES: usize = 4 * 1024;
const FEW: usize = 16;

/// Time at the end of a connection for the last output, and for reading and discarding what the
/// peer still sends.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

thread_local! {
    /// The read buffer, shared by all connections of the thread, so that an idle one holds none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub(crate) struct Connection<S, W: Protocol> {
    socket: S,
    protocol: W,
    session: Arc<Session>,
    wakeful: Wakeful,
    /// The limits when the connection was accepted.
    rpc: Arc<RpcConfig>,
    inbox: Inbox<W>,
    outbox: Arc<Outbox>,
    output: OutputBuffer,
    /// Counts the output and the answers that the peer has not taken yet.
    kept: Charge,
    dispatcher: RequestDispatcher,
    control_frames: ControlFrameBudget,
    pause: TurnPause,
    timer: Pin<Box<Sleep>>,
    accepted: Instant,
    heard: Instant,
    /// When the peer was pinged, if nothing was received since.
    pinged: Option<Instant>,
    /// When the socket stopped taking output.
    blocked: Option<Instant>,
    /// When a peer that still takes answers closed its sending side.
    hung_up: Option<Instant>,
}

enum ConnectionEvent {
    /// The inbox has items.
    Received,
    /// The rest of the requests may be handed over.
    Rest,
    /// Output has room again, or the outbox has items.
    Writable,
    /// The user file changed.
    Revise,
    Timer,
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Protocol> Connection<S, W> {
    pub(super) fn new(
        socket: S,
        protocol: W,
        session: Arc<Session>,
        wakeful: Wakeful,
        outbox: Arc<Outbox>,
    ) -> Self {
        let now = environment::now();
        let dispatcher =
            RequestDispatcher::new(wakeful.clone(), Arc::clone(&session), Arc::clone(&outbox));
        let mut inbox = Inbox::new();
        inbox.stranger = dispatcher.is_strange();
        let rpc = Arc::clone(dispatcher.config());
        let first_deadline = now + rpc.handshake_timeout;
        Self {
            socket,
            protocol,
            inbox,
            dispatcher,
            session,
            control_frames: ControlFrameBudget::new(now, rpc.control_frames_max),
            pause: TurnPause::default(),
            wakeful,
            rpc,
            kept: Charge::new(&outbox.buffered, 0),
            outbox,
            output: OutputBuffer::default(),
            timer: Box::pin(tokio::time::sleep_until(first_deadline.into())),
            accepted: now,
            heard: now,
            pinged: None,
            blocked: None,
            hung_up: None,
        }
    }

    /// Sets the time of the accept, so that deadlines include the time of a handshake.
    pub(super) fn since(mut self, accepted: Instant) -> Self {
        self.arm(accepted + self.config().handshake_timeout);
        Self { accepted, ..self }
    }

    /// Serves the peer until either side ends the connection; frees everything that it held.
    pub(super) async fn run(self) {
        let (id, peer) = (self.session.id(), self.session.peer());
        // At the level of errors, so that every log line of a connection identifies it.
        let span = tracing::error_span!("connection", id, %peer, client = Empty);
        self.run_to_the_end().instrument(span).await;
    }

    async fn run_to_the_end(mut self) {
        let end = self.serve().await;
        // Before the last output, whose duration depends on the peer.
        self.dispatcher.free().await;
        match end {
            End::Fatal(fatal) => self.refuse(fatal).await,
            End::Left => {
                log_stranger!(self.dispatcher, LineKind::Connection, DEBUG, "connection ended");
                self.send_last().await;
            }
            End::Gone => {
                log_stranger!(self.dispatcher, LineKind::Connection, DEBUG, "connection gone")
            }
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            let room = self.room();
            // Pushes take at most half of the room: streams that always have more to send must not
            // keep requests from being read and answered.
            let push_room = room.saturating_sub(self.config().output_bytes_max / 2);
            let before = self.output.pending();
            let filled =
                self.dispatcher.fill(&mut self.protocol, &mut self.output, room, push_room);
            self.output.settle();
            let encoded = self.output.pending().saturating_sub(before);
            pace::note(Duration::from_nanos(encoded as u64 * ENCODED_NANOS));
            if let Err(end) = filled {
                return end;
            }
            if self.dispatcher.has_left(&self.protocol)
                && !self.inbox.full
                && self.output.pending() == 0
            {
                return End::Left;
            }
            let event = match std::future::poll_fn(|cx| self.poll(cx)).await {
                Ok(event) => event,
                Err(end) => return end,
            };
            let went_on = match event {
                ConnectionEvent::Received => self.process().await,
                ConnectionEvent::Rest => {
                    self.dispatcher.hand_over(&self.protocol, &mut self.output).await
                }
                ConnectionEvent::Writable => Ok(()),
                ConnectionEvent::Revise => self.dispatcher.revise().await,
                ConnectionEvent::Timer => self.check_deadlines(),
            };
            if let Err(end) = went_on {
                return end;
            }
        }
    }

    fn config(&self) -> &RpcConfig {
        &self.rpc
    }

    /// Returns the bytes of output that may still be encoded.
    fn room(&self) -> usize {
        self.config().output_bytes_max.saturating_sub(self.output.pending())
    }

    /// Updates the count of bytes that the peer has not taken yet.
    fn note_kept(&mut self) {
        self.kept.set(self.output.pending() + self.dispatcher.answer_bytes());
        self.dispatcher.notify_capacity();
    }

    /// Waits for the next event.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ConnectionEvent, End>> {
        let had_room = self.room() > 0;
        match self.outbox.poll(had_room, cx) {
            Poll::Ready(OutboxEvent::Closed) => return Poll::Ready(Err(End::Gone)),
            Poll::Ready(OutboxEvent::Revise) => return Poll::Ready(Ok(ConnectionEvent::Revise)),
            Poll::Ready(OutboxEvent::Items) => return Poll::Ready(Ok(ConnectionEvent::Writable)),
            Poll::Pending => {}
        }
        let mut more = false;
        if self.output.pending() > 0 {
            let (wrote, written) = self.output.poll_write(&mut self.socket, cx);
            match written {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) => self.blocked = None,
                Poll::Pending => self.note_blocked(wrote > 0),
            }
            self.note_kept();
            let go_on =
                !had_room || self.dispatcher.has_more() || self.dispatcher.has_left(&self.protocol);
            more = go_on && self.room() > 0 && wrote > 0;
        }
        let open = self.hung_up.is_none();
        let rests = self.dispatcher.has_rest();
        let room = self.room() > 0;
        let reads = open && self.may_read() && room && !self.dispatcher.has_answers() && !rests;
        let goes_on = room && self.dispatcher.may_go_on();
        // Bounded by the thread's turn: other sockets must be polled in between.
        if (reads || goes_on) && self.pause.poll(self.rpc.turn_max, cx).is_ready() {
            if goes_on {
                return Poll::Ready(Ok(ConnectionEvent::Rest));
            }
            if self.inbox.full {
                return Poll::Ready(Ok(ConnectionEvent::Received));
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(ConnectionEvent::Received)),
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => {}
            }
        }
        // After the read: streams that always have more must not keep requests waiting.
        if more {
            return Poll::Ready(Ok(ConnectionEvent::Writable));
        }
        self.timer.as_mut().poll(cx).map(|()| Ok(ConnectionEvent::Timer))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) => {}
            }
            let now = environment::now();
            if buffer.filled().is_empty() {
                if !self.protocol.answers_half_closed() {
                    return Poll::Ready(Err(End::Gone));
                }
                // As Go's server does: `nc` closes its sending side after its input.
                self.hung_up = Some(now);
                self.arm(now + self.config().shutdown_grace);
                return Poll::Ready(Ok(()));
            }
            (self.heard, self.pinged) = (now, None);
            let large = buffer.filled().len() > MEASURED_BYTES;
            let _turn = large.then(|| Turn::begin(self.rpc.turn_max));
            let pushed = self.inbox.push(&mut self.protocol, buffer.filled(), now, &self.rpc);
            if let Some(since) = self.inbox.partial_since {
                self.arm(since + self.config().frame_timeout);
            }
            Poll::Ready(pushed.map_err(End::from))
        })
    }

    /// Processes the items of the inbox.
    async fn process(&mut self) -> Result<(), End> {
        if self.inbox.full && !self.inbox.has_received() {
            let _turn = Turn::begin(self.rpc.turn_max);
            self.inbox.resume(&mut self.protocol, environment::now(), &self.rpc)?;
        }
        self.dispatcher.revise().await?;
        let (received, keys) = self.inbox.take();
        self.spend_control_frames(&received)?;
        self.dispatcher.expect(received.len(), keys);
        let mut turn = (received.len() > FEW).then(|| Turn::begin(self.rpc.turn_max));
        for received in received {
            if is_login::<W>(&received) {
                // Its time is not that of this thread, and nothing follows it.
                turn = None;
            }
            match received {
                Received::Key { id, deadline, request } => {
                    self.dispatcher.ask_key(id, deadline, request)?;
                }
                Received::Request { id, deadline, call } => match *call {
                    Ok(RpcCall::Login(credentials)) => self.log_in(id, credentials).await?,
                    call => self.dispatcher.ask(id, deadline, call)?,
                },
                Received::Cancel(id) => self.dispatcher.cancel(id),
                Received::Credit { stream, bytes } => self.dispatcher.add_credit(stream, bytes),
                Received::Goodbye => self.dispatcher.leave(),
                Received::Own(own) => self.take(own).await?,
            }
        }
        if self.hung_up.is_some() {
            self.dispatcher.hang_up();
            self.protocol.hang_up(&mut self.output);
        }
        drop(turn);
        if self.dispatcher.is_new() && self.protocol.is_open() {
            // The protocol has no greeting.
            self.dispatcher.meet(None, "");
            self.met();
        }
        self.dispatcher.hand_over(&self.protocol, &mut self.output).await
    }

    /// Charges the received control frames to their budget.
    fn spend_control_frames(&mut self, received: &[Received<W::Own>]) -> Result<(), End> {
        let is_request =
            |it: &&Received<W::Own>| matches!(it, Received::Key { .. } | Received::Request { .. });
        let requests = received.iter().filter(is_request).count();
        self.control_frames.earn(requests as u64 + self.dispatcher.take_pushes());
        let spent =
            self.control_frames.spend(self.inbox.take_idle(), self.config().control_frames_max);
        spent.map_err(|error| End::Fatal(Fatal::Error(error)))
    }

    /// Answers a login. Items behind it wait until it is decided.
    async fn log_in(&mut self, id: u64, credentials: Credentials) -> Result<(), End> {
        self.dispatcher.login(id, credentials).await?;
        self.inbox.stranger = self.dispatcher.is_strange();
        Ok(())
    }

    /// Processes an item that only this protocol has.
    async fn take(&mut self, own: W::Own) -> Result<(), End> {
        let was_new = self.dispatcher.is_new();
        self.protocol.take(own, &mut self.dispatcher, &mut self.output).await?;
        self.inbox.stranger = self.dispatcher.is_strange();
        if was_new && !self.dispatcher.is_new() {
            self.met();
        }
        Ok(())
    }

    /// Replaces the deadline of the handshake by those of an open connection.
    fn met(&mut self) {
        let next = self.next_deadline();
        self.timer.as_mut().reset(next.into());
    }

    /// Returns true if more requests may be read.
    fn may_read(&self) -> bool {
        !self.dispatcher.is_full(self.config().requests_in_flight_max)
    }

    /// Sends the reason why the connection ends, and closes.
    async fn refuse(&mut self, fatal: Fatal) {
        match fatal {
            Fatal::Foreign(line) => {
                log_stranger!(
                    self.dispatcher,
                    LineKind::Refused,
                    INFO,
                    "refused: does not speak the protocol"
                );
                self.output.buffer().extend_from_slice(line.as_bytes());
            }
            Fatal::Silent(why) => {
                log_stranger!(self.dispatcher, LineKind::Refused, INFO, why, "refused")
            }
            Fatal::Error(error) => {
                log_stranger!(self.dispatcher, LineKind::Refused, INFO, %error, "refused");
                let is_new = self.dispatcher.is_new();
                self.protocol.refuse(&mut self.output, &error, is_new);
            }
        }
        self.send_last().await;
    }

    /// Writes the remaining output, and closes.
    async fn send_last(&mut self) {
        let said = async {
            std::future::poll_fn(|cx| self.output.poll_write(&mut self.socket, cx).1).await?;
            drain(&mut self.socket).await
        };
        // A peer that does not read within this time misses the last output.
        let _ = tokio::time::timeout(LINGER, said).await;
    }
}
