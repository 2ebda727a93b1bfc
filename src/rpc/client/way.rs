//! [`Way`]: how a client gets to its server.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::rpc::socket::Socket;

/// What opens a connection other than to an address.
pub(crate) trait Opener: Send + Sync + 'static {
    /// Opens one.
    fn open(&self) -> BoxFuture<'_, Result<Socket, Error>>;

    /// Whether it never will again.
    fn is_over(&self) -> bool;
}

/// How a client gets to its server, now and whenever a connection is lost.
pub(super) enum Way {
    /// To the address of its configuration.
    Addr,
    Opener(Arc<dyn Opener>),
}

impl Way {
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Addr => false,
            Self::Opener(opener) => opener.is_over(),
        }
    }
}
