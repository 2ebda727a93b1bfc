//! [`TlsHandshaker`]: the TLS handshake of a port, between accept and connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream as Accepted;

use super::certificates::Certificates;
use super::handshakes::Handshakes;
use super::name::name_of;
use super::reason;
use super::stream::TlsStream;
use super::{BUFFER_BYTES, HANDSHAKE_RECORD, TlsConfig};
use crate::config::{LinkConfig, RpcConfig};
use crate::error::{Error, ErrorCode};
use crate::rpc::codec::encode_frame;
use crate::rpc::frame::{Kind, PREFACE};
use crate::rpc::http;
use crate::rpc::json::ConnectionStart;
use crate::rpc::proto::WireError;
use crate::rpc::socket::Socket;
use crate::session::{Identity, Via};
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// The answer to a client that does not speak TLS.
const SPEAK_TLS: &str = "this port speaks TLS only: connect with TLS (wakeful --tls)";

/// Maximum time to send the last message of a refused connection.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The handshake that each connection of a port must pass.
pub(crate) struct TlsHandshaker {
    certificates: Arc<Certificates>,
    handshakes: Handshakes,
    lines: StrangerLines,
    /// The name of the limit that is the deadline of a handshake.
    timeout: &'static str,
}

/// The limits of a port's handshakes.
pub(crate) struct HandshakeLimits {
    pub(crate) handshakes_max: usize,
    pub(crate) check_interval: Duration,
    pub(crate) lines: StrangerLines,
    /// The name of the limit that is their deadline.
    pub(crate) timeout: &'static str,
}

/// A peer that passed the handshake.
pub(crate) struct AcceptedPeer {
    pub(crate) socket: Socket,
    /// The identity in the certificate; `None` without a certificate or a usable name.
    pub(crate) identity: Option<Identity>,
}

/// A TLS port that [`listen_tls`](crate::Wakeful::listen_tls) has opened. Dropping it changes
/// nothing.
#[derive(Clone)]
pub struct TlsListener {
    addr: SocketAddr,
    certificates: Arc<Certificates>,
}

impl HandshakeLimits {
    /// Returns the limits of a port for clients, whose log lines `lines` bounds.
    pub(crate) fn of(rpc: &RpcConfig, lines: StrangerLines) -> Self {
        Self {
            handshakes_max: rpc.tls_handshakes_max,
            check_interval: rpc.tls_check_interval,
            lines,
            timeout: "rpc.handshake_timeout",
        }
    }

    /// Returns the limits of a port for links, whose files are checked as often as those of
    /// clients.
    pub(crate) fn of_links(link: &LinkConfig, rpc: &RpcConfig, lines: StrangerLines) -> Self {
        Self {
            handshakes_max: link.handshakes_max,
            check_interval: rpc.tls_check_interval,
            lines,
            timeout: "link.handshake_timeout",
        }
    }
}

impl TlsHandshaker {
    /// Reads the files, and [starts](Self::start).
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a file that cannot be used; otherwise those of [`start`](Self::start).
    pub(crate) fn open(config: TlsConfig, limits: HandshakeLimits) -> Result<Arc<Self>, Error> {
        Self::start(Certificates::open(config)?, limits)
    }

    /// Starts the thread for handshakes, and to check the files for changes every `check_interval`,
    /// unless that is zero. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a thread cannot be started.
    pub(crate) fn start(
        certificates: Certificates,
        limits: HandshakeLimits,
    ) -> Result<Arc<Self>, Error> {
        let HandshakeLimits { handshakes_max, check_interval, lines, timeout } = limits;
        let certificates = Arc::new(certificates);
        let handshakes = Handshakes::start(handshakes_max, lines.clone()).map_err(|error| {
            Error::new(
                ErrorCode::Unavailable,
                format!("cannot start the thread for TLS handshakes: {error}"),
            )
        })?;
        let handshaker = Arc::new(Self { certificates, handshakes, lines, timeout });
        if !check_interval.is_zero() {
            tokio::spawn(keep_looking(Arc::downgrade(&handshaker), check_interval));
        }
        Ok(handshaker)
    }

    /// Returns the handle for the caller that opened the port.
    pub(crate) fn handle(&self, addr: SocketAddr) -> TlsListener {
        TlsListener { addr, certificates: Arc::clone(&self.certificates) }
    }

    /// Performs the handshake. Returns `None` if it did not succeed by `deadline`; the peer has
    /// been sent the reason if possible.
    ///
    /// Cancel: the socket is closed.
    pub(crate) async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<AcceptedPeer> {
        let mut first = [0; PREFACE.len()];
        let seen = match tokio::time::timeout_at(deadline.into(), socket.peek(&mut first)).await {
            Ok(Ok(0) | Err(_)) => {
                let kind = LineKind::Handshake;
                log_stranger!(self.lines, kind, DEBUG, %peer, "disconnected before a TLS handshake");
                return None;
            }
            Ok(Ok(seen)) => first.get(..seen).unwrap_or_default(),
            Err(_) => {
                let limit = self.timeout;
                log_stranger!(self.lines, LineKind::Handshake, INFO, %peer, limit, "no TLS handshake in time; closing");
                send_last(socket, &self.answer_to(b"")).await;
                return None;
            }
        };
        if seen.first() != Some(&HANDSHAKE_RECORD) {
            log_stranger!(self.lines, LineKind::Handshake, INFO, %peer, "refused: the peer does not speak TLS");
            send_last(socket, &self.answer_to(seen)).await;
            return None;
        }
        let handshake = self.handshake(socket, peer);
        let Ok(done) = tokio::time::timeout_at(deadline.into(), handshake).await else {
            log_stranger!(
                self.lines,
                LineKind::Handshake,
                INFO,
                %peer,
                limit = self.timeout,
                under_way = self.handshakes.under_way(),
                "TLS handshake not completed in time; closing"
            );
            return None;
        };
        done.map(|stream| AcceptedPeer {
            identity: self.identity(&stream, peer),
            socket: Socket::Other(Box::new(TlsStream::new(stream))),
        })
    }

    async fn handshake(&self, socket: TcpStream, peer: SocketAddr) -> Option<Accepted<TcpStream>> {
        let bounded = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(BUFFER_BYTES));
        };
        // The certificates at the time of its turn apply.
        let begin = || self.certificates.acceptor().accept_with(socket, bounded).into_fallible();
        match self.handshakes.run(peer.ip(), begin).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err((error, socket))) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    let error = reason::of_client(&error);
                    log_stranger!(self.lines, LineKind::Handshake, INFO, %peer, error, "TLS handshake refused");
                } else {
                    log_stranger!(self.lines, LineKind::Handshake, DEBUG, %peer, %error, "TLS handshake broken off");
                }
                // The alert is written; unread input would discard it.
                send_last(socket, b"").await;
                None
            }
            Err(error) => {
                if error.is_panic() {
                    log_stranger!(self.lines, LineKind::Handshake, ERROR, %peer, "a TLS handshake panicked");
                }
                None
            }
        }
    }

    fn identity(&self, stream: &Accepted<TcpStream>, peer: SocketAddr) -> Option<Identity> {
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        let Some(name) = name_of(certificate) else {
            let what = "a client certificate without a name that can be used";
            log_stranger!(self.lines, LineKind::Handshake, INFO, %peer, "{what}");
            return None;
        };
        log_stranger!(self.lines, LineKind::Handshake, DEBUG, %peer, name, "a client certificate");
        Some(Identity { name, via: Via::Certificate })
    }

    /// Returns a readable answer to a client that does not speak TLS, by its first bytes.
    fn answer_to(&self, seen: &[u8]) -> Vec<u8> {
        match seen {
            [] => {
                format!("ERR wakeful: received nothing within {}; {SPEAK_TLS}\n", self.timeout).into()
            }
            seen if ConnectionStart::of(seen) == ConnectionStart::Json => {
                format!("{{\"id\":null,\"result\":null,\"error\":\"{SPEAK_TLS}\"}}\n").into_bytes()
            }
            seen if http::is_request(seen) => http::refusal!(
                "This port speaks TLS only, and inside TLS the Wakeful protocol and JSON, not HTTP. \
                 Use `wakeful status --tls --addr HOST:PORT` or a client library; docs/protocol.md \
                 has the protocols."
            )
            .into(),
            seen if PREFACE.starts_with(seen) => {
                let error = Error::new(ErrorCode::UnsupportedVersion, SPEAK_TLS);
                let mut out = PREFACE.to_vec();
                // An error is far below any limit of frames.
                let _ =
                    encode_frame(&mut out, Kind::Error, 0, 0, &WireError::from(&error), usize::MAX);
                out
            }
            _ => format!("ERR wakeful: {SPEAK_TLS}\n").into_bytes(),
        }
    }
}

/// Sends `words` if the peer reads them, and reads its remaining input, so that the close does not
/// discard them.
async fn send_last(mut socket: TcpStream, words: &[u8]) {
    let said = async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        let mut ignored = [0; 1024];
        while socket.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // The peer may not read them.
    let _ = tokio::time::timeout(LAST_WORDS, said).await;
}

/// Checks the files for changes until the port is gone.
async fn keep_looking(handshaker: Weak<TlsHandshaker>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(certificates) =
            handshaker.upgrade().map(|handshaker| Arc::clone(&handshaker.certificates))
        else {
            return;
        };
        // A slow disk must not delay connections.
        let looked = tokio::task::spawn_blocking(move || certificates.look());
        if looked.await.is_err() {
            return;
        }
    }
}

impl TlsListener {
    /// Returns the bound address (useful with port 0).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Reads certificates and key again, now. Open connections continue unchanged. Blocks the
    /// thread while three small files are read.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the file that cannot be used, or whose certificate has expired:
    /// nothing changed, and the log reports it too.
    pub fn reload(&self) -> Result<(), Error> {
        self.certificates.reload()
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("addr", &self.addr).finish_non_exhaustive()
    }
}
