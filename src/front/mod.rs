//! Everything that makes a door safe, for every door. Knows no wire.
//!
//! A door is a listener ([`Accept`]) and a [`Protocol`], which turns bytes into
//! [`RpcCall`](crate::model::RpcCall)s and answers into bytes. The rest is here: the admission of
//! connections, sessions and logins, permissions and their revocation, limits, logs, deadlines, and
//! the order and the end of requests.
//!
//! # Design
//!
//! - A `Connection` is one task. It reads what its socket has; its protocol decodes that, item by
//!   item, until the `Inbox` has enough for a turn. The [`RequestDispatcher`] makes **one message to the
//!   store of the whole read**. All of them are generic over the protocol, so nothing is dispatched
//!   dynamically for a request.
//! - A `RequestDispatcher` asks its `Authorization` about each call and writes the audit log and the request log
//!   before anything else sees the call. A protocol is given no other way to the store.
//! - Answers and batches wait as references in the `Outbox`, and the protocol encodes them when
//!   there is room for output. Until then nothing more is read from the peer.
//! - A [`Server`] is the [`Door`](crate::handle::Door) of any listener: it accepts connections and
//!   ends them at the stop of the node.

mod admission;
mod allowance;
mod asked;
mod audit;
mod authorization;
mod calls;
mod client_name;
mod connection;
mod dispatcher;
mod inbox;
mod job_guard;
mod jobs;
mod listener;
mod outbox;
mod output;
mod protocol;
mod push_cursor;
mod request_log;
mod streams;
#[cfg(test)]
mod tests;
mod withheld;

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
