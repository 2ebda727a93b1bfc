//! The wire: frames, bodies, the TCP server and the client.

mod backoff;
pub mod client;
pub mod codec;
mod codec_error;
pub mod frame;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
pub(crate) mod json;
mod keep_alive;
#[cfg(feature = "server")]
pub mod link;
pub(crate) mod proto;
#[cfg(feature = "server")]
pub(crate) mod server;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;
