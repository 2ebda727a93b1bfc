//! [`ServerConnection`]: connects to an address, up to the server's welcome.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection_state::ServerWelcome;
use super::distrust;
use super::inbound::{protocol, refusal, unreadable};
use super::login::log_in;
use super::transport::Transport;
use crate::config::ClientConfig;
use crate::error::{Error, ErrorCode};
use crate::rpc::codec;
use crate::rpc::frame::{self, Kind, PREFACE};
use crate::rpc::proto::{WireHello, WireWelcome};
use crate::rpc::socket::Socket;

/// Longest welcome or refusal, in bytes: until then, the server is untrusted.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// Longest name of a client, in bytes, as specified in the protocol.
const NAME_BYTES_MAX: usize = 256;

/// Maximum number of bytes shown of an unknown peer's message.
const SHOWN_BYTES_MAX: usize = 80;

/// The first byte of a TLS server's response to a plain connection: an alert.
const TLS_ALERT: u8 = 0x15;

/// A connection after the server's welcome.
#[derive(Debug)]
pub(super) struct ServerConnection {
    pub(super) socket: Socket,
    pub(super) welcome: ServerWelcome,
    /// The bytes received after the welcome.
    pub(super) received: BytesMut,
}

impl ServerConnection {
    /// Connects, exchanges hello and welcome, and logs in if there are credentials; all of that within
    /// `connect_timeout`.
    ///
    /// # Errors
    /// `Unreachable` if nothing answers, `UnsupportedVersion` if something else does, and the
    /// refusals of the server.
    pub(super) async fn open(config: &ClientConfig, transport: &Transport) -> Result<Self, Error> {
        match timeout(config.connect_timeout, open(config, transport)).await {
            Ok(opened) => opened,
            Err(_) => {
                let (addr, limit) = (&config.addr, config.connect_timeout);
                let message = format!("{addr} did not answer within {limit:?}");
                Err(Error::new(ErrorCode::Unreachable, message))
            }
        }
    }
}

async fn open(config: &ClientConfig, transport: &Transport) -> Result<ServerConnection, Error> {
    let addr = &config.addr;
    let unreachable = |error: io::Error| {
        Error::new(ErrorCode::Unreachable, format!("no server at {addr}: {error}"))
    };
    let hello = hello(config)?;
    let mut socket = match transport {
        Transport::Addr => {
            let socket = TcpStream::connect(addr).await.map_err(unreachable)?;
            // Output is already collected here, so waiting for more only adds delay. If the system
            // refuses, the connection is slower but correct.
            let _ = socket.set_nodelay(true);
            secure(socket, config).await?
        }
        Transport::Opener(opener) => opener.open().await?,
    };
    // A server that refuses may close before it has read the hello: its reason matters, not the error.
    let sent = socket.write_all(&hello).await;
    let mut received = BytesMut::new();
    expect_preface(&mut socket, &mut received, addr).await?;
    sent.map_err(unreachable)?;
    let welcome = read_welcome(&mut socket, &mut received, addr).await?;
    if let Some(credentials) = &config.credentials {
        log_in(&mut socket, &mut received, credentials, addr).await?;
    }
    Ok(ServerConnection { socket, welcome, received })
}

#[cfg(feature = "tls")]
async fn secure(socket: TcpStream, config: &ClientConfig) -> Result<Socket, Error> {
    match &config.tls {
        // Boxed, because this large future is not needed by clients without TLS.
        Some(tls) => Box::pin(crate::rpc::tls::connect(socket, tls, &config.addr)).await,
        None => Ok(socket.into()),
    }
}

#[cfg(not(feature = "tls"))]
async fn secure(socket: TcpStream, _: &ClientConfig) -> Result<Socket, Error> {
    Ok(socket.into())
}

fn hello(config: &ClientConfig) -> Result<Vec<u8>, Error> {
    let ClientConfig { name, server, .. } = config;
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let body = WireHello { client_name: name.get(..end).unwrap_or_default(), server };
    let mut out = PREFACE.to_vec();
    codec::encode_frame(&mut out, Kind::Hello, 0, 0, &body, HANDSHAKE_BYTES_MAX)
        .map_err(|error| protocol(error.to_string()))?;
    Ok(out)
}

async fn expect_preface(
    socket: &mut Socket,
    received: &mut BytesMut,
    addr: &str,
) -> Result<(), Error> {
    while received.len() < PREFACE.len() {
        let common = received.len().min(PREFACE.len());
        if received.get(..common) != PREFACE.get(..common) {
            break;
        }
        read_more(socket, received, addr).await?;
    }
    if received.starts_with(&PREFACE) {
        received.advance(PREFACE.len());
        return Ok(());
    }
    let said = quoted_line(received);
    let name = PREFACE.len() - 1;
    let message = if received.get(..name) == PREFACE.get(..name) {
        format!("{addr} speaks another version of the Wakeful protocol: {said}")
    } else if received.first() == Some(&TLS_ALERT) {
        format!("{addr} speaks TLS only: connect with TLS (--tls)")
    } else if received.starts_with(b"ERR wakeful:") {
        format!("{addr} does not accept this as a Wakeful client: {said}")
    } else {
        format!("{addr} is not a Wakeful server: it answered {said}")
    };
    Err(Error::new(ErrorCode::UnsupportedVersion, message))
}

/// Returns the first line of an unknown peer's message, in printable form.
fn quoted_line(received: &[u8]) -> String {
    let line = received.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.get(..SHOWN_BYTES_MAX).unwrap_or(line);
    format!("\"{}\"", line.escape_ascii())
}

async fn read_welcome(
    socket: &mut Socket,
    received: &mut BytesMut,
    addr: &str,
) -> Result<ServerWelcome, Error> {
    loop {
        let frame = frame::split(received, HANDSHAKE_BYTES_MAX);
        if let Some((header, body, rest)) = frame.map_err(|error| unreadable(&error))? {
            let welcome = match header.kind {
                Kind::Welcome => welcome(body)?,
                Kind::Error => return Err(refusal(body)),
                kind => return Err(protocol(format!("{addr} began with a {kind:?} frame"))),
            };
            let used = received.len() - rest.len();
            received.advance(used);
            return Ok(welcome);
        }
        read_more(socket, received, addr).await?;
    }
}

fn welcome(body: &[u8]) -> Result<ServerWelcome, Error> {
    let wire: WireWelcome<'_> = codec::decode(body).map_err(|error| unreadable(&error))?;
    Ok(ServerWelcome {
        store_id: wire.store_id,
        revision: wire.revision,
        frame_bytes_max: wire.frame_bytes_max as usize,
        requests_in_flight_max: wire.requests_in_flight_max as usize,
    })
}

pub(super) async fn read_more(
    socket: &mut Socket,
    received: &mut BytesMut,
    addr: &str,
) -> Result<(), Error> {
    let error = match socket.read_buf(received).await {
        Ok(0) => "it closed the connection before a welcome".to_owned(),
        Ok(_) => return Ok(()),
        Err(error) => match distrust(addr, &error) {
            Some(error) => return Err(error),
            None => error.to_string(),
        },
    };
    Err(Error::new(ErrorCode::Unreachable, format!("no server at {addr}: {error}")))
}
