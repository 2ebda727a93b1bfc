//! The bodies of frames: the wire's own mirror types of the model, and the conversions between both.
//!
//! Wire types borrow from the frame, are never recursive, and grow only at the end of their enums;
//! their order is the protocol (`docs/protocol.md`). They appear nowhere outside `rpc`.

mod call;
mod durability;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_facts;
#[cfg(test)]
mod golden_jobs;
mod hello;
mod id;
mod invocation;
mod job;
#[cfg(test)]
mod job_bounds;
mod job_reply;
mod job_request;
mod key;
mod key_call;
mod key_frame;
mod key_reply;
mod login;
mod push;
mod reply;
mod request;
#[cfg(feature = "cli")]
mod shown;
mod topic;
mod txn;

#[cfg(test)]
pub(crate) use golden::request_bodies;
#[cfg(test)]
pub(crate) use golden_facts::{name_of, request_names};

pub(crate) use durability::{durability_byte, read_durability};
pub(crate) use hello::{WireCredit, WireError, WireHello, WireWelcome};
pub(crate) use job_request::WireJobRequest;
pub(crate) use key::{WireEvent, WireKeyRange, WireKeyValue};
pub(crate) use key_call::read_key_call;
pub(crate) use key_frame::append_key_reply;
pub(crate) use login::WireCredentials;
pub(crate) use push::{WireDelivery, WirePush};
pub(crate) use reply::WireReply;
pub(crate) use request::{WireCall, WireRequest, WireWatch};
#[cfg(feature = "cli")]
pub(crate) use shown::SerializeWire;

use std::time::Duration;

/// Returns whole milliseconds, rounded up so that a wait never ends early; 0 only for 0.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
