//! The wire: frames, bodies, the TCP server and the client.

mod backoff;
pub mod client;
pub mod codec;
mod codec_error;
pub mod frame;
mod held;
mod http;
pub(crate) mod json;
pub mod link;
pub(crate) mod proto;
mod pulse;
pub(crate) mod server;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;
