//! The part of a connection that every door shares, and that makes a door safe. Knows no wire.
//!
//! A door is a listener ([`Accept`]) and a [`Protocol`], which turns bytes into
//! [`RpcCall`](crate::model::RpcCall)s and answers into bytes. The rest is here: the admission of
//! connections, sessions and logins, permissions and their revocation, limits, logs, deadlines, the
//! order of answers, and the end of requests.
//!
//! # Design
//!
//! - A `Connection` is one task. It reads what its socket has; its protocol decodes the bytes, item
//!   by item, until the `Inbox` has enough for a turn. The [`RequestDispatcher`] makes **one message
//!   to the store of the whole read**. Connection and inbox are generic over the protocol:
//!   decoding and encoding are not dispatched dynamically.
//! - The `RequestDispatcher` checks each call with its `Authorization`, and writes the audit log and
//!   the request log, before anything else sees the call. A protocol has no other way to the store.
//! - Most requests are about one key. Such a request is a few numbers: its key and value are copied
//!   into the buffer of its message (`KeyBuffer`), so that it reaches the store without an allocation
//!   of its own; the store copies what it keeps into blobs of exactly their size.
//! - The message takes the output of its connection along. The store appends replies to it
//!   (`ReplyBuffer`), in the form of the protocol, unless they are large or wait for the disk, and
//!   returns all other answers as values.
//! - Answers and batches wait as references in the `Outbox`, and the protocol encodes them when the
//!   output has room. Until then nothing more is read from the peer.
//! - A [`Server`] is the [`Door`](crate::handle::Door) of any listener: it accepts connections and
//!   ends them when the node stops.

mod admission;
mod audit;
mod authorization;
mod calls;
mod client_name;
mod connection;
mod control_frame_budget;
mod deferred_requests;
mod dispatcher;
mod inbox;
mod job_guard;
mod jobs;
mod listener;
mod outbox;
mod output;
mod pending_request;
mod protocol;
mod push_cursor;
mod request_log;
mod streams;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub(crate) use admission::descriptors;
pub(crate) use admission::{
    AcceptBackoff, check_descriptors, check_reserve, too_many, too_many_from,
};
pub(crate) use authorization::not_logged_in;
pub(crate) use client_name::client_name;
pub(crate) use connection::LINGER;
pub(crate) use dispatcher::RequestDispatcher;
#[cfg(any(test, feature = "internals"))]
pub(crate) use inbox::Inbox;
pub(crate) use listener::{Accept, Guests, Server, refuse, set_options};
pub(crate) use output::{OutputBuffer, drain};
pub(crate) use protocol::{Decoded, End, Fatal, Protocol, ReadContext, Received, protocol};
pub(crate) use push_cursor::{PushCursor, WrittenPush};
