//! Random requests: the store and the model agree on replies, revisions and history.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::model::{Model, reason, without_next};
use super::*;
use crate::model::RangeOrder;

#[derive(Debug, Clone)]
enum Step {
    Ask(Option<IdempotencyKey>, Box<KvRequest>),
    /// This many milliseconds later, at most this many leases end.
    Later(u64, usize),
    /// The memory of up to this many compacted events is freed.
    Reclaim(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let idempotency = option::weighted(0.15, 1..5u128);
    prop_oneof![
        14 => (idempotency, strategy::request())
            .prop_map(|(key, request)| Step::Ask(key, Box::new(request))),
        2 => (0..4_000u64, 0..4usize).prop_map(|(ms, leases)| Step::Later(ms, leases)),
        1 => (0..4usize).prop_map(Step::Reclaim),
    ]
}

/// Limits that are hit all the time.
pub(super) fn tight() -> StoreConfig {
    StoreConfig {
        key_bytes_max: 3,
        value_bytes_max: 4,
        keys_max: 4,
        total_bytes_max: 16,
        history_revisions_max: 9,
        history_bytes_max: 1_500,
        txn_ops_max: 3,
        revision_events_max: 3,
        revision_bytes_max: 150,
        range_keys_max: 3,
        range_bytes_max: 9,
        steps_max: 10_000,
        leases_max: 4,
        lease_ttl_min: Duration::from_millis(500),
        lease_ttl_max: Duration::from_millis(11_000),
        idempotency_keys_max: 3,
        idempotency_bytes_max: 1 << 20,
        idempotency_ttl: Duration::from_secs(6),
        slice_max: 1,
    }
}

/// Only the history is short; it is never compacted for its bytes.
pub(super) fn wide() -> StoreConfig {
    StoreConfig {
        keys_max: 100,
        total_bytes_max: 1_000,
        history_revisions_max: 25,
        history_bytes_max: 1 << 20,
        txn_ops_max: 10,
        revision_events_max: 50,
        revision_bytes_max: 10_000,
        range_keys_max: 50,
        range_bytes_max: 1_000,
        leases_max: 50,
        ..tight()
    }
}

struct Pair {
    now: Micros,
    store: StoreState,
    model: Model,
}

impl Pair {
    fn new(config: StoreConfig) -> Self {
        Self { now: 0, store: StoreState::new(config.clone()), model: Model::new(config) }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(idempotency, request) => {
                let reply = self.store.apply(self.now, once(idempotency), (*request).clone());
                match (reply, self.model.apply(self.now, idempotency, *request)) {
                    (Ok(reply), Ok(expected)) => assert_eq!(without_next(reply), expected),
                    (Err(error), Err(reasons)) => {
                        assert!(reasons.contains(reason(&error)), "{error:?}, not {reasons:?}");
                    }
                    (reply, expected) => panic!("{reply:?}, but {expected:?} was expected"),
                }
            }
            Step::Later(ms, leases) => {
                self.now += ms * 1_000;
                for _ in 0..leases {
                    assert_eq!(self.store.expire_one(self.now), self.model.expire_one(self.now));
                }
            }
            Step::Reclaim(slice) => self.store.reclaim(slice),
        }
    }

    /// Compares everything that is visible from outside.
    fn compare(&mut self) {
        let status = self.store.status();
        assert_eq!(status.revision, self.model.revision());
        assert_eq!(status.oldest, self.model.oldest);
        assert_eq!(status.keys as usize, self.model.keys_at(0).len());
        assert_eq!(status.bytes, self.model.bytes());
        assert_eq!(status.leases as usize, self.model.leases().len());
        assert_eq!(self.store.next_deadline(), self.model.next_deadline());
        let history = self.store.history();
        let events: Vec<_> = (history.first_of(self.model.oldest)..history.end())
            .map(|seq| &history.get(seq).expect("not compacted").event)
            .collect();
        assert_eq!(events, self.model.readable().collect::<Vec<_>>());
    }

    /// Compares all past revisions, and checks that nothing unreachable is kept.
    fn compare_all(&mut self) {
        for revision in self.model.oldest..=self.model.revision() {
            let expected: Vec<_> = self.model.keys_at(revision).values().cloned().collect();
            let mut read = Vec::new();
            let page = RangeRequest { revision, ..RangeRequest::new(KeyRange::all()) };
            let mut after = None;
            loop {
                let page = RangeRequest { after: after.take(), ..page.clone() };
                let Ok(Reply::Range(page)) = self.store.ask(KvRequest::Range(page)) else {
                    panic!()
                };
                after = page.kvs.last().map(|kv| kv.key.clone());
                read.extend(page.kvs);
                if !page.more {
                    break;
                }
            }
            assert_eq!(read, expected, "at revision {revision}");
        }
        for id in self.model.leases() {
            self.step(Step::Ask(None, Box::new(KvRequest::LeaseTimeToLive(id))));
        }
        self.store.reclaim(usize::MAX);
        assert!(!self.store.must_reclaim());
        assert_eq!(self.store.history.len(), self.model.readable().count());
        let mut known: Vec<_> = self.model.readable().map(|event| event.kv.key.clone()).collect();
        known.extend(self.model.keys_at(0).keys().cloned());
        known.sort_unstable();
        known.dedup();
        assert_eq!(self.store.keys.records(), known.len());
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn at_tight_limits(steps in vec(step(), 1..80)) {
        run(tight(), steps);
    }

    #[test]
    fn with_room(steps in vec(step(), 1..80)) {
        run(wide(), steps);
    }

    #[test]
    fn s6_pages_fit_together(
        writes in vec(strategy::write(), 10..60),
        range in strategy::range(),
        limit in 1..4usize,
        descending in any::<bool>(),
        between in vec(strategy::write(), 10),
    ) {
        prop_assume!(!range.is_empty());
        let config = StoreConfig { key_bytes_max: 9, ..wide() };
        let mut pair = Pair::new(config);
        for write in writes {
            pair.step(Step::Ask(None, Box::new(write)));
        }
        let revision = pair.model.revision();
        let mut expected: Vec<_> = model::matching(pair.model.keys_at(0), &range);
        if descending {
            expected.reverse();
        }
        let order = if descending { RangeOrder::Descending } else { RangeOrder::Ascending };
        let mut read = Vec::new();
        let mut after = None;
        let mut between = between.into_iter();
        loop {
            let request =
                RangeRequest { revision, limit, order, after, ..RangeRequest::new(range.clone()) };
            let Ok(Reply::Range(page)) = pair.store.ask(KvRequest::Range(request)) else { panic!() };
            after = page.kvs.last().map(|kv| kv.key.clone());
            read.extend(page.kvs);
            if !page.more {
                break;
            }
            if let Some(write) = between.next() {
                pair.step(Step::Ask(None, Box::new(write)));
            }
        }
        prop_assert_eq!(read, expected);
    }
}

fn run(config: StoreConfig, steps: Vec<Step>) {
    let mut pair = Pair::new(config);
    for step in steps {
        pair.step(step);
        pair.compare();
    }
    pair.compare_all();
}
