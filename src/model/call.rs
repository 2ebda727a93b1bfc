//! [`CallOptions`] and [`CallReply`]: how a request is done, and what it got.

use super::facts::{Facts, Repeat};
use super::{Durability, IdempotencyKey, Reply};
use crate::error::{Error, ErrorCode};

/// How a request is to be done; by default once for each time it is sent, and as durable as the
/// server has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// The caller's name for a write, so that sending it twice does it once: a request with a key
    /// that was done before gets the same reply again, while it is remembered
    /// (`store.idempotency_ttl`).
    pub idempotency: Option<IdempotencyKey>,
    /// How durable everything that the answer shows is to be before it comes. Never less than
    /// `journal.durability`, which `None` stands for; more costs only the caller's time. Of reads
    /// it says the same of what they show. [`CallReply::durability`] says what it came to.
    pub durability: Option<Durability>,
}

impl CallOptions {
    /// To be done at most once, under `key`.
    pub fn once(key: IdempotencyKey) -> Self {
        Self { idempotency: Some(key), durability: None }
    }

    /// Refuses an idempotency key of a request that takes none.
    pub(crate) fn check(self, facts: &Facts<'_>) -> Result<(), Error> {
        if self.idempotency.is_none() || facts.repeat == Repeat::Keyed {
            return Ok(());
        }
        let message = "only writes to keys and leases take an idempotency key; send this request \
                       without one, and give each job of a push an index instead";
        Err(Error::new(ErrorCode::InvalidArgument, message))
    }

    /// To be answered when it is so durable.
    pub fn durable(durability: Durability) -> Self {
        Self { idempotency: None, durability: Some(durability) }
    }
}

/// A reply, and how it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallReply {
    /// What the request came to.
    pub reply: Reply,
    /// How durable everything that it shows is; `None` where nothing is, as the store is in
    /// memory.
    pub durability: Option<Durability>,
}

impl CallReply {
    /// Makes the reply of a store in memory.
    pub fn new(reply: Reply) -> Self {
        Self { reply, durability: None }
    }
}
