//! [`NativeProtocol`]: the native, framed protocol.

use std::sync::Arc;
use std::time::Duration;

use super::large_values::large_values;
use super::links::check_name;
use super::push_frames::{next_large_values, write_next};
use super::refusal::{bad_hello, bad_login, fatal, is_undecided, not_wakeful};
use crate::actor::ReplyEncoder;
use crate::actor::message::Done;
use crate::config::{Durability, SERVER_NAME_BYTES_MAX};
use crate::error::{Details, Error, ErrorCode};
use crate::front::{
    Decoded, End, Fatal, OutputBuffer, Protocol, PushCursor, ReadContext, Received,
    RequestDispatcher, WrittenPush, client_name, protocol,
};
use crate::model::{Blob, CallReply, KeyBuffer, KeyRequest, RpcCall};
use crate::rpc::codec::{CodecError, decode, encode_bare, encode_frame, encode_headed};
use crate::rpc::frame::{Header, Kind, PREFACE, split};
use crate::rpc::proto::{
    WireCall, WireCredit, WireError, WireHello, WirePush, WireReply, WireWelcome, append_key_reply,
    durability_byte, read_durability, read_key_call,
};
use crate::stranger_lines::{LineKind, log_stranger};

/// Maximum body of a hello: an unknown peer gets no large buffers.
pub(in crate::rpc) const HELLO_BYTES_MAX: usize = 1024;

/// The refusal of a peer that sent nothing from which its protocol is known.
const NO_PREFACE: &str = "ERR wakeful: no preface within rpc.handshake_timeout; this port speaks \
    the wakeful protocol, see docs/protocol.md\n";

/// The native protocol on one connection.
pub(crate) struct NativeProtocol {
    phase: Phase,
    frame_bytes_max: usize,
    /// The durability of the answers to waits.
    durability: Option<Durability>,
    /// The name of the server on this link, if it differs from its own.
    called: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preface,
    Hello,
    Open,
}

/// An item that only the native protocol has.
pub(crate) enum NativeItem {
    /// The name of the client, and of the server that it requires.
    Hello {
        client: String,
        server: String,
    },
    Ping(u64),
}

impl NativeProtocol {
    pub(super) fn new(
        frame_bytes_max: usize,
        durability: Option<Durability>,
        called: Option<Arc<str>>,
    ) -> Self {
        Self { phase: Phase::Preface, frame_bytes_max, durability, called }
    }

    /// Returns true until the peer has sent the preface.
    pub(super) fn is_at_preface(&self) -> bool {
        self.phase == Phase::Preface
    }

    /// Returns the durability of the answers to waits.
    pub(super) fn durability(&self) -> Option<Durability> {
        self.durability
    }

    /// Reads one frame, or the preface.
    #[inline]
    pub(super) fn read_frame<O: From<NativeItem>>(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<O>, Fatal> {
        let config = reading.config;
        let split = match self.phase {
            Phase::Open if reading.stranger => {
                split(bytes, config.login_frame_bytes_max).map_err(bad_login)
            }
            Phase::Open => split(bytes, config.frame_bytes_max).map_err(fatal),
            Phase::Hello => split(bytes, HELLO_BYTES_MAX).map_err(bad_hello),
            Phase::Preface => return self.read_preface(bytes),
        };
        let Some((header, body, after)) = split? else { return Ok(Decoded::Partial { used: 0 }) };
        let is_idle =
            self.phase == Phase::Open && (is_bare(header.kind) || header.kind == Kind::Credit);
        let received = self.understand(header, body, reading)?;
        Ok(Decoded::Item { used: bytes.len() - after.len(), received, is_idle })
    }

    fn read_preface<O>(&mut self, bytes: &[u8]) -> Result<Decoded<O>, Fatal> {
        let start = bytes.get(..PREFACE.len()).unwrap_or(bytes);
        if is_undecided(start) {
            return Ok(Decoded::Partial { used: 0 });
        }
        if !PREFACE.starts_with(start) {
            return Err(Fatal::Foreign(not_wakeful(start)));
        }
        if start.len() < PREFACE.len() {
            return Ok(Decoded::Partial { used: 0 });
        }
        self.phase = Phase::Hello;
        Ok(Decoded::Item { used: PREFACE.len(), received: None, is_idle: false })
    }

    #[inline]
    fn understand<O: From<NativeItem>>(
        &mut self,
        header: Header,
        body: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Option<Received<O>>, Fatal> {
        let id = header.id;
        if self.phase == Phase::Hello {
            let hello = self.hello(header, body)?;
            return Ok(Some(Received::Own(hello.into())));
        }
        if is_bare(header.kind) && !body.is_empty() {
            return Err(protocol("a frame with a body that must have none"));
        }
        Ok(Some(match header.kind {
            Kind::Request if id == 0 => return Err(protocol("request id 0 is the connection's")),
            Kind::Request => {
                let wait = Duration::from_millis(u64::from(header.deadline_ms));
                let deadline = (header.deadline_ms > 0).then(|| reading.now + wait);
                match key_request(&header, body, reading.keys) {
                    Some(request) => Received::Key { id, deadline, request },
                    None => Received::Request { id, deadline, call: Box::new(call(&header, body)) },
                }
            }
            Kind::Cancel => Received::Cancel(id),
            Kind::Credit => {
                let WireCredit { bytes } = decode(body).map_err(fatal)?;
                Received::Credit { stream: id, bytes }
            }
            Kind::Ping => Received::Own(NativeItem::Ping(id).into()),
            Kind::Pong => return Ok(None),
            Kind::Goodbye => Received::Goodbye,
            Kind::Hello => return Err(protocol("a second hello")),
            Kind::Welcome | Kind::Reply | Kind::Error | Kind::Push => {
                return Err(protocol("a frame that only servers send"));
            }
        }))
    }

    fn hello(&mut self, header: Header, body: &[u8]) -> Result<NativeItem, Fatal> {
        if header.kind != Kind::Hello {
            return Err(protocol("the first frame must be a hello"));
        }
        let WireHello { client_name: said, server } = decode(body).map_err(bad_hello)?;
        let client = client_name(said).map_err(protocol)?;
        if server.len() > SERVER_NAME_BYTES_MAX {
            return Err(protocol("the server's name is longer than 256 bytes"));
        }
        self.phase = Phase::Open;
        Ok(NativeItem::Hello { client, server: server.to_owned() })
    }

    async fn welcome(
        &self,
        client: String,
        server: &str,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        let called = self.called.as_deref().or(dispatcher.server_name());
        check_name(called, server).map_err(|error| End::Fatal(Fatal::Error(error)))?;
        tracing::Span::current().record("client", client.as_str());
        dispatcher.meet(Some(client), "");
        let welcome = new_welcome(dispatcher).await?;
        let out = out.buffer();
        out.extend_from_slice(&PREFACE);
        let framed = encode_frame(out, Kind::Welcome, 0, 0, &welcome, self.frame_bytes_max);
        framed.map_err(|_| End::Gone)?;
        log_stranger!(dispatcher, LineKind::Connection, DEBUG, "connection open");
        Ok(())
    }

    fn reply(
        &self,
        out: &mut OutputBuffer,
        id: u64,
        durability: Option<Durability>,
        reply: &WireReply<'_>,
        values: &[Blob],
    ) -> Result<(), End> {
        match out.frame(reply_header(id, durability), reply, self.frame_bytes_max, values) {
            Err(CodecError::TooLarge { bytes, max }) => {
                // `Config::check` rejects limits that make this possible.
                tracing::error!(bytes, max, "a reply does not fit in a frame");
                let message = format!("the reply of {bytes} bytes does not fit in a frame");
                let name = "rpc.frame_bytes_max".to_owned();
                let details = Details::Limit { name, value: max as u64 };
                let error = Error::new(ErrorCode::Internal, message).with_details(details);
                self.error(out.buffer(), id, &error)
            }
            encoded => framed(encoded),
        }
    }

    fn error(&self, out: &mut Vec<u8>, id: u64, error: &Error) -> Result<(), End> {
        let wire = WireError::from(error);
        framed(encode_frame(out, Kind::Error, id, 0, &wire, self.frame_bytes_max))
    }
}

/// Ends the connection if a body of our own cannot be encoded, which is a defect.
fn framed(encoded: Result<usize, CodecError>) -> Result<(), End> {
    encoded.map(|_| ()).map_err(|error| {
        tracing::error!(%error, "a frame could not be encoded");
        End::Gone
    })
}

impl Protocol for NativeProtocol {
    type Own = NativeItem;

    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<NativeItem>, Fatal> {
        self.read_frame(bytes, reading)
    }

    fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    fn late(&self) -> Fatal {
        match self.phase {
            Phase::Preface => Fatal::Foreign(NO_PREFACE),
            Phase::Hello | Phase::Open => protocol("no hello within rpc.handshake_timeout"),
        }
    }

    async fn take(
        &mut self,
        item: NativeItem,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        match item {
            NativeItem::Hello { client, server } => {
                self.welcome(client, &server, dispatcher, out).await
            }
            NativeItem::Ping(id) => {
                encode_bare(out.buffer(), Kind::Pong, id);
                Ok(())
            }
        }
    }

    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End> {
        let values = answer.as_ref().map(large_values).unwrap_or_default();
        match answer {
            Ok(Done::Reply(CallReply { reply, durability })) => {
                self.reply(out, id, durability, &WireReply::from(&reply), &values)
            }
            Ok(Done::Waited(outcome)) => {
                let durability = self.durability;
                self.reply(out, id, durability, &WireReply::from(&outcome), &values)
            }
            Ok(Done::Parked(_, None)) => Ok(()),
            Ok(Done::Parked(_, Some(revision))) => {
                let parked = WirePush::Parked { revision };
                framed(encode_frame(out.buffer(), Kind::Push, id, 0, &parked, self.frame_bytes_max))
            }
            Ok(Done::StreamOpened(_)) => self.reply(out, id, None, &WireReply::StreamOpen, &[]),
            Ok(Done::Watching(revision)) => {
                self.reply(out, id, None, &WireReply::WatchAdd { revision }, &[])
            }
            Ok(Done::LoggedIn(identity)) => {
                self.reply(out, id, None, &WireReply::Login((&identity).into()), &[])
            }
            Ok(Done::WatchCancelled) => self.reply(out, id, None, &WireReply::WatchCancel, &[]),
            Err(error) => self.error(out.buffer(), id, &error),
        }
    }

    fn reply_encoder(&self) -> Option<ReplyEncoder> {
        Some(ReplyEncoder { encode: encode_reply, body_bytes_max: self.frame_bytes_max })
    }

    fn push(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End> {
        let (header, values) = (Header::bare(Kind::Push, stream), next_large_values(cursor));
        let max = self.frame_bytes_max;
        pushed(write_next(cursor, |push| out.frame(header, push, max, &values)))
    }

    fn say_goodbye(&mut self, out: &mut OutputBuffer) {
        encode_bare(out.buffer(), Kind::Goodbye, 0);
    }

    fn refuse(&mut self, out: &mut OutputBuffer, error: &Error, is_new: bool) {
        if is_new {
            out.buffer().extend_from_slice(&PREFACE);
        }
        // An error cannot exceed the limit of a frame.
        let wire = WireError::from(error);
        let _ = encode_frame(out.buffer(), Kind::Error, 0, 0, &wire, usize::MAX);
    }

    fn ping(&mut self, out: &mut OutputBuffer) {
        encode_bare(out.buffer(), Kind::Ping, 0);
    }

    fn has_pings(&self) -> bool {
        true
    }
}

/// Reads a request about one key without a decoder; `None` leaves the request to [`call`].
#[inline]
fn key_request(header: &Header, body: &[u8], keys: &mut KeyBuffer) -> Option<KeyRequest> {
    keys.push(read_durability(header.durability).ok()?, read_key_call(body)?)
}

/// Returns the header of a reply whose body is still to be encoded.
fn reply_header(id: u64, durability: Option<Durability>) -> Header {
    Header { durability: durability_byte(durability), ..Header::bare(Kind::Reply, id) }
}

/// Appends the frame of a reply without large values, if its body is not longer than `body_bytes_max`;
/// returns whether it was.
fn encode_reply(out: &mut Vec<u8>, id: u64, reply: &CallReply, body_bytes_max: usize) -> bool {
    let header = reply_header(id, reply.durability);
    append_key_reply(out, header, &reply.reply, body_bytes_max)
        || encode_headed(out, header, &WireReply::from(&reply.reply), body_bytes_max).is_ok()
}

/// Returns true if frames of this kind have no body.
fn is_bare(kind: Kind) -> bool {
    matches!(kind, Kind::Cancel | Kind::Ping | Kind::Pong | Kind::Goodbye)
}

/// Decodes a request; an error concerns only this request.
fn call(header: &Header, body: &[u8]) -> Result<RpcCall, Error> {
    let refused = |code, error| Error::new(code, format!("request refused: {error}"));
    let call = decode::<WireCall<'_>>(body).map(RpcCall::from);
    let mut call = call.map_err(|error| refused(ErrorCode::Protocol, error))?;
    let durability = read_durability(header.durability);
    let durability = durability.map_err(|error| refused(ErrorCode::InvalidArgument, error))?;
    if let RpcCall::Store { options, .. } = &mut call {
        options.durability = durability;
    }
    Ok(call)
}

/// Returns the facts about the server for the answer to a hello.
pub(super) async fn new_welcome(
    dispatcher: &RequestDispatcher,
) -> Result<WireWelcome<'static>, End> {
    let (revision, rpc) = (dispatcher.revision().await?, dispatcher.config());
    let saturated = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(WireWelcome {
        server_version: env!("CARGO_PKG_VERSION"),
        store_id: dispatcher.store_id(),
        revision,
        frame_bytes_max: saturated(rpc.frame_bytes_max),
        requests_in_flight_max: saturated(rpc.requests_in_flight_max),
        ping_interval_ms: u32::try_from(rpc.ping_interval.as_millis()).unwrap_or(u32::MAX),
    })
}

/// Does the same as [`framed`], for a push.
pub(super) fn pushed(written: Result<WrittenPush, CodecError>) -> Result<WrittenPush, End> {
    written.map_err(|error| {
        tracing::error!(%error, "a push could not be encoded");
        End::Gone
    })
}
