//! The wire: frames, bodies, the TCP server and the client.

pub mod client;
pub mod codec;
pub mod frame;
mod held;
pub(crate) mod json;
pub(crate) mod proto;
pub(crate) mod server;
pub(crate) mod socket;
#[doc(hidden)]
pub mod specimen;
