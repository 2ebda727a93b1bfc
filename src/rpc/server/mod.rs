//! The doors of a port: the native protocol and JSON, each a [`Protocol`](crate::front::Protocol).

#[cfg(any(test, feature = "internals"))]
mod decoded;
mod frames;
mod json;
mod large_values;
mod links;
mod native;
mod port;
mod push_frames;
mod refusal;
mod socket_acceptor;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "internals"))]
pub(crate) use self::decoded::decoded;
pub(crate) use self::links::{IncomingConnection, LinkIntake, WeakLinkIntake};
pub(in crate::rpc) use self::native::HELLO_BYTES_MAX;
pub(in crate::rpc) use self::refusal::{is_undecided, not_wakeful};
pub(crate) use self::socket_acceptor::SocketAcceptor;

use super::codec::encode_frame;
use super::frame::{Kind, PREFACE};
use super::proto::WireError;
use crate::error::Error;

/// Returns the bytes to send to a connection that is not admitted. Its protocol is not known yet, so
/// they are in the native one.
pub(in crate::rpc) fn no_place(error: &Error) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    // An error cannot exceed the limit of a frame.
    let _ = encode_frame(&mut out, Kind::Error, 0, 0, &WireError::from(error), usize::MAX);
    out
}
