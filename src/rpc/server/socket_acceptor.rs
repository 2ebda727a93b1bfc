//! [`SocketAcceptor`]: what a port asks of a socket before there is a connection.

use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use crate::error::Error;
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{AcceptedPeer, HandshakeLimits, TlsConfig, TlsHandshaker};
use crate::session::Identity;

#[derive(Clone)]
pub(crate) enum SocketAcceptor {
    /// Nothing.
    Plain,
    #[cfg(feature = "tls")]
    Tls(Arc<TlsHandshaker>),
}

impl SocketAcceptor {
    /// With `tls`, as [`TlsHandshaker::open`].
    ///
    /// # Errors
    /// Those of [`TlsHandshaker::open`].
    #[cfg(feature = "tls")]
    pub(crate) fn open(tls: Option<TlsConfig>, limits: HandshakeLimits) -> Result<Self, Error> {
        let handshaker = tls.map(|tls| TlsHandshaker::open(tls, limits)).transpose()?;
        Ok(handshaker.map_or(Self::Plain, Self::Tls))
    }

    pub(super) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// What carries the connection, and who has been proved to be there; `None` if nobody came
    /// through by `deadline`. Cancel: the socket is closed.
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
                // Boxed: for no longer than it lasts a part of what every connection costs.
                let AcceptedPeer { socket, identity } =
                    Box::pin(handshaker.accept(socket, peer, deadline)).await?;
                Some((socket, identity))
            }
        }
    }
}
