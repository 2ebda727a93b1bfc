//! [`Remembered`]: replies to writes that carried an idempotency key, for when they come again.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ahash::RandomState;

use super::{Micros, StoreError};
use crate::config::StoreConfig;
use crate::model::{IdempotencyKey, KeyValue, Reply, Request};

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    replies: HashMap<IdempotencyKey, Kept, RandomState>,
    /// Oldest first.
    order: VecDeque<(Micros, IdempotencyKey)>,
    bytes: usize,
    /// How many were forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Kept {
    fingerprint: u64,
    reply: Reply,
    bytes: usize,
}

/// What tells two requests under one key apart.
pub(crate) fn fingerprint(request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.hash(&mut hasher);
    hasher.finish()
}

impl Remembered {
    /// The reply this key got before.
    pub(crate) fn recall(
        &self,
        key: IdempotencyKey,
        fingerprint: u64,
    ) -> Result<Option<Reply>, StoreError> {
        match self.replies.get(&key) {
            None => Ok(None),
            Some(kept) if kept.fingerprint == fingerprint => Ok(Some(kept.reply.clone())),
            Some(_) => Err(StoreError::IdempotencyMismatch),
        }
    }

    pub(crate) fn remember(
        &mut self,
        now: Micros,
        key: IdempotencyKey,
        fingerprint: u64,
        reply: Reply,
    ) {
        let bytes = reply_bytes(&reply);
        self.bytes += bytes;
        self.replies.insert(key, Kept { fingerprint, reply, bytes });
        self.order.push_back((now, key));
    }

    /// Places of those remembered, the end not included: every one has a place of its own.
    pub(super) fn span(&self) -> (u64, u64) {
        (self.forgotten, self.forgotten + self.order.len() as u64)
    }

    /// What is remembered at a place: since when, under what key, with what fingerprint.
    pub(super) fn get(&self, place: u64) -> Option<(Micros, IdempotencyKey, u64, &Reply)> {
        let place = usize::try_from(place.checked_sub(self.forgotten)?).ok()?;
        let (at, key) = self.order.get(place).copied()?;
        let kept = self.replies.get(&key)?;
        Some((at, key, kept.fingerprint, &kept.reply))
    }

    /// Forgets what is too old or too much.
    pub(crate) fn forget(&mut self, now: Micros, config: &StoreConfig) {
        let ttl = u64::try_from(config.idempotency_ttl.as_micros()).unwrap_or(u64::MAX);
        while let Some((at, key)) = self.order.front().copied() {
            let too_old = at.saturating_add(ttl) <= now;
            let too_many = self.order.len() > config.idempotency_keys_max;
            if !too_old && !too_many && self.bytes <= config.idempotency_bytes_max {
                return;
            }
            self.order.pop_front();
            self.forgotten += 1;
            if let Some(kept) = self.replies.remove(&key) {
                self.bytes -= kept.bytes;
            }
        }
    }
}

/// Bytes of a reply or a key beyond its key and value, roughly.
const OVERHEAD_BYTES: usize = 128;

/// Bytes a remembered reply keeps alive, roughly.
fn reply_bytes(reply: &Reply) -> usize {
    let bytes_of = |kv: &Arc<KeyValue>| OVERHEAD_BYTES + kv.bytes();
    let kept = match reply {
        Reply::Set(set) => set.previous.as_ref().map_or(0, bytes_of),
        Reply::Get(get) => get.kv.as_ref().map_or(0, bytes_of),
        Reply::Range(range) => range.kvs.iter().map(bytes_of).sum(),
        Reply::Delete(delete) => delete.previous.iter().map(bytes_of).sum(),
        Reply::Txn(txn) => txn.results.iter().map(reply_bytes).sum(),
        _ => 0,
    };
    OVERHEAD_BYTES + kept
}
