//! [`CallOptions`] and [`CallReply`]: how a request is done, and what it got.

use super::{IdempotencyKey, Reply};
use crate::config::Durability;

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

    /// To be answered when it is so durable.
    pub fn durable(durability: Durability) -> Self {
        Self { idempotency: None, durability: Some(durability) }
    }
}

/// A reply, and how it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReply {
    /// What the request came to.
    pub reply: Reply,
    /// How durable everything that it shows is; `None` where nothing is, as the store is in
    /// memory.
    pub durability: Option<Durability>,
}
