//! [`distrust`]: recognizes ends of connections that are refusals of TLS.

use std::io;

use crate::error::Error;

/// Returns the error for the end of a connection to `addr` if the other end did not trust this one: a
/// certificate is checked only after its owner has begun to send. `None` for any other end.
#[cfg(feature = "tls")]
pub(crate) fn distrust(addr: &str, error: &io::Error) -> Option<Error> {
    crate::rpc::tls::lost(addr, error)
}

#[cfg(not(feature = "tls"))]
pub(crate) fn distrust(_: &str, _: &io::Error) -> Option<Error> {
    None
}
