//! [`Entrance`]: what a port asks of a socket before there is a connection.

use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use crate::error::Error;
use crate::rpc::socket::Socket;
#[cfg(feature = "tls")]
use crate::rpc::tls::{Door, DoorLimits, Entered, TlsConfig};
use crate::session::Identity;

#[derive(Clone)]
pub(crate) enum Entrance {
    /// Nothing.
    Plain,
    #[cfg(feature = "tls")]
    Tls(Arc<Door>),
}

impl Entrance {
    /// With `tls`, as [`Door::open`].
    ///
    /// # Errors
    /// Those of [`Door::open`].
    #[cfg(feature = "tls")]
    pub(crate) fn open(tls: Option<TlsConfig>, limits: DoorLimits) -> Result<Self, Error> {
        let door = tls.map(|tls| Door::open(tls, limits)).transpose()?;
        Ok(door.map_or(Self::Plain, Self::Tls))
    }

    pub(super) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// What carries the connection, and who has been proved to be there; `None` if nobody came
    /// through by `deadline`. Cancel: the socket is closed.
    pub(in crate::rpc) async fn enter(
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
            Self::Tls(door) => {
                // Boxed: for no longer than it lasts a part of what every connection costs.
                let Entered { socket, identity } =
                    Box::pin(door.enter(socket, peer, deadline)).await?;
                Some((socket, identity))
            }
        }
    }
}
