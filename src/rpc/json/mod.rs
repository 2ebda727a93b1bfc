//! The JSON dialect: Go's `net/rpc/jsonrpc`, and the native protocol with names.
//!
//! Pure: bytes in, [`JsonRequest`]s out, answers back to bytes. `JsonProtocol` in `rpc/server` makes a door of
//! it: the polling of watches is one stream for each watch, with credit for one push.
//! `docs/protocol.md` specifies the dialect.
//!
//! # Design
//!
//! - **The splitter** knows brackets and strings, and examines each byte once; serde_json decides
//!   whether the result is JSON. A property test compares both with serde_json's own stream,
//!   split anywhere.
//! - **The calls of the tutorial are fast:** the envelope borrows from the input, Get and Set are
//!   read without a tree, and replies are written directly into the output.
//! - **Everything else reuses the wire types:** `ValueReader` is a serde deserializer over a JSON
//!   tree that fills the fields of the wire types by name, and `WireFormatter` writes them. So a
//!   new request is available in JSON as soon as `methods` has its name. The tree is bounded: 64
//!   bytes per value, `rpc.frame_bytes_max` in total.

mod envelope;
mod formatter;
mod kv_store_service;
mod methods;
mod node;
mod reading;
mod replies;
mod request;
mod shape;
mod shown;
mod splitter;

pub(crate) use envelope::Envelope;
#[cfg(feature = "cli")]
pub(crate) use formatter::append as append_object;
#[cfg(test)]
pub(crate) use reading::variants;
pub(crate) use replies::{Replies, hello, refuse, succeed, text_of};
#[cfg(feature = "cli")]
pub(crate) use replies::{append_outcome, append_reply};
pub(crate) use request::{
    IdText, JsonCall, JsonRequest, RequestLimits, no_method_among, understand,
};
pub(crate) use shape::Shape;
pub(crate) use splitter::{ConnectionStart, Split, SplitError, Splitter, ValueLimits};
