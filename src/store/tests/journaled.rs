//! A journaled store against plain ones: replaying its records up to any point gives the same store,
//! and what it shows equals what a store shows that was sent only the durable requests.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::against_the_model::{tight, wide};
use super::model::without_next;
use super::*;
use crate::config::record::record_bytes_max;
use crate::journal::RecordBatch;
use crate::model::{Blob, Event};
use crate::store::{Mark, StoreSnapshot};

/// Restores a store from records.
pub(super) fn replayed(config: StoreConfig, records: &[Vec<u8>]) -> StoreState {
    let mut state = StoreState::new(config);
    state.begin_replay();
    for record in records {
        state.replay(record).unwrap();
    }
    state.finish_replay();
    state
}

/// Everything that survives a restart.
#[derive(Debug, PartialEq)]
struct Lasting {
    revision: Revision,
    oldest: Revision,
    bytes: u64,
    /// The keys at each readable revision.
    keys: BTreeMap<Revision, Vec<KeyValue>>,
    events: Vec<Event>,
    leases: Vec<LastingLease>,
    remembered: Vec<(Micros, IdempotentWrite, u64, Reply)>,
    records: usize,
}

#[derive(Debug, PartialEq)]
struct LastingLease {
    id: LeaseId,
    ttl: Micros,
    deadline: Micros,
    private: bool,
    keys: Vec<Blob>,
    end_bytes: usize,
}

impl Lasting {
    /// Captures a store at `now`; leases as they are with a grace period from `grace` on.
    fn of(state: &mut StoreState, now: Micros, grace: Micros) -> Self {
        state.reclaim(usize::MAX);
        state.remembered.forget(now, &state.config);
        let ids: Vec<LeaseId> = state.leases.ids_after(0).collect();
        let leases = ids.into_iter().map(|id| lasting_lease(state, id, grace)).collect();
        let oldest = state.history().oldest();
        Self {
            revision: state.revision(),
            oldest,
            bytes: state.keys.bytes(),
            keys: (oldest..=state.revision()).map(|at| (at, keys_at(state, at))).collect(),
            events: events_from(state, oldest),
            leases,
            remembered: state.remembered.all(),
            records: state.keys.records(),
        }
    }
}

fn lasting_lease(state: &StoreState, id: LeaseId, grace: Micros) -> LastingLease {
    let lease = state.leases.get(id).unwrap();
    let keys = state.lease_keys(id).cloned().collect();
    let deadline = lease.deadline.max(grace + lease.ttl / 3);
    let (ttl, private, end_bytes) = (lease.ttl, lease.private, lease.end_bytes);
    LastingLease { id, ttl, deadline, private, keys, end_bytes }
}

/// Returns every key at a revision; the current state is read by its own index, in both directions.
fn keys_at(state: &StoreState, revision: Revision) -> Vec<KeyValue> {
    let bounds = KeyRange::all().bounds();
    let read = |descending| -> Vec<KeyValue> {
        let found = state.keys.all_since(&bounds, revision, descending);
        let records = found.filter_map(|found| state.keys.record(found.slot));
        records.filter_map(|it| state.at(it, revision).0).map(|kv| (**kv).clone()).collect()
    };
    let mut backwards = read(true);
    backwards.reverse();
    assert_eq!(read(false), backwards);
    if revision == state.revision() {
        let current = state.keys_in(&KeyRange::all(), 0);
        assert!(current.iter().map(|kv| &**kv).eq(&backwards));
    }
    backwards
}

fn events_from(state: &StoreState, oldest: Revision) -> Vec<Event> {
    let history = state.history();
    (history.first_of(oldest)..history.end())
        .map(|seq| history.get(seq).unwrap().event.clone())
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Ask(Option<IdempotencyKey>, Box<KvRequest>),
    /// This many milliseconds later, at most this many leases end.
    Later(u64, usize),
    Reclaim(usize),
    /// This many more records become durable.
    Settle(usize),
    Restart,
    /// A snapshot begins, unless one is in progress; each step reads this many items of it.
    Snapshot(usize),
}

/// A snapshot in progress.
struct Telling {
    snapshot: StoreSnapshot,
    slice: usize,
    batch: RecordBatch,
    /// The number of records that it covers, and when it began.
    records: usize,
    began: Micros,
}

fn step() -> impl Strategy<Value = Step> {
    let idempotency = option::weighted(0.2, 1..5u128);
    prop_oneof![
        28 => (idempotency, strategy::request()).prop_map(|(key, request)| {
            Step::Ask(key.filter(|_| request.is_write()), Box::new(request))
        }),
        4 => (0..4_000u64, 0..4usize).prop_map(|(ms, leases)| Step::Later(ms, leases)),
        2 => (0..4usize).prop_map(Step::Reclaim),
        6 => (1..5usize).prop_map(Step::Settle),
        1 => Just(Step::Restart),
        4 => (1..6usize).prop_map(Step::Snapshot),
    ]
}

/// The cause of a record.
#[derive(Debug, Clone)]
enum Cause {
    Asked(Option<IdempotencyKey>, Box<KvRequest>),
    Expired,
}

struct House {
    config: StoreConfig,
    now: Micros,
    live: StoreState,
    records: Vec<Vec<u8>>,
    /// Gets every cause of a record.
    plain: StoreState,
    /// Gets only the causes of durable records.
    settled: StoreState,
    pending: VecDeque<(Micros, Cause, Mark)>,
    telling: Option<Telling>,
}

impl House {
    fn new(config: StoreConfig) -> Self {
        let mut live = StoreState::new(config.clone());
        live.set_journaled(true);
        Self {
            now: 0,
            live,
            records: Vec::new(),
            plain: StoreState::new(config.clone()),
            settled: StoreState::new(config.clone()),
            pending: VecDeque::new(),
            telling: None,
            config,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(idempotency, request) => self.ask(idempotency, *request),
            Step::Later(ms, leases) => {
                self.now += ms * 1_000;
                for _ in 0..leases {
                    if self.live.expire_one(self.now).is_some() {
                        assert!(self.take_record(Cause::Expired), "the end of a lease is one");
                    }
                }
            }
            Step::Reclaim(slice) => self.live.reclaim(slice),
            Step::Settle(records) => self.settle(records),
            Step::Restart => self.restart(),
            Step::Snapshot(slice) => self.begin_snapshot(slice),
        }
        self.tell();
    }

    fn begin_snapshot(&mut self, slice: usize) {
        if self.telling.is_none() {
            let snapshot = self.live.begin_snapshot(self.now);
            let (records, began) = (self.records.len(), self.now);
            self.telling =
                Some(Telling { snapshot, slice, batch: RecordBatch::new(), records, began });
        }
    }

    /// Reads a slice of the snapshot. Once complete, the snapshot equals the state after the records it
    /// covers, and with the later ones the state after all.
    fn tell(&mut self) {
        let Some(telling) = &mut self.telling else { return };
        let Telling { snapshot, slice, batch, records, began } = telling;
        if self.live.write_snapshot(snapshot, *slice, batch) {
            return;
        }
        self.live.end_snapshot();
        let (records, began) = (*records, *began);
        let mut all = batch.payloads();
        self.telling = None;
        let mut alone = replayed(self.config.clone(), &all);
        let mut before = replayed(self.config.clone(), &self.records[..records]);
        let now = began.max(alone.time());
        let mut alone = Lasting::of(&mut alone, now, began);
        let mut before = Lasting::of(&mut before, now, began);
        // Replies that were forgotten during the snapshot are not in it.
        let kept = std::mem::take(&mut alone.remembered);
        before.remembered.retain(|reply| !kept.contains(reply));
        let forgotten = std::mem::take(&mut before.remembered);
        let live = self.live.remembered.all();
        assert!(forgotten.iter().all(|reply| !live.contains(reply)), "{forgotten:?}");
        assert_eq!(alone, before, "the snapshot");
        all.extend_from_slice(&self.records[records..]);
        let mut again = replayed(self.config.clone(), &all);
        let now = self.now;
        assert_eq!(
            Lasting::of(&mut again, now, now),
            Lasting::of(&mut self.plain, now, now),
            "the snapshot and the log"
        );
    }

    fn ask(&mut self, idempotency: Option<IdempotencyKey>, request: KvRequest) {
        if let KvRequest::Txn(txn) = &request
            && reads_the_past(txn)
        {
            // A revision that is not visible cannot be read as past; the plain store shows everything.
            self.settle(usize::MAX);
        }
        let touches_pending = self.live.touches_pending(&request.clone().into());
        let mut reply = self.live.apply(self.now, once(idempotency), request.clone());
        if reply.is_ok() {
            let cause = Cause::Asked(idempotency, Box::new(request.clone()));
            if self.take_record(cause) {
                return;
            }
        }
        assert!(self.live.changes.is_empty(), "refused, or without a change");
        if touches_pending || request.is_write() {
            return;
        }
        // The promise of `touches_pending`.
        if let Ok(reply) = &mut reply {
            self.live.show_visible(reply);
        }
        let expected = self.settled.apply(self.now, None, request);
        let compacted_ahead = self.live.history().oldest() > self.settled.history().oldest();
        match reply {
            // A compaction takes effect at once: it shows nothing.
            Err(StoreError::Compacted { .. } | StoreError::Future { .. }) if compacted_ahead => {}
            reply => assert_eq!(reply.map(without_next), expected.map(without_next)),
        }
    }

    /// Takes a record and returns whether there was one. The plain store gets the same cause, and each
    /// prefix of the records restores it.
    fn take_record(&mut self, cause: Cause) -> bool {
        let mut record = Vec::new();
        if !self.live.take_record(self.now, &mut record) {
            return false;
        }
        let largest = record_bytes_max(&self.config);
        assert!(record.len() <= largest, "{} bytes are more than {largest}", record.len());
        self.records.push(record);
        repeat(&mut self.plain, self.now, &cause);
        self.pending.push_back((self.now, cause, self.live.mark()));
        let mut again = replayed(self.config.clone(), &self.records);
        assert_eq!(again.time(), self.now);
        assert_eq!(
            Lasting::of(&mut again, self.now, 0),
            Lasting::of(&mut self.plain, self.now, self.now)
        );
        true
    }

    fn settle(&mut self, records: usize) {
        let group: Vec<_> = self.pending.drain(..records.min(self.pending.len())).collect();
        let Some((_, _, last)) = group.last() else { return };
        let last = *last;
        for (now, cause, mark) in group {
            repeat(&mut self.settled, now, &cause);
            // As the hub does: each revision becomes visible on the way, not only the last one.
            if mark.revision > self.live.visible() {
                self.live.settle(Mark { revision: mark.revision, ..last });
                let all = KeyRange::all();
                assert_eq!(self.live.shown_keys(&all), self.settled.shown_keys(&all));
            }
        }
        self.live.settle(last);
        assert_eq!(self.live.is_pending(), !self.pending.is_empty());
        if self.pending.is_empty() {
            assert_eq!(self.live.history().oldest(), self.plain.history().oldest());
        }
    }

    /// Restarts: everything durable is restored; leases have a grace period, which no record contains.
    fn restart(&mut self) {
        self.settle(usize::MAX);
        self.telling = None;
        let next = self.live.leases.pick_id();
        self.live = replayed(self.config.clone(), &self.records);
        self.live.set_journaled(true);
        for plain in [&mut self.plain, &mut self.settled] {
            plain.leases.grant_grace(self.live.time());
            plain.number_leases_from(next);
        }
        self.live.number_leases_from(next);
    }

    /// Checks that the visible state is the durable one.
    fn compare_shown(&mut self, range: &KeyRange) {
        let (live, settled) = (&self.live, &self.settled);
        assert_eq!(live.visible(), settled.revision());
        assert_eq!(live.shown_keys(range), settled.shown_keys(range));
        let oldest = live.history().oldest();
        assert!(oldest >= settled.history().oldest());
        assert_eq!(events_from(live, oldest), events_from(settled, oldest));
        for revision in oldest..=live.visible() {
            assert_eq!(keys_at(live, revision), keys_at(settled, revision));
            assert_eq!(live.keys_in(range, revision), settled.keys_in(range, revision));
            let next = |state: &StoreState, key: &Blob| state.first_event_after(key, revision);
            for kv in settled.shown_keys(range) {
                assert_eq!(next(live, &kv.key), next(settled, &kv.key));
            }
        }
    }
}

fn repeat(plain: &mut StoreState, now: Micros, cause: &Cause) {
    match cause {
        Cause::Expired => assert!(plain.expire_one(now).is_some()),
        Cause::Asked(idempotency, request) => {
            match plain.apply(now, once(*idempotency), (**request).clone()) {
                // The journaled store compacts only visible revisions, and so may get a compact request
                // for what this one has already compacted on its own.
                Err(StoreError::Compacted { .. }) if matches!(**request, KvRequest::Compact(_)) => {
                }
                reply => assert!(reply.is_ok(), "{reply:?}"),
            }
        }
    }
}

fn reads_the_past(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Get(get) => get.revision != 0,
        TxnOp::Range(range) => range.revision != 0,
        TxnOp::Set(_) | TxnOp::Delete(_) => false,
    })
}

fn run(config: StoreConfig, steps: Vec<Step>, ranges: &[KeyRange]) {
    let mut house = House::new(config);
    for (at, step) in steps.into_iter().enumerate() {
        house.step(step);
        let range = &ranges[at % ranges.len()];
        if !range.is_empty() {
            house.compare_shown(range);
        }
    }
    house.settle(usize::MAX);
    house.compare_shown(&KeyRange::all());
    // An abandoned snapshot leaves nothing behind.
    house.live.end_snapshot();
    let now = house.now;
    assert_eq!(Lasting::of(&mut house.live, now, 0), Lasting::of(&mut house.plain, now, 0));
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn d2_d3_records_make_the_same_store_again_at_tight_limits(
        steps in vec(step(), 1..60),
        ranges in vec(strategy::range(), 1..8),
    ) {
        run(tight(), steps, &ranges);
    }

    #[test]
    fn d1_d2_d3_records_make_the_same_store_again(
        steps in vec(step(), 1..60),
        ranges in vec(strategy::range(), 1..8),
    ) {
        run(wide(), steps, &ranges);
    }
}
