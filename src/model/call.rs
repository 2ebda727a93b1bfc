//! [`CallOptions`] and [`CallReply`]: the options of a request, and its reply.

use super::facts::{Facts, Repeat};
use super::{Durability, IdempotencyKey, Reply};
use crate::error::{Error, ErrorCode};

/// Options of a request. By default, the request is executed each time it is sent, with the durability
/// of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// The idempotency key of a write: as long as the key is remembered (`store.idempotency_ttl`), a
    /// request with the same key is not executed again but gets the same reply.
    pub idempotency: Option<IdempotencyKey>,
    /// The minimum durability of everything that the answer shows. Never less than
    /// `journal.durability`, which `None` stands for; more costs only this caller time. For reads, it
    /// applies to the data that they return. [`CallReply::durability`] reports the durability reached.
    pub durability: Option<Durability>,
}

impl CallOptions {
    /// Returns options for a write that is executed at most once under `key`.
    pub fn once(key: IdempotencyKey) -> Self {
        Self { idempotency: Some(key), durability: None }
    }

    /// Refuses an idempotency key on a request that takes none.
    pub(crate) fn check(self, facts: &Facts<'_>) -> Result<(), Error> {
        if self.idempotency.is_none() || facts.repeat == Repeat::Keyed {
            return Ok(());
        }
        let message = "only writes to keys and leases take an idempotency key; send this request \
                       without one, and give each job of a push an index instead";
        Err(Error::new(ErrorCode::InvalidArgument, message))
    }

    /// Returns options for an answer with at least this durability.
    pub fn durable(durability: Durability) -> Self {
        Self { idempotency: None, durability: Some(durability) }
    }
}

/// A reply and its durability.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallReply {
    /// The reply.
    pub reply: Reply,
    /// The durability of everything that the reply shows; `None` if the store is in memory, where
    /// nothing is durable.
    pub durability: Option<Durability>,
}

impl CallReply {
    /// Makes the reply of a store in memory.
    pub fn new(reply: Reply) -> Self {
        Self { reply, durability: None }
    }
}
