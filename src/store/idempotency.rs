//! [`Remembered`]: the replies to writes with idempotency keys, for when the writes are sent again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::environment::RandomState;

use super::StoreError;
use super::shares::Shares;
use crate::config::StoreConfig;
use crate::fair::ClientId;
use crate::model::{IdempotencyKey, KeyValue, Reply};
use crate::time::Micros;

/// Identifies a write that is executed once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdempotentWrite {
    pub(crate) key: IdempotencyKey,
    /// The sender; the remembered reply counts against its share.
    pub(crate) client: ClientId,
}

/// The user (0 if there are no users) and the key. The keys of one user mean nothing to another;
/// without users, anyone who has the key may resend the write.
type UserKey = (u64, IdempotencyKey);

impl IdempotentWrite {
    fn name(self) -> UserKey {
        match self.client {
            ClientId::User(user) => (user, self.key),
            ClientId::Process | ClientId::Connection(_) => (0, self.key),
        }
    }
}

/// When a reply was remembered, and its number among all replies ever remembered.
pub(super) type RememberedAt = (Micros, u64);

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    replies: HashMap<UserKey, RememberedReply, RandomState>,
    /// In order, oldest first.
    order: BTreeMap<RememberedAt, UserKey>,
    shares: HashMap<ClientId, Share, RandomState>,
    counts: Shares<ClientId>,
    sizes: Shares<ClientId>,
    bytes: usize,
    /// The number of the last reply.
    last: u64,
}

/// A remembered reply.
#[derive(Debug)]
pub(super) struct RememberedReply {
    place: RememberedAt,
    pub(super) client: ClientId,
    pub(super) fingerprint: u64,
    pub(super) reply: Reply,
    pub(super) bytes: usize,
}

/// The replies remembered for one user or connection, oldest first.
#[derive(Debug, Default)]
struct Share {
    order: BTreeSet<RememberedAt>,
    bytes: usize,
}

impl Remembered {
    /// Returns the reply remembered for this key.
    pub(crate) fn recall(
        &self,
        once: IdempotentWrite,
        fingerprint: u64,
    ) -> Result<Option<Reply>, StoreError> {
        match self.replies.get(&once.name()).or_else(|| self.recorded_before(once, fingerprint)) {
            None => Ok(None),
            Some(kept) if kept.fingerprint == fingerprint => Ok(Some(kept.reply.clone())),
            Some(_) => Err(StoreError::IdempotencyMismatch),
        }
    }

    /// Finds a reply that an earlier version recorded for a user: it did not distinguish users from
    /// connections, and versions before it recorded no client at all.
    fn recorded_before(&self, once: IdempotentWrite, fingerprint: u64) -> Option<&RememberedReply> {
        let ClientId::User(user) = once.client else { return None };
        let kept = self.replies.get(&(0, once.key))?;
        let may_be_its_own = match kept.client {
            ClientId::Connection(recorded) => recorded == user,
            ClientId::Process => kept.fingerprint == fingerprint,
            ClientId::User(_) => false,
        };
        may_be_its_own.then_some(kept)
    }

    /// Remembers a reply and replaces the one that the key already has, as happens when a record is
    /// replayed over a state that includes it.
    pub(crate) fn remember(
        &mut self,
        now: Micros,
        once: IdempotentWrite,
        fingerprint: u64,
        reply: Reply,
    ) {
        let (name, client) = (once.name(), once.client);
        if let Some(before) = self.replies.get(&name).map(|kept| kept.place) {
            self.remove(before);
        }
        let bytes = reply_bytes(&reply);
        self.last += 1;
        let place = (now, self.last);
        self.bytes += bytes;
        self.order.insert(place, name);
        self.replies.insert(name, RememberedReply { place, client, fingerprint, reply, bytes });
        self.change(client, |share| {
            share.order.insert(place);
            share.bytes += bytes;
        });
    }

    fn remove(&mut self, place: RememberedAt) {
        let kept = self.order.remove(&place).and_then(|name| self.replies.remove(&name));
        let Some(RememberedReply { client, bytes, .. }) = kept else { return };
        self.bytes -= bytes;
        self.change(client, |share| {
            share.order.remove(&place);
            share.bytes -= bytes;
        });
    }

    fn change(&mut self, id: ClientId, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(id).or_default();
        let before = (share.order.len() as u64, share.bytes as u64);
        change(share);
        let now = (share.order.len() as u64, share.bytes as u64);
        self.counts.change(id, before.0, now.0);
        self.sizes.change(id, before.1, now.1);
        if share.order.is_empty() {
            self.shares.remove(&id);
        }
    }

    /// Returns the number of the last reply; numbers begin at 1.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the replies after a place, oldest first.
    pub(super) fn after(
        &self,
        place: RememberedAt,
    ) -> impl Iterator<Item = (RememberedAt, IdempotencyKey, &RememberedReply)> {
        let behind = self.order.range((Bound::Excluded(place), Bound::Unbounded));
        behind.filter_map(|(place, name)| Some((*place, name.1, self.replies.get(name)?)))
    }

    /// Forgets replies that are too old and, if there are too many, the oldest ones of the client with
    /// the most.
    pub(crate) fn forget(&mut self, now: Micros, config: &StoreConfig) {
        while let Some(place) = self.old(now, config).or_else(|| self.surplus(config)) {
            self.remove(place);
        }
    }

    /// Returns the oldest reply if it is too old.
    fn old(&self, now: Micros, config: &StoreConfig) -> Option<RememberedAt> {
        let ttl = u64::try_from(config.idempotency_ttl.as_micros()).unwrap_or(u64::MAX);
        let (place, _) = self.order.first_key_value()?;
        (place.0.saturating_add(ttl) <= now).then_some(*place)
    }

    fn surplus(&self, config: &StoreConfig) -> Option<RememberedAt> {
        let share = if self.order.len() > config.idempotency_keys_max {
            self.counts.most()
        } else if self.bytes > config.idempotency_bytes_max {
            self.sizes.most()
        } else {
            None
        };
        let (_, share) = share?;
        self.shares.get(&share)?.order.first().copied()
    }
}

#[cfg(test)]
impl Remembered {
    /// Returns all replies, oldest first.
    pub(super) fn all(&self) -> Vec<(Micros, IdempotentWrite, u64, Reply)> {
        assert_eq!(self.order.len(), self.replies.len());
        assert_eq!(self.order.len(), self.shares.values().map(|it| it.order.len()).sum::<usize>());
        let reply = |(place, key, kept): (RememberedAt, IdempotencyKey, &RememberedReply)| {
            let once = IdempotentWrite { key, client: kept.client };
            (place.0, once, kept.fingerprint, kept.reply.clone())
        };
        self.after((0, 0)).map(reply).collect()
    }
}

/// Approximate bytes of a reply or a key in addition to its key and value.
const OVERHEAD_BYTES: usize = 128;

/// Returns the approximate bytes that a remembered reply keeps alive.
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

    fn once_of(key: IdempotencyKey, user: u64) -> IdempotentWrite {
        let client = if user == 0 { ClientId::Process } else { ClientId::User(user) };
        IdempotentWrite { key, client }
    }

    fn once(key: IdempotencyKey) -> IdempotentWrite {
        once_of(key, 0)
    }

    fn remember(remembered: &mut Remembered, now: Micros, key: IdempotencyKey) {
        remember_of(remembered, now, key, 0);
    }

    fn remember_of(remembered: &mut Remembered, now: Micros, key: IdempotencyKey, user: u64) {
        remembered.remember(now, once_of(key, user), key as u64, reply(now));
    }

    fn keys(remembered: &Remembered) -> Vec<(Micros, IdempotencyKey)> {
        remembered.all().into_iter().map(|(at, once, ..)| (at, once.key)).collect()
    }

    #[test]
    fn what_is_remembered_again_takes_the_room_of_one() {
        let mut remembered = Remembered::default();
        for (now, key) in [(1, 10), (2, 20), (2, 21), (3, 30)] {
            remember(&mut remembered, now, key);
        }
        let (bytes, order) = (remembered.bytes, keys(&remembered));
        for (now, key) in [(1, 10), (2, 20), (2, 21), (3, 30)] {
            remember(&mut remembered, now, key);
        }
        assert_eq!((remembered.bytes, keys(&remembered)), (bytes, order));

        remember(&mut remembered, 2, 10);
        assert_eq!(remembered.bytes, bytes);
        let order = [(2, 20), (2, 21), (2, 10), (3, 30)];
        assert_eq!(keys(&remembered), order, "as old as it is now");
        assert_eq!(remembered.recall(once(10), 10), Ok(Some(reply(2))));
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
        assert_eq!(remembered.recall(once(10), 10), Ok(Some(reply(5))));
        remembered.forget(15, &config);
        assert_eq!(remembered.recall(once(10), 10), Ok(None));
        assert_eq!((remembered.bytes, remembered.order.len()), (0, 0));
    }

    /// Regression: many writes of one client evicted another client's reply that was a second old.
    #[test]
    fn s9_many_writes_of_one_client_push_out_its_own_replies() {
        let mut config = Config::new().store;
        config.idempotency_keys_max = 10;
        let mut remembered = Remembered::default();
        for key in 0..4 {
            remember_of(&mut remembered, 1, key, 1);
        }
        for key in 100..1_100 {
            remember_of(&mut remembered, 2, key, 2);
            remembered.forget(2, &config);
        }
        for key in 0..4 {
            let recalled = remembered.recall(once_of(key, 1), key as u64);
            assert!(recalled.unwrap().is_some(), "{key}");
        }
        let own: Vec<_> = keys(&remembered).into_iter().map(|(_, key)| key).skip(4).collect();
        assert_eq!(own, (1_094..1_100).collect::<Vec<_>>());
        config.idempotency_bytes_max = 2 * OVERHEAD_BYTES;
        remembered.forget(2, &config);
        assert_eq!(keys(&remembered), [(1, 3), (2, 1_099)]);
    }

    /// Regression: a user got the reply to another user's write under the same key, and its own write
    /// was not executed.
    #[test]
    fn s9_the_keys_of_one_user_mean_nothing_to_another() {
        let mut remembered = Remembered::default();
        remember_of(&mut remembered, 1, 10, 1);
        assert_eq!(remembered.recall(once_of(10, 2), 10), Ok(None));
        assert_eq!(remembered.recall(once_of(10, 2), 11), Ok(None), "nor is it a mismatch");
        assert_eq!(remembered.recall(once(10), 10), Ok(None));
        remember_of(&mut remembered, 2, 10, 2);
        assert_eq!(remembered.recall(once_of(10, 1), 10), Ok(Some(reply(1))));
        assert_eq!(remembered.recall(once_of(10, 2), 10), Ok(Some(reply(2))));
        assert_eq!(remembered.recall(once_of(10, 1), 11), Err(StoreError::IdempotencyMismatch));
        // Without users, a key is valid on every connection.
        let over =
            |connection| IdempotentWrite { key: 20, client: ClientId::Connection(connection) };
        remembered.remember(3, over(5), 20, reply(3));
        assert_eq!(remembered.recall(over(6), 20), Ok(Some(reply(3))));
    }

    #[test]
    fn s9_what_earlier_versions_recorded_of_a_user_is_recalled_for_it() {
        let mut remembered = Remembered::default();
        let recorded = IdempotentWrite { key: 10, client: ClientId::Connection(1) };
        remembered.remember(1, recorded, 10, reply(1));
        assert_eq!(remembered.recall(once_of(10, 1), 10), Ok(Some(reply(1))));
        assert_eq!(remembered.recall(once_of(10, 2), 10), Ok(None));
        remembered.remember(2, once(20), 20, reply(2));
        assert_eq!(remembered.recall(once_of(20, 1), 20), Ok(Some(reply(2))));
        assert_eq!(remembered.recall(once_of(20, 1), 21), Ok(None));
    }
}
