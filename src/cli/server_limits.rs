//! The limits of the server that a command talks to.

use crate::{Config, Error, ErrorCode, Operations};

/// Asks the server for its limits. An older server without this request is assumed to use the
/// defaults.
pub(crate) async fn ask(store: &impl Operations) -> Result<Config, Error> {
    match store.limits().await {
        Ok(limits) => Ok(Config::of_server(&limits)),
        Err(error) if error.code == ErrorCode::Protocol => Ok(Config::new()),
        Err(error) => Err(error),
    }
}
