//! Frames of the native protocol as a client writes and reads them, and their bodies both ways.

use crate::auth::Credentials;
use crate::error::{Error, ErrorCode};
use crate::model::{Reply, Request, RpcCall, WaitRequest, WatchRequest};
use crate::rpc::codec::{self, BODY_BYTES_LIMIT, CodecError};
use crate::rpc::frame::{Kind, PREFACE};
use crate::rpc::proto::{WireCall, WireCredit, WireError, WireHello, WirePush, WireReply};

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestBody(RpcCall);

impl<R: Into<Request>> From<R> for RequestBody {
    fn from(request: R) -> Self {
        Self(request.into().into())
    }
}

impl RequestBody {
    /// Returns a login.
    pub fn login(credentials: Credentials) -> Self {
        Self(RpcCall::Login(credentials))
    }

    /// Returns a wait for a key.
    pub fn wait(wait: WaitRequest) -> Self {
        Self(RpcCall::Wait(wait))
    }

    /// Returns a request to open a stream with up to `window_bytes` of unread pushes.
    pub fn open_stream(window_bytes: u32) -> Self {
        Self(RpcCall::StreamOpen { window_bytes })
    }

    /// Returns a request to add a watch to a stream.
    pub fn add_watch(stream: u64, watch_id: u64, watch: WatchRequest) -> Self {
        Self(RpcCall::WatchAdd { stream, watch_id, watch })
    }

    /// Appends the frame of the request with `id`, as a client does.
    ///
    /// # Errors
    /// If the body is larger than the protocol allows.
    pub fn encode(&self, out: &mut Vec<u8>, id: u64) -> Result<(), Error> {
        let body = WireCall::from(&self.0);
        codec::encode_frame(out, Kind::Request, id, 0, &body, BODY_BYTES_LIMIT)
            .map_err(malformed)?;
        Ok(())
    }

    /// Decodes the body of a request, as a server does.
    ///
    /// # Errors
    /// If `body` is not a request.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        Ok(Self(codec::decode::<WireCall<'_>>(body).map_err(malformed)?.into()))
    }
}

/// Appends what a client sends first: the preface and a hello.
///
/// # Errors
/// If the name is larger than the protocol allows.
pub fn encode_hello(out: &mut Vec<u8>, client_name: &str) -> Result<(), Error> {
    out.extend_from_slice(&PREFACE);
    let body = WireHello { client_name, server: "" };
    codec::encode_frame(out, Kind::Hello, 0, 0, &body, BODY_BYTES_LIMIT).map_err(malformed)?;
    Ok(())
}

/// Appends a frame that gives `stream` credit for `bytes` more.
///
/// # Errors
/// None: the frame is small.
pub fn encode_credit(out: &mut Vec<u8>, stream: u64, bytes: u32) -> Result<(), Error> {
    let body = WireCredit { bytes };
    codec::encode_frame(out, Kind::Credit, stream, 0, &body, BODY_BYTES_LIMIT)
        .map_err(malformed)?;
    Ok(())
}

/// Appends the frame of a reply, as a server does.
///
/// # Errors
/// If the body is larger than the protocol allows.
pub fn encode_reply(out: &mut Vec<u8>, id: u64, reply: &Reply) -> Result<(), Error> {
    let body = WireReply::from(reply);
    codec::encode_frame(out, Kind::Reply, id, 0, &body, BODY_BYTES_LIMIT).map_err(malformed)?;
    Ok(())
}

/// Decodes the body of a reply to a [`Request`].
///
/// # Errors
/// If `body` is not such a reply.
pub fn decode_reply(body: &[u8]) -> Result<Reply, Error> {
    let reply = codec::decode::<WireReply<'_>>(body).map_err(malformed)?;
    let other = || Error::new(ErrorCode::Protocol, "a reply that does not fit its request");
    reply.into_store_reply().ok_or_else(other)
}

/// Decodes the body of an error.
pub fn decode_error(body: &[u8]) -> Error {
    codec::decode::<WireError<'_>>(body).map_or_else(malformed, Error::from)
}

/// Decodes the body of a push of a stream, and returns the number of its events, counted once for each
/// watch that they go to.
///
/// # Errors
/// If `body` is not a push, or if it ends a watch.
pub fn decode_events(body: &[u8]) -> Result<u64, Error> {
    match codec::decode::<WirePush<'_>>(body).map_err(malformed)? {
        WirePush::Events { deliveries, .. } => {
            Ok(deliveries.iter().map(|delivery| u64::from(delivery.count)).sum())
        }
        WirePush::Ended { error, .. } => {
            let mut error = Error::from(error);
            error.message = format!("a watch was ended: {}", error.message);
            Err(error)
        }
        _ => Ok(0),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: CodecError) -> Error {
    Error::new(ErrorCode::Protocol, error.to_string())
}
