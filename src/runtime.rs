//! Checks that a call is made where its tasks can run.

#[cfg(feature = "worker")]
mod arbiter;

use tokio::runtime::Handle;

#[cfg(feature = "worker")]
pub(crate) use arbiter::{require_arbiter, require_system};

use crate::error::{Error, ErrorCode};

/// Checks that `call` is made on a tokio runtime.
///
/// # Errors
/// `InvalidArgument`, with what to do.
pub(crate) fn require_tokio(call: &str) -> Result<(), Error> {
    Handle::try_current().map(drop).map_err(|_| {
        refusal(format!(
            "{call} needs a tokio runtime on the calling thread; call it in `#[tokio::main]`, \
             `#[actix_rt::main]` or `tokio::runtime::Runtime::block_on`"
        ))
    })
}

fn refusal(message: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
