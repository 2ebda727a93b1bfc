//! The store against a naive model, its promises one by one, and regressions.

pub(crate) mod model;
pub(crate) mod strategy;

mod against_the_model;
mod hostile_records;
mod journaled;
mod key_calls;
mod promises;
mod record_bounds;
mod record_bytes;
mod regressions;
mod steps;

pub(crate) use record_bytes::{changes, first_record_of};

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use super::{IdempotentWrite, StoreError, StoreState};
use crate::config::{Config, StoreConfig};
use crate::fair::ClientId;
use crate::model::{
    DeleteRequest, GetRequest, IdempotencyKey, KeyRange, KeyValue, KvRequest, LeaseGrantRequest,
    LeaseId, RangeReply, RangeRequest, Reply, Revision, SetRequest, TxnOp, TxnRequest,
};
use crate::time::Micros;

/// A second of the store's clock.
const SECOND: Micros = 1_000_000;

/// This many cases, the same in each run; with `PROPTEST_CASES` set, that many random ones.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return config;
    }
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..config }
}

fn roomy() -> StoreState {
    StoreState::new(Config::new().store)
}

fn store_with(change: impl FnOnce(&mut StoreConfig)) -> StoreState {
    let mut config = Config::new().store;
    change(&mut config);
    StoreState::new(config)
}

/// Short forms of requests for tests; the time is 0 unless stated.
impl StoreState {
    /// Returns the keys of a range after a readable revision.
    fn keys_in(&self, range: &KeyRange, revision: Revision) -> Vec<Arc<KeyValue>> {
        let mut keys = Vec::new();
        self.walk(&range.bounds(), revision, false, |look| {
            keys.extend(look.kv.cloned());
            ControlFlow::Continue(())
        });
        keys
    }

    /// Returns the visible keys of a range.
    fn shown_keys(&self, range: &KeyRange) -> Vec<Arc<KeyValue>> {
        self.keys_in(range, self.visible())
    }

    fn ask(&mut self, request: KvRequest) -> Result<Reply, StoreError> {
        self.apply(0, None, request)
    }

    fn set_to(&mut self, key: &str, value: &str) -> Revision {
        match self.ask(KvRequest::Set(SetRequest::new(key, value))).unwrap() {
            Reply::Set(reply) => reply.revision,
            other => panic!("{other:?}"),
        }
    }

    fn set_with_lease(&mut self, key: &str, lease: LeaseId) -> Result<Reply, StoreError> {
        self.ask(KvRequest::Set(SetRequest { lease, ..SetRequest::new(key, "v") }))
    }

    fn set_with_ttl(&mut self, now: Micros, key: &str, seconds: u64) -> LeaseId {
        let ttl = Some(Duration::from_secs(seconds));
        match self.apply(now, None, KvRequest::Set(SetRequest { ttl, ..SetRequest::new(key, "v") }))
        {
            Ok(Reply::Set(reply)) => reply.lease,
            other => panic!("{other:?}"),
        }
    }

    fn delete_in(&mut self, range: KeyRange) -> (Revision, u64) {
        match self.ask(KvRequest::Delete(DeleteRequest::new(range))).unwrap() {
            Reply::Delete(reply) => (reply.revision, reply.deleted),
            other => panic!("{other:?}"),
        }
    }

    fn grant(&mut self, now: Micros, seconds: u64) -> LeaseId {
        let request = LeaseGrantRequest { id: 0, ttl: Duration::from_secs(seconds) };
        match self.apply(now, None, KvRequest::LeaseGrant(request)).unwrap() {
            Reply::LeaseGrant(reply) => reply.id,
            other => panic!("{other:?}"),
        }
    }

    fn key_now(&self, key: &str) -> Option<KeyValue> {
        self.current(key.as_bytes()).map(|kv| (**kv).clone())
    }

    fn get_at(&mut self, key: &str, revision: Revision) -> Result<Option<String>, StoreError> {
        match self.ask(KvRequest::Get(GetRequest { key: key.into(), revision }))? {
            Reply::Get(reply) => Ok(reply.kv.map(|kv| kv.value.to_string())),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the keys of a page, and whether there are more.
    fn page(&mut self, request: RangeRequest) -> (Vec<String>, bool) {
        match self.ask(KvRequest::Range(request)).unwrap() {
            Reply::Range(page) => {
                (page.kvs.iter().map(|kv| kv.key.to_string()).collect(), page.more)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns every readable event, as `revision key` or `revision -key`.
    fn story(&self) -> Vec<String> {
        let history = self.history();
        (history.first_of(history.oldest())..history.end())
            .map(|seq| &history.get(seq).expect("readable events can be read").event)
            .map(|event| {
                let sign = if event.kv.version == 0 { "-" } else { "" };
                format!("{} {sign}{}", event.revision(), event.kv.key)
            })
            .collect()
    }
}

/// Returns the share that a key's reply is remembered in; there are two.
fn share_of_key(key: IdempotencyKey) -> u64 {
    (key % 2) as u64
}

fn once(key: Option<IdempotencyKey>) -> Option<IdempotentWrite> {
    key.map(|key| IdempotentWrite { key, client: ClientId::Connection(share_of_key(key)) })
}

fn txn(success: Vec<TxnOp>) -> KvRequest {
    KvRequest::Txn(TxnRequest { success, ..TxnRequest::default() })
}

fn set(key: &str, value: &str) -> TxnOp {
    TxnOp::Set(SetRequest::new(key, value))
}

/// Returns the limit that was hit.
fn limit<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Limit { name, .. }) => name,
        other => panic!("not at a limit: {other:?}"),
    }
}
