//! [`SocketAcceptor`]: the handshake of a port, TLS or none, and its protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

use super::native::NativeProtocol;
use super::no_place;
use super::port::PortProtocol;
use crate::error::Error;
use crate::front::Accept;
use crate::handle::Wakeful;
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{AcceptedPeer, HandshakeLimits, TlsConfig, TlsHandshaker};
use crate::session::Identity;

#[derive(Clone)]
pub(crate) enum SocketAcceptor {
    /// No handshake.
    Plain,
    #[cfg(feature = "tls")]
    Tls(Arc<TlsHandshaker>),
}

impl SocketAcceptor {
    /// Returns the acceptor of a plain port, or with `tls` of a TLS port.
    ///
    /// # Errors
    /// Those of [`TlsHandshaker::open`].
    #[cfg(feature = "tls")]
    pub(crate) fn open(tls: Option<TlsConfig>, limits: HandshakeLimits) -> Result<Self, Error> {
        let handshaker = tls.map(|tls| TlsHandshaker::open(tls, limits)).transpose()?;
        Ok(handshaker.map_or(Self::Plain, Self::Tls))
    }

    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Returns the carrier of the connection, and the identity that the peer has proved; `None` if
    /// the handshake fails or lasts beyond `deadline`. Cancel: the socket is closed.
    pub(in crate::rpc) async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<(Socket, Option<Identity>)> {
        match self {
            Self::Plain => {
                let _ = (peer, deadline);
                Some((socket.into(), None))
            }
            #[cfg(feature = "tls")]
            Self::Tls(handshaker) => {
                // Boxed, so that the memory of the handshake is not part of every connection's task.
                let AcceptedPeer { socket, identity } =
                    Box::pin(handshaker.accept(socket, peer, deadline)).await?;
                Some((socket, identity))
            }
        }
    }
}

impl Accept for SocketAcceptor {
    type Socket = Socket;
    type Protocol = PortProtocol;

    async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<(Socket, Option<Identity>)> {
        Self::accept(self, socket, peer, deadline).await
    }

    fn has_handshake(&self) -> bool {
        self.is_tls()
    }

    fn protocol(&self, node: &Wakeful) -> PortProtocol {
        new_protocol(node, None)
    }

    fn refusal(&self, error: &Error) -> Vec<u8> {
        no_place(error)
    }
}

/// Returns the protocol of a new connection to `node`; `called` is the name of the server on a link,
/// if it differs from its own.
pub(super) fn new_protocol(node: &Wakeful, called: Option<Arc<str>>) -> PortProtocol {
    let frame_bytes_max = node.rpc().frame_bytes_max;
    PortProtocol::Native(NativeProtocol::new(frame_bytes_max, node.durability(), called))
}
