//! [`Protocol`]: what a door has of its own, bytes to calls and answers to bytes.

use std::time::Instant;

use super::dispatcher::RequestDispatcher;
use super::output::OutputBuffer;
use super::push_cursor::{PushCursor, WrittenPush};
use crate::actor::message::Done;
use crate::config::RpcConfig;
use crate::error::{Error, ErrorCode};
use crate::model::RpcCall;

/// The protocol of a door: how a request arrives, and how a reply is encoded. Permissions, limits,
/// logs and the order of answers are the front's.
///
/// Each request has an id, which is not in flight twice. Every id gets exactly one
/// [`answer`](Self::answer).
pub(crate) trait Protocol: 'static {
    /// What peers send besides requests, as a greeting or a ping; `Infallible` if nothing.
    type Own;

    /// Reads one item from the start of `bytes`, which begin where the last item ended.
    ///
    /// # Errors
    /// The connection cannot go on, and what was read before in the same turn is not done.
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &ReadContext<'_>,
    ) -> Result<Decoded<Self::Own>, Fatal>;

    /// Returns true once the peer has shown that it speaks the protocol, which it must within
    /// `rpc.handshake_timeout`.
    fn is_open(&self) -> bool;

    /// Returns the reason why a peer is refused that is not open in time.
    fn late(&self) -> Fatal;

    /// Returns true if such an item may take much longer than a look-up.
    fn is_heavy(_own: &Self::Own) -> bool {
        false
    }

    /// Returns true if such an item is a login.
    fn is_login(_own: &Self::Own) -> bool {
        false
    }

    /// Does what is only in this protocol.
    ///
    /// # Errors
    /// The connection is to end.
    async fn take(
        &mut self,
        own: Self::Own,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End>;

    /// Appends the one answer to the request `id`. A wait that parks is told so by
    /// [`Done::Parked`], and answered later under the same id.
    ///
    /// # Errors
    /// The connection is to end.
    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End>;

    /// Appends the next part of what the stream `stream` has to show, and moves `cursor` past it.
    ///
    /// # Errors
    /// The connection is to end.
    fn push(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End>;

    /// Says that no new requests are taken, if there is a way to.
    fn say_goodbye(&mut self, out: &mut OutputBuffer);

    /// Appends the reason why the connection ends, if there is a way to; `is_new` if the peer has
    /// not been met.
    fn refuse(&mut self, out: &mut OutputBuffer, error: &Error, is_new: bool);

    /// Asks a silent peer for a sign of life.
    fn ping(&mut self, _out: &mut OutputBuffer) {}

    /// Returns true if [`ping`](Self::ping) asks for a sign of life.
    fn has_pings(&self) -> bool {
        false
    }

    /// Returns true if the peer may close its sending side and still take answers.
    fn answers_half_closed(&self) -> bool {
        false
    }

    /// The peer has closed its sending side: what it would have to ask for again is given up.
    fn hang_up(&mut self, _out: &mut OutputBuffer) {}

    /// Returns true if the peer is shown no more of what it watches, so that the connection may end;
    /// `is_idle` if it watches nothing.
    fn awaits_nothing(&self, is_idle: bool) -> bool {
        is_idle
    }
}

/// What bytes are read by.
pub(crate) struct ReadContext<'a> {
    /// When the bytes were read.
    pub(crate) now: Instant,
    /// The peer has to log in, and has not.
    pub(crate) stranger: bool,
    pub(crate) config: &'a RpcConfig,
}

impl ReadContext<'_> {
    /// Returns the longest item that may be read now, bytes.
    #[inline]
    pub(crate) fn bytes_max(&self) -> usize {
        let config = self.config;
        if self.stranger { config.login_frame_bytes_max } else { config.frame_bytes_max }
    }
}

/// What was read.
pub(crate) enum Decoded<O> {
    /// No item is whole; `used` bytes are done with.
    Partial { used: usize },
    /// An item of `used` bytes; `None` if it means nothing. `is_idle` if it asks for nothing that is
    /// bounded otherwise (`rpc.control_frames_max`).
    Item { used: usize, received: Option<Received<O>>, is_idle: bool },
    /// Nothing from here on can be understood, and there is no request to answer it to. What came
    /// before still has its turn.
    Broken(&'static str),
}

/// An item that a peer has sent.
pub(crate) enum Received<O> {
    Request {
        id: u64,
        /// When the answer is worth nothing any more.
        deadline: Option<Instant>,
        /// An error concerns this request alone, and is its answer.
        call: Result<RpcCall, Error>,
    },
    /// Gives up the request with this id.
    Cancel(u64),
    /// More may be pushed to a stream.
    Credit { stream: u64, bytes: u32 },
    /// The peer sends no more requests.
    Goodbye,
    /// What only this protocol has.
    Own(O),
}

/// Why a connection ends.
pub(crate) enum End {
    /// The peer went, or the socket failed.
    Gone,
    /// All is said.
    Left,
    Fatal(Fatal),
}

/// Why a connection cannot go on.
pub(crate) enum Fatal {
    /// It speaks the protocol, so it can be told in it.
    Error(Error),
    /// It does not: one line of text.
    Foreign(&'static str),
    /// There is no request to answer it to.
    Silent(&'static str),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<Fatal> for End {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// A violation of the protocol.
pub(crate) fn protocol(what: &str) -> Fatal {
    Fatal::Error(Error::new(ErrorCode::Protocol, format!("{what}; the connection closes")))
}
