//! [`Transport`]: how a client reaches its server.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::rpc::socket::Socket;

/// Opens connections other than to an address.
pub(crate) trait Connector: Send + Sync + 'static {
    /// Opens a connection.
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>>;

    /// Returns whether no connection will ever be opened again.
    fn is_over(&self) -> bool;
}

/// How a client reaches its server, first and after each lost connection.
pub(super) enum Transport {
    /// Connects to the address of its configuration.
    Addr,
    Opener(Arc<dyn Connector>),
}

impl Transport {
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Addr => false,
            Self::Opener(opener) => opener.is_over(),
        }
    }
}
