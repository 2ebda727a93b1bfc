//! The wire: frames, bodies, the TCP server and the client.

pub mod codec;
pub mod frame;
pub(crate) mod proto;
#[doc(hidden)]
pub mod specimen;
