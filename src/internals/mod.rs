//! Access to private modules for fuzz targets, benchmarks and the load generator.
//!
//! Not part of the API: compiled only with the feature `internals`, and may change without notice.

pub mod fuzzing;
mod journal;
mod queue;
mod watch;
pub mod wire;

pub use journal::BenchJournal;
pub use queue::BenchQueue;
pub use watch::{Core, Watchers};

#[cfg(feature = "cli")]
pub use crate::cli::program;

/// Reads the files that `tls` names; also returns the name that the server at `addr` must have.
///
/// # Errors
/// What is wrong with the files, or with the name.
#[cfg(all(feature = "cli", feature = "tls"))]
pub fn client_tls(
    tls: &crate::ClientTls,
    addr: &str,
) -> Result<(rustls::ClientConfig, rustls::pki_types::ServerName<'static>), crate::Error> {
    Ok((crate::rpc::tls::read_client(tls)?, crate::rpc::tls::server_name(tls, addr)?))
}
