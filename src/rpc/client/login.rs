//! The login at the start of a connection, before any other request.

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;

use super::handshake::{HANDSHAKE_BYTES_MAX, read_more};
use super::inbound::{protocol, refusal, unreadable};
use crate::error::{Error, ErrorCode};
use crate::model::{Credentials, RpcCall};
use crate::rpc::codec;
use crate::rpc::frame::{self, Kind};
use crate::rpc::proto::{WireCall, WireReply};
use crate::rpc::socket::Socket;
use crate::session::Identity;

/// The id of the login, which is answered before the next request, so that one may have the same id.
const LOGIN_ID: u64 = 1;

/// Logs in.
///
/// # Errors
/// The refusals of the server; `Unreachable` if the server disconnects instead of answering.
pub(super) async fn log_in(
    socket: &mut Socket,
    received: &mut BytesMut,
    credentials: &Credentials,
    addr: &str,
) -> Result<Identity, Error> {
    let unsendable = |error: codec::CodecError| protocol(format!("the login: {error}"));
    let mut out = Vec::new();
    let call = RpcCall::Login(credentials.clone());
    let wire = WireCall::from(&call);
    codec::encode_frame(&mut out, Kind::Request, LOGIN_ID, 0, &wire, HANDSHAKE_BYTES_MAX)
        .map_err(unsendable)?;
    let sent = socket.write_all(&out).await;
    sent.map_err(|error| {
        Error::new(ErrorCode::Unreachable, format!("no server at {addr}: {error}"))
    })?;
    loop {
        let frame = frame::split(received, HANDSHAKE_BYTES_MAX);
        let Some((header, body, rest)) = frame.map_err(|error| unreadable(&error))? else {
            read_more(socket, received, addr).await?;
            continue;
        };
        let identity = match header.kind {
            Kind::Reply if header.id == LOGIN_ID => Some(identity(body)?),
            Kind::Error => return Err(refusal(body)),
            Kind::Ping => None,
            kind => return Err(protocol(format!("{addr} answered a login with a {kind:?} frame"))),
        };
        let (ping, used) = (header.id, received.len() - rest.len());
        received.advance(used);
        match identity {
            Some(identity) => return Ok(identity),
            None => {
                let mut pong = Vec::new();
                codec::encode_bare(&mut pong, Kind::Pong, ping);
                // The server closes if it does not arrive, which is noticed.
                let _ = socket.write_all(&pong).await;
            }
        }
    }
}

fn identity(body: &[u8]) -> Result<Identity, Error> {
    match codec::decode::<WireReply<'_>>(body).map_err(|error| unreadable(&error))? {
        WireReply::Login(identity) => Ok(identity.into()),
        _ => Err(protocol("the reply does not fit a login")),
    }
}
