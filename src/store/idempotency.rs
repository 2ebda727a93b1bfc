//! [`Remembered`]: replies to writes that carried an idempotency key, for when they come again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;

use super::{Micros, StoreError};
use crate::config::StoreConfig;
use crate::model::{IdempotencyKey, KeyValue, Reply};

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    replies: HashMap<IdempotencyKey, Kept, RandomState>,
    /// Oldest first.
    order: VecDeque<(Micros, IdempotencyKey)>,
    bytes: usize,
    /// How many were forgotten.
    forgotten: u64,
}

/// A reply that is remembered.
#[derive(Debug)]
pub(super) struct Kept {
    at: Micros,
    pub(super) fingerprint: u64,
    pub(super) reply: Reply,
    pub(super) bytes: usize,
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

    /// Remembers a reply in the place of any that the key has, as when a record is replayed over
    /// a state that knows it already.
    pub(crate) fn remember(
        &mut self,
        now: Micros,
        key: IdempotencyKey,
        fingerprint: u64,
        reply: Reply,
    ) {
        let bytes = reply_bytes(&reply);
        self.bytes += bytes;
        let before = self.replies.insert(key, Kept { at: now, fingerprint, reply, bytes });
        if let Some(before) = before {
            self.bytes -= before.bytes;
            if before.at == now {
                return;
            }
            self.order.retain(|(_, queued)| *queued != key);
        }
        // At the end, unless it is replayed: the clock does not go back.
        let is_last = self.order.back().is_none_or(|(at, _)| *at <= now);
        let place = match is_last {
            true => self.order.len(),
            false => self.order.partition_point(|(at, _)| *at <= now),
        };
        self.order.insert(place, (now, key));
    }

    /// Places of those remembered, the end not included: every one has a place of its own.
    pub(super) fn span(&self) -> (u64, u64) {
        (self.forgotten, self.forgotten + self.order.len() as u64)
    }

    /// What is remembered at a place: since when, under what key, and what.
    pub(super) fn get(&self, place: u64) -> Option<(Micros, IdempotencyKey, &Kept)> {
        let place = usize::try_from(place.checked_sub(self.forgotten)?).ok()?;
        let (at, key) = self.order.get(place).copied()?;
        let kept = self.replies.get(&key)?;
        Some((at, key, kept))
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

#[cfg(test)]
impl Remembered {
    /// Everything, oldest first.
    pub(super) fn all(&self) -> Vec<(Micros, IdempotencyKey, u64, Reply)> {
        assert_eq!(self.order.len(), self.replies.len());
        let reply = |(at, key): &(Micros, IdempotencyKey)| {
            let kept = &self.replies[key];
            (*at, *key, kept.fingerprint, kept.reply.clone())
        };
        self.order.iter().map(reply).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::SetReply;

    fn reply(revision: u64) -> Reply {
        Reply::Set(SetReply { revision, changed: true, lease: 0, previous: None })
    }

    fn remember(remembered: &mut Remembered, now: Micros, key: IdempotencyKey) {
        remembered.remember(now, key, key as u64, reply(now));
    }

    #[test]
    fn what_is_remembered_again_takes_the_room_of_one() {
        let mut remembered = Remembered::default();
        for (now, key) in [(1, 10), (2, 20), (2, 21), (3, 30)] {
            remember(&mut remembered, now, key);
        }
        let (bytes, order) = (remembered.bytes, remembered.order.clone());
        for (now, key) in [(1, 10), (2, 20), (2, 21), (3, 30)] {
            remember(&mut remembered, now, key);
        }
        assert_eq!((remembered.bytes, &remembered.order), (bytes, &order));

        remember(&mut remembered, 2, 10);
        assert_eq!(remembered.bytes, bytes);
        assert_eq!(remembered.order, [(2, 20), (2, 21), (2, 10), (3, 30)], "as old as it is now");
        assert_eq!(remembered.recall(10, 10), Ok(Some(reply(2))));
    }

    #[test]
    fn what_was_remembered_twice_is_forgotten_once() {
        let mut remembered = Remembered::default();
        for (now, key) in [(1, 10), (1, 10), (5, 10)] {
            remember(&mut remembered, now, key);
        }
        let mut config = Config::new().store;
        config.idempotency_ttl = std::time::Duration::from_micros(10);
        remembered.forget(14, &config);
        assert_eq!(remembered.recall(10, 10), Ok(Some(reply(5))));
        remembered.forget(15, &config);
        assert_eq!(remembered.recall(10, 10), Ok(None));
        assert_eq!((remembered.bytes, remembered.order.len()), (0, 0));
    }
}
