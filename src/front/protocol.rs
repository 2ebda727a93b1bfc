//! [`Protocol`]: the part of a door that is its own, from bytes to calls and from answers to bytes.

use std::time::Instant;

use super::dispatcher::RequestDispatcher;
use super::output::OutputBuffer;
use super::push_cursor::{PushCursor, WrittenPush};
use crate::actor::ReplyEncoder;
use crate::actor::message::Done;
use crate::config::RpcConfig;
use crate::error::{Error, ErrorCode};
use crate::model::{KeyBuffer, KeyRequest, RpcCall};

/// The protocol of a door: decodes requests and encodes answers. The front is responsible for
/// permissions, limits, logs and the order of answers.
///
/// Each request has an id, which is not in flight twice. Every id gets exactly one
/// [`answer`](Self::answer).
pub(crate) trait Protocol: 'static {
    /// Items of this protocol other than requests, such as greetings and pings; `Infallible` if none.
    type Own;

    /// Reads one item from the start of `bytes`, which begin where the last item ended.
    ///
    /// # Errors
    /// The connection must end, and the items read before in the same turn are not processed.
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<Self::Own>, Fatal>;

    /// Returns true once the peer has proved to speak the protocol, which it must do within
    /// `rpc.handshake_timeout`.
    fn is_open(&self) -> bool;

    /// Returns the reason to disconnect a peer that is not open in time.
    fn late(&self) -> Fatal;

    /// Returns true if the item may take much longer than a look-up.
    fn is_heavy(_own: &Self::Own) -> bool {
        false
    }

    /// Returns true if the item is a login.
    fn is_login(_own: &Self::Own) -> bool {
        false
    }

    /// Processes an item of this protocol.
    ///
    /// # Errors
    /// The connection must end.
    async fn take(
        &mut self,
        own: Self::Own,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End>;

    /// Appends the one answer to the request `id`. [`Done::Parked`] reports that a wait parks; its
    /// answer follows under the same id.
    ///
    /// # Errors
    /// The connection must end.
    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End>;

    /// Returns how a reply is encoded, if that needs no state of the connection: the store then appends
    /// replies to the output itself, as [`answer`](Self::answer) does.
    fn reply_encoder(&self) -> Option<ReplyEncoder> {
        None
    }

    /// Appends the next part of a batch of the stream `stream`, and moves `cursor` past it.
    ///
    /// # Errors
    /// The connection must end.
    fn push(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End>;

    /// Announces that no new requests are taken, if the protocol has a way to.
    fn say_goodbye(&mut self, out: &mut OutputBuffer);

    /// Appends the reason why the connection ends, if the protocol has a way to; `is_new` if the
    /// peer has had no greeting.
    fn refuse(&mut self, out: &mut OutputBuffer, error: &Error, is_new: bool);

    /// Appends a ping for a silent peer, which must answer it.
    fn ping(&mut self, _out: &mut OutputBuffer) {}

    /// Returns true if the protocol has pings.
    fn has_pings(&self) -> bool {
        false
    }

    /// Returns true if the peer may close its sending side and still take answers.
    fn answers_half_closed(&self) -> bool {
        false
    }

    /// Handles the end of the peer's sending side: cancels what would need another request.
    fn hang_up(&mut self, _out: &mut OutputBuffer) {}

    /// Returns true if the peer expects no more events, so that the connection may end; `is_idle` if
    /// it has no watches.
    fn awaits_nothing(&self, is_idle: bool) -> bool {
        is_idle
    }
}

/// The circumstances of a read.
pub(crate) struct ReadContext<'a> {
    /// When the bytes were read.
    pub(crate) now: Instant,
    /// True if the peer must log in and has not.
    pub(crate) stranger: bool,
    pub(crate) config: &'a RpcConfig,
    /// Takes the keys and values of the requests that are returned as [`Received::Key`].
    pub(crate) keys: &'a mut KeyBuffer,
}

impl ReadContext<'_> {
    /// Returns the maximum length of an item now.
    #[inline]
    pub(crate) fn bytes_max(&self) -> usize {
        let config = self.config;
        if self.stranger { config.login_frame_bytes_max } else { config.frame_bytes_max }
    }
}

/// The result of a read.
pub(crate) enum Decoded<O> {
    /// No item is complete; `used` bytes may be discarded.
    Partial { used: usize },
    /// An item of `used` bytes; `None` if it needs no processing. `is_idle` if only
    /// `rpc.control_frames_max` bounds such items.
    Item { used: usize, received: Option<Received<O>>, is_idle: bool },
    /// The rest cannot be decoded, and no request can be answered with the reason. The items before
    /// still have their turn.
    Broken(&'static str),
}

/// An item that a peer has sent. Small, because an item is moved several times.
pub(crate) enum Received<O> {
    Request {
        id: u64,
        /// The time after which the peer ignores the answer.
        deadline: Option<Instant>,
        /// An error concerns only this request, and is its answer.
        call: Box<Result<RpcCall, Error>>,
    },
    /// A request whose bytes are in [`ReadContext::keys`].
    Key { id: u64, deadline: Option<Instant>, request: KeyRequest },
    /// Cancels the request with this id.
    Cancel(u64),
    /// Allows more pushes of a stream.
    Credit { stream: u64, bytes: u32 },
    /// The peer sends no more requests.
    Goodbye,
    /// An item of this protocol.
    Own(O),
}

/// Why a connection ends.
pub(crate) enum End {
    /// The peer has disconnected, or the socket failed.
    Gone,
    /// Everything was answered.
    Left,
    Fatal(Fatal),
}

/// Why a connection must end.
pub(crate) enum Fatal {
    /// The peer speaks the protocol, which can carry the error.
    Error(Error),
    /// The peer does not speak the protocol, and is sent this line of text.
    Foreign(&'static str),
    /// Only logged: the protocol has no request to answer with it.
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

/// Returns the end of a connection whose peer violates the protocol.
pub(crate) fn protocol(what: &str) -> Fatal {
    Fatal::Error(Error::new(ErrorCode::Protocol, format!("{what}; the connection closes")))
}
