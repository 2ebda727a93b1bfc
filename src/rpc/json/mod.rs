//! The JSON dialect: Go's `net/rpc/jsonrpc`, and the native protocol by names.
//!
//! Pure: bytes in, [`Ask`]s of the house out, answers back to bytes. A connection that speaks it is
//! the same `Connection` with the same `Exchange` behind it; only its inbox and its
//! encoder differ. `docs/protocol.md` has all of it.

mod ask;
mod envelope;
mod formatter;
mod kv_store_service;
mod methods;
mod node;
mod reading;
mod replies;
mod shape;
mod shown;
mod splitter;

pub(crate) use ask::{Ask, IdText, Limits, What, no_method_among, understand};
pub(crate) use envelope::Envelope;
#[cfg(feature = "cli")]
pub(crate) use formatter::append as append_object;
pub(crate) use replies::{Replies, hello, refuse, succeed, text_of};
#[cfg(feature = "cli")]
pub(crate) use replies::{append_outcome, append_reply};
pub(crate) use shape::Shape;
pub(crate) use splitter::{Bounds, Split, SplitError, Splitter, Start};
