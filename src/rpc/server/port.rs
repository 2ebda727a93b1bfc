//! [`PortProtocol`]: the native protocol or JSON, as the first byte of the peer decides.

use super::json::JsonProtocol;
use super::native::{HELLO_BYTES_MAX, NativeItem, NativeProtocol};
use crate::actor::ReplyEncoder;
use crate::actor::message::Done;
use crate::error::Error;
use crate::front::{
    Decoded, End, Fatal, OutputBuffer, Protocol, PushCursor, ReadContext, RequestDispatcher,
    WrittenPush,
};
use crate::rpc::json::{ConnectionStart, JsonRequest};

/// The protocol of one connection: the native one, unless the first byte shows that it is JSON.
pub(crate) enum PortProtocol {
    Native(NativeProtocol),
    Json(Box<JsonProtocol>),
}

/// An item that only one of the two protocols has.
pub(crate) enum PortItem {
    Native(NativeItem),
    Json(Box<JsonRequest>),
}

/// Evaluates the expression for either protocol.
macro_rules! either {
    ($self:expr, $protocol:ident => $do:expr) => {
        match $self {
            PortProtocol::Native($protocol) => $do,
            PortProtocol::Json($protocol) => $do,
        }
    };
}

impl From<NativeItem> for PortItem {
    fn from(item: NativeItem) -> Self {
        Self::Native(item)
    }
}

impl From<JsonRequest> for PortItem {
    fn from(ask: JsonRequest) -> Self {
        Self::Json(Box::new(ask))
    }
}

impl Protocol for PortProtocol {
    type Own = PortItem;

    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<PortItem>, Fatal> {
        if let Self::Native(native) = self
            && native.is_at_preface()
        {
            match ConnectionStart::of(bytes) {
                ConnectionStart::Json => {
                    *self = Self::Json(Box::new(JsonProtocol::new(native.durability())))
                }
                ConnectionStart::Space if bytes.len() <= HELLO_BYTES_MAX => {
                    return Ok(Decoded::Partial { used: 0 });
                }
                ConnectionStart::Space | ConnectionStart::Other => {}
            }
        }
        match self {
            Self::Native(native) => native.read_frame(bytes, reading),
            Self::Json(json) => Ok(json.read_object(bytes, reading)),
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        either!(self, protocol => protocol.is_open())
    }

    fn late(&self) -> Fatal {
        either!(self, protocol => protocol.late())
    }

    fn is_heavy(item: &PortItem) -> bool {
        match item {
            PortItem::Native(item) => NativeProtocol::is_heavy(item),
            PortItem::Json(ask) => JsonProtocol::is_heavy(ask),
        }
    }

    fn is_login(item: &PortItem) -> bool {
        match item {
            PortItem::Native(item) => NativeProtocol::is_login(item),
            PortItem::Json(ask) => JsonProtocol::is_login(ask),
        }
    }

    async fn take(
        &mut self,
        item: PortItem,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        match (self, item) {
            (Self::Native(native), PortItem::Native(item)) => {
                native.take(item, dispatcher, out).await
            }
            (Self::Json(json), PortItem::Json(ask)) => json.take(*ask, dispatcher, out).await,
            // The protocol does not change after the first item.
            (Self::Native(_), PortItem::Json(_)) | (Self::Json(_), PortItem::Native(_)) => {
                Err(End::Gone)
            }
        }
    }

    #[inline]
    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End> {
        either!(self, protocol => protocol.answer(out, id, answer))
    }

    #[inline]
    fn reply_encoder(&self) -> Option<ReplyEncoder> {
        either!(self, protocol => protocol.reply_encoder())
    }

    #[inline]
    fn push(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End> {
        either!(self, protocol => protocol.push(out, stream, cursor))
    }

    fn say_goodbye(&mut self, out: &mut OutputBuffer) {
        either!(self, protocol => protocol.say_goodbye(out));
    }

    fn refuse(&mut self, out: &mut OutputBuffer, error: &Error, is_new: bool) {
        either!(self, protocol => protocol.refuse(out, error, is_new));
    }

    fn ping(&mut self, out: &mut OutputBuffer) {
        either!(self, protocol => protocol.ping(out));
    }

    fn has_pings(&self) -> bool {
        either!(self, protocol => protocol.has_pings())
    }

    #[inline]
    fn answers_half_closed(&self) -> bool {
        either!(self, protocol => protocol.answers_half_closed())
    }

    fn hang_up(&mut self, out: &mut OutputBuffer) {
        either!(self, protocol => protocol.hang_up(out));
    }

    #[inline]
    fn awaits_nothing(&self, is_idle: bool) -> bool {
        either!(self, protocol => protocol.awaits_nothing(is_idle))
    }
}
