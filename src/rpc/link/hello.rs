//! The handshake of a link: the dialing peer, its name, and the roles of both ends.

use std::io;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::auth::Credentials;
use crate::error::{Error, ErrorCode};
use crate::rpc::client::distrust;
use crate::rpc::codec::{self, CodecError, decode, encode_frame};
use crate::rpc::frame::{self, Kind, LINK_PREFACE as PREFACE};
use crate::rpc::http;
use crate::rpc::proto::{WireCredentials, WireError};
use crate::rpc::socket::Socket;

/// Maximum size of an answer to a hello, bytes: until then the listener is untrusted.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Maximum number of bytes shown of a stranger's message.
const SHOWN_BYTES_MAX: usize = 160;

/// The hello of the dialing end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkHello {
    /// The name it asks for.
    pub(super) name: String,
    pub(super) credentials: Option<Credentials>,
    /// True if it accepts connections over the link.
    pub(super) serves: bool,
    /// The number of connections the other end may have open.
    pub(super) streams_max: u32,
}

/// The answer of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkWelcome {
    pub(super) serves: bool,
    pub(super) streams_max: u32,
}

/// Body of the `Hello` of a link.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireLinkHello<'a> {
    #[serde(borrow)]
    pub(super) name: &'a str,
    #[serde(borrow)]
    pub(super) credentials: Option<WireCredentials<'a>>,
    pub(super) serves: bool,
    pub(super) streams_max: u32,
}

/// Body of the `Welcome` of a link.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireLinkWelcome {
    pub(super) serves: bool,
    pub(super) streams_max: u32,
}

impl<'a> From<&'a LinkHello> for WireLinkHello<'a> {
    fn from(hello: &'a LinkHello) -> Self {
        let credentials = hello.credentials.as_ref().map(WireCredentials::from);
        let LinkHello { name, serves, streams_max, .. } = hello;
        Self { name, credentials, serves: *serves, streams_max: *streams_max }
    }
}

impl From<WireLinkHello<'_>> for LinkHello {
    fn from(wire: WireLinkHello<'_>) -> Self {
        let credentials = wire.credentials.map(Credentials::from);
        let WireLinkHello { name, serves, streams_max, .. } = wire;
        Self { name: name.to_owned(), credentials, serves, streams_max }
    }
}

/// Encodes the start of a link at the dialing end.
pub(super) fn encode_hello(hello: &LinkHello) -> Result<Vec<u8>, Error> {
    let mut out = PREFACE.to_vec();
    encode_frame(&mut out, Kind::Hello, 0, 0, &WireLinkHello::from(hello), usize::MAX)
        .map_err(|error| protocol(&error.to_string()))?;
    Ok(out)
}

/// Encodes the start of a link at the listening end.
pub(super) fn encode_answer(answer: &Result<LinkWelcome, Error>) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    // Both are far below any limit of frames.
    let _ = match answer {
        Ok(LinkWelcome { serves, streams_max }) => {
            let wire = WireLinkWelcome { serves: *serves, streams_max: *streams_max };
            encode_frame(&mut out, Kind::Welcome, 0, 0, &wire, usize::MAX)
        }
        Err(error) => {
            encode_frame(&mut out, Kind::Error, 0, 0, &WireError::from(error), usize::MAX)
        }
    };
    out
}

/// The reason why a peer cannot be answered with a frame: it is sent this line.
pub(super) enum HandshakeError {
    Line(&'static str),
    /// The peer has gone.
    Gone,
    /// The peer can be answered with a frame.
    Refused(Error),
}

/// Reads the hello of a link, and no byte beyond it.
pub(super) async fn read_hello(
    socket: &mut (impl AsyncRead + Unpin),
    hello_bytes_max: usize,
) -> Result<LinkHello, HandshakeError> {
    let mut received = BytesMut::new();
    while received.len() < PREFACE.len() {
        read_some(socket, &mut received, PREFACE.len()).await.map_err(|_| HandshakeError::Gone)?;
        if !PREFACE.starts_with(&received) {
            return Err(HandshakeError::Line(not_a_link(&received)));
        }
    }
    received.clear();
    let (kind, body) = read_frame(socket, &mut received, hello_bytes_max).await.map_err(|it| {
        let FrameError::Broken(error) = it else { return HandshakeError::Gone };
        HandshakeError::Refused(match error {
            CodecError::TooLarge { bytes, max } => super::limit(
                "link.hello_bytes_max",
                max,
                &format!("a hello of {bytes} bytes is too long"),
            ),
            error => protocol(&error.to_string()),
        })
    })?;
    if kind != Kind::Hello {
        return Err(HandshakeError::Refused(protocol("the first frame of a link must be a hello")));
    }
    let wire = decode::<WireLinkHello<'_>>(&body);
    wire.map(LinkHello::from).map_err(|error| HandshakeError::Refused(protocol(&error.to_string())))
}

/// Returns the message for a peer that does not begin like a link.
fn not_a_link(start: &[u8]) -> &'static str {
    let same = start.iter().zip(&PREFACE).take_while(|(a, b)| a == b).count();
    // White space before the `{` of a JSON client is ignored.
    match start.trim_ascii_start() {
        _ if same == PREFACE.len() - 1 => {
            "ERR wakeful: this end speaks version 1 of links, the peer another; update the older \
             of the two\n"
        }
        [b'W', b'A', b'K', b'E', b'F', ..] | [b'{', ..] => {
            "ERR wakeful: this port accepts links of servers; clients connect to the port of \
             --listen\n"
        }
        [0x16, ..] => "ERR wakeful: this port does not speak TLS; connect without it\n",
        _ if http::is_request(start) => http::refusal!(
            "This port accepts links of servers that dial in (`wakeful serve --dial HOST:PORT`), \
             not HTTP. Clients connect to the port of --listen; docs/protocol.md has the protocol."
        ),
        _ => "ERR wakeful: this port accepts links of Wakeful servers; see docs/protocol.md\n",
    }
}

/// Sends a hello to `addr` and reads the answer, and no byte beyond it.
///
/// # Errors
///
/// `Unreachable` if the other end has gone, `TlsFailed` if it did not trust this one,
/// `UnsupportedVersion` if it does not listen for links, and the listener's refusal.
pub(super) async fn greet(
    socket: &mut Socket,
    hello: &LinkHello,
    addr: &str,
) -> Result<LinkWelcome, Error> {
    let gone = |error: io::Error| {
        distrust(addr, &error).unwrap_or_else(|| {
            let message = format!("cannot link to {addr}: {error}");
            Error::new(ErrorCode::Unreachable, message)
        })
    };
    // A listener that refuses may close before it has read the hello: its refusal matters, not the
    // error.
    let sent = socket.write_all(&encode_hello(hello)?).await;
    let mut received = BytesMut::new();
    while received.len() < PREFACE.len() {
        read_some(socket, &mut received, PREFACE.len()).await.map_err(gone)?;
        if !PREFACE.starts_with(&received) {
            return Err(unexpected_peer(socket, received, addr).await);
        }
    }
    sent.map_err(gone)?;
    received.clear();
    let frame = read_frame(socket, &mut received, ANSWER_BYTES_MAX).await;
    let unreadable = |error: &CodecError| protocol(&format!("from {addr}: {error}"));
    let (kind, body) = frame.map_err(|it| match it {
        FrameError::Gone(error) => gone(error),
        FrameError::Broken(error) => unreadable(&error),
    })?;
    match kind {
        Kind::Welcome => {
            let wire: WireLinkWelcome = decode(&body).map_err(|error| unreadable(&error))?;
            Ok(LinkWelcome { serves: wire.serves, streams_max: wire.streams_max })
        }
        Kind::Error => {
            let wire = codec::decode::<WireError<'_>>(&body);
            Err(wire.map(Error::from).map_err(|error| unreadable(&error))?)
        }
        kind => Err(protocol(&format!("{addr} began a link with an unexpected {kind:?} frame"))),
    }
}

/// Returns the error for a peer that does not listen for links, with the start of its message.
async fn unexpected_peer(socket: &mut Socket, mut received: BytesMut, addr: &str) -> Error {
    while received.len() < SHOWN_BYTES_MAX && !received.contains(&b'\n') {
        if read_some(socket, &mut received, SHOWN_BYTES_MAX).await.is_err() {
            break;
        }
    }
    let line = received[..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let said = line.escape_ascii();
    let message = format!("{addr} accepts no links of this version of Wakeful; it sent \"{said}\"");
    Error::new(ErrorCode::UnsupportedVersion, message)
}

enum FrameError {
    Gone(io::Error),
    Broken(CodecError),
}

/// Reads one frame, and no byte beyond it.
async fn read_frame(
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
    body_bytes_max: usize,
) -> Result<(Kind, Vec<u8>), FrameError> {
    loop {
        match frame::split(received, body_bytes_max).map_err(FrameError::Broken)? {
            Some((header, body, _)) => {
                let frame = (header.kind, body.to_vec());
                received.advance(received.len());
                return Ok(frame);
            }
            None => {
                let whole = whole_bytes(received);
                read_some(socket, received, whole).await.map_err(FrameError::Gone)?;
            }
        }
    }
}

/// Returns the length of the frame that starts with `received`, as far as it is known.
fn whole_bytes(received: &[u8]) -> usize {
    let body = received.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    match received.len() >= frame::HEADER_BYTES {
        true => frame::HEADER_BYTES.saturating_add(body),
        false => frame::HEADER_BYTES,
    }
}

/// Reads available bytes, up to a total of `until` in `received`.
async fn read_some(
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
    until: usize,
) -> io::Result<()> {
    let room = until.saturating_sub(received.len()) as u64;
    match socket.take(room).read_buf(received).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it")),
        _ => Ok(()),
    }
}

/// Sends an answer, or a line.
pub(super) async fn send(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await
}

fn protocol(what: &str) -> Error {
    Error::new(ErrorCode::Protocol, format!("{what}; the link closes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

    /// Returns all bytes that the document lets one side send.
    fn documented(side: &str) -> Vec<u8> {
        let (_, example) = DOCUMENT.split_once("```link\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let lines = example.lines().filter_map(|line| line.strip_prefix(side));
        let hex: String = lines.flat_map(str::split_whitespace).collect();
        let digits = hex.as_bytes().chunks(2);
        digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    fn edge() -> LinkHello {
        LinkHello {
            name: "edge".to_owned(),
            credentials: Some(Credentials::token("tok")),
            serves: true,
            streams_max: 512,
        }
    }

    #[tokio::test]
    async fn l1_the_handshake_is_as_documented() {
        let said = encode_hello(&edge()).unwrap();
        assert!(documented("D").starts_with(&said));
        let answer = encode_answer(&Ok(LinkWelcome { serves: false, streams_max: 512 }));
        assert!(documented("L").starts_with(&answer));
        let mut all = &documented("D")[..];
        assert!(matches!(read_hello(&mut all, 4096).await, Ok(hello) if hello == edge()));
        assert_eq!(all, &documented("D")[said.len()..], "nothing more is read");
    }

    #[tokio::test]
    async fn l3_a_hello_is_read_however_it_is_split_and_refused_when_it_is_cut() {
        let said = encode_hello(&edge()).unwrap();
        for at in 0..=said.len() {
            let (first, second) = said.split_at(at);
            let mut joined = tokio::io::AsyncReadExt::chain(first, second);
            assert!(matches!(read_hello(&mut joined, 4096).await, Ok(hello) if hello == edge()));
            if at < said.len() {
                assert!(matches!(read_hello(&mut &*first, 4096).await, Err(HandshakeError::Gone)));
            }
        }
    }

    #[tokio::test]
    async fn l3_any_byte_of_a_hello_may_be_wrong() {
        let said = encode_hello(&edge()).unwrap();
        for at in 0..said.len() {
            for wrong in [0, 1, 0x7f, 0xff] {
                let mut bytes = said.clone();
                bytes[at] = wrong;
                // Any result will do, as long as the read ends.
                let _ = read_hello(&mut &*bytes, 4096).await;
            }
        }
    }
}
