//! Promise S10 by the count of steps: the work of one request is bounded, whatever the store contains.

use super::*;
use crate::model::{Blob, Compare, CompareOp, CompareTarget, RangeOrder, TxnReply};

/// Returns a store of `keys` tombstones and a revision at which all the keys existed.
fn deleted(keys: usize, change: impl FnOnce(&mut StoreConfig)) -> (StoreState, Revision) {
    let mut store = store_with(change);
    for number in 0..keys {
        store.set_to(&format!("gone {number:06}"), "v");
    }
    let full = store.revision();
    store.delete_in(KeyRange::prefix("gone"));
    (store, full)
}

/// Returns the number of steps that `ask` takes.
fn steps_of<T>(store: &mut StoreState, ask: impl FnOnce(&mut StoreState) -> T) -> (T, u64) {
    let before = store.steps_taken();
    let answer = ask(store);
    (answer, store.steps_taken() - before)
}

fn range_at(revision: Revision, limit: usize) -> RangeRequest {
    RangeRequest { revision, limit, ..RangeRequest::new(KeyRange::prefix("gone")) }
}

fn scan(store: &mut StoreState, request: RangeRequest) -> RangeReply {
    match store.ask(KvRequest::Scan(Box::new(request))) {
        Ok(Reply::Scan(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// Regression: a page walked every tombstone of its range to find a single key.
#[test]
fn s10_a_scan_of_what_is_gone_ends_with_a_place_to_go_on() {
    let (mut store, full) = deleted(3_000, |config| config.steps_max = 100);
    // Written later, so that every chunk has changed after the revision that is read.
    let before = store.set_to("last", "v");
    for number in (0..3_000).step_by(2) {
        let key = format!("gone {number:06}");
        store.set_to(&key, "again");
        store.delete_in(KeyRange::key(&key));
    }
    for (revision, order, expected) in [
        (before, RangeOrder::Ascending, 0),
        (before, RangeOrder::Descending, 0),
        (full, RangeOrder::Ascending, 3_000),
        (full, RangeOrder::Descending, 3_000),
    ] {
        for count_only in [false, true] {
            let mut request = RangeRequest { order, count_only, ..range_at(revision, 0) };
            let (mut keys, mut count, mut pages) = (0, 0, 0);
            loop {
                let (page, steps) = steps_of(&mut store, |store| scan(store, request.clone()));
                assert!(steps <= 100 + 33, "{steps} steps");
                (keys, count, pages) = (keys + page.kvs.len(), count + page.count, pages + 1);
                assert_eq!(page.more, page.next.is_some());
                assert!(pages < 3_000, "every page goes on");
                request.after = page.next;
                if !page.more {
                    break;
                }
            }
            assert_eq!(count, expected);
            assert_eq!(keys as u64, if count_only { 0 } else { expected });
        }
    }
}

#[test]
fn s10_a_range_that_would_find_nothing_in_its_steps_is_refused_and_one_that_finds_some_ends() {
    let (mut store, full) = deleted(1_000, |config| config.steps_max = 100);
    for number in 0..1_000 {
        store.set_to(&format!("gone {number:06}"), "again");
    }
    let at = full + 1;
    assert_eq!(limit(store.ask(KvRequest::Range(range_at(at, 1)))), "store.steps_max");
    let count = RangeRequest { count_only: true, ..range_at(full, 0) };
    assert_eq!(limit(store.ask(KvRequest::Range(count))), "store.steps_max");
    let (keys, more) = store.page(range_at(full, 0));
    assert!(more && !keys.is_empty() && keys.len() <= 100);
}

/// Regression: 1,024 ranges with a limit of 1 over a million tombstones blocked the store for 23 s.
#[test]
fn s10_all_operations_of_a_transaction_have_one_budget_of_steps() {
    let (mut store, full) = deleted(1_000, |config| config.steps_max = 500);
    for number in 0..1_000 {
        store.set_to(&format!("gone {number:06}"), "again");
    }
    let revision = store.revision();
    let past = |count_only| TxnOp::Range(RangeRequest { count_only, ..range_at(full + 1, 1) });
    let now = || TxnOp::Range(RangeRequest { count_only: true, ..range_at(0, 0) });
    let part = || {
        TxnOp::Range(RangeRequest {
            count_only: true,
            ..RangeRequest::new(KeyRange::range("gone 000100", "gone 000200"))
        })
    };
    // A count of the current keys is one look at a chunk; what is refused is not read a second time.
    for (ops, steps_max) in [
        (vec![past(false)], 533),
        (vec![past(true); 2], 533),
        ((0..10).map(|_| past(false)).collect(), 533),
        ((0..10).map(|_| now()).collect(), 1_001),
        ((0..10).map(|_| part()).collect(), 533),
    ] {
        let (refused, steps) = steps_of(&mut store, |store| store.ask(txn(ops)));
        assert_eq!(limit(refused), "store.steps_max");
        assert!(steps <= steps_max, "{steps} steps, not {steps_max}");
    }
    store.ask(txn(vec![part()])).unwrap();
    let compare = Compare {
        range: KeyRange::prefix("gone"),
        op: CompareOp::Greater,
        target: CompareTarget::Version(0),
    };
    let compares = TxnRequest { compares: vec![compare], ..TxnRequest::default() };
    let (refused, steps) = steps_of(&mut store, |store| store.ask(KvRequest::Txn(compares)));
    assert_eq!(limit(refused), "store.steps_max");
    assert!(steps <= 501, "{steps} steps");
    assert_eq!(store.revision(), revision, "refused means unchanged");
}

#[test]
fn s10_what_is_gone_costs_a_range_of_now_nothing_by_whatever_revision_it_is_asked_for() {
    let (mut store, _) = deleted(50_000, |_| {});
    store.set_to("gone z", "not yet");
    let revision = store.revision();
    for revision in [0, revision] {
        for request in
            [range_at(revision, 10), RangeRequest { count_only: true, ..range_at(revision, 0) }]
        {
            let (reply, steps) = steps_of(&mut store, |store| store.ask(KvRequest::Range(request)));
            assert!(matches!(reply, Ok(Reply::Range(RangeReply { count: 1, .. }))), "{reply:?}");
            assert!(steps <= 3, "{steps} steps");
        }
    }
    // Keys deleted before the requested revision are skipped, a chunk at a time.
    store.set_to("z", "later");
    let (keys, steps) = steps_of(&mut store, |store| store.page(range_at(revision, 10)));
    assert_eq!(keys.0, ["gone z"]);
    assert!(steps <= 50_000 / 256 / 16 + 10, "{steps} steps");
}

#[test]
fn s10_a_count_of_many_keys_takes_few_steps() {
    let mut store = roomy();
    for number in 0..100_000 {
        store.set_to(&format!("{number:06}"), "v");
    }
    for (from, to) in [("", ""), ("000001", "099998"), ("012345", "012399")] {
        let range = KeyRange::range(from, to);
        let request = RangeRequest { count_only: true, ..RangeRequest::new(range.clone()) };
        let (reply, steps) = steps_of(&mut store, |store| store.ask(KvRequest::Range(request)));
        let Ok(Reply::Range(reply)) = reply else { panic!("{reply:?}") };
        assert_eq!(reply.count, store.keys_in(&range, 0).len() as u64);
        assert!(steps <= 2_100, "{steps} steps");
    }
}

#[test]
fn s10_the_list_of_a_large_lease_is_a_page_of_it() {
    let mut store = store_with(|config| config.range_keys_max = 100);
    let grant = LeaseGrantRequest { id: 7, ttl: Duration::from_secs(60) };
    store.ask(KvRequest::LeaseGrant(grant)).unwrap();
    for number in (0..20_000).rev() {
        store.set_with_lease(&format!("{number:06}"), 7).unwrap();
    }
    let (reply, steps) = steps_of(&mut store, |store| store.ask(KvRequest::LeaseTimeToLive(7)));
    let Ok(Reply::LeaseTimeToLive(reply)) = reply else { panic!("{reply:?}") };
    assert_eq!(reply.keys.len(), 100);
    assert_eq!((&*reply.keys[0], &*reply.keys[99]), (&b"000000"[..], &b"000099"[..]));
    assert!(steps <= 100, "{steps} steps");
}

/// Executes a request in slices of 50 events and returns its reply; `check` looks at the store after
/// each slice.
fn in_slices(
    store: &mut StoreState,
    request: KvRequest,
    mut check: impl FnMut(&mut StoreState),
) -> Reply {
    assert_eq!(store.begin(0, None, request.into()), Ok(None), "it is only begun");
    loop {
        check(store);
        let (completed, steps) = steps_of(store, |store| store.go_on(50));
        assert!(steps <= 50, "{steps} steps");
        if let Some(completed) = completed {
            return completed.reply.unwrap();
        }
    }
}

fn value_of(store: &mut StoreState, key: &str) -> (Option<Blob>, Revision) {
    let get = KvRequest::Get(GetRequest { key: key.into(), revision: 0 });
    match store.begin(0, None, get.into()) {
        Ok(Some(Reply::Get(reply))) => (reply.kv.map(|kv| kv.value.clone()), reply.revision),
        other => panic!("{other:?}"),
    }
}

/// Regression: all events of a revision were made in one turn.
#[test]
fn s10_a_large_write_is_done_in_slices_and_is_there_whole() {
    let mut store = roomy();
    let grant = LeaseGrantRequest { id: 7, ttl: Duration::from_secs(60) };
    store.ask(KvRequest::LeaseGrant(grant)).unwrap();
    let fill = |store: &mut StoreState| {
        for number in 0..1_000 {
            store.set_with_lease(&format!("k{number:04}"), 7).unwrap();
        }
    };
    let delete = || DeleteRequest::new(KeyRange::prefix("k"));
    let both = txn(vec![
        TxnOp::Set(SetRequest::new("a", "new")),
        TxnOp::Delete(delete()),
        TxnOp::Get(GetRequest { key: "k0000".into(), revision: 0 }),
        TxnOp::Set(SetRequest::new("b", "new")),
    ]);
    for request in [KvRequest::Delete(delete()), both, KvRequest::LeaseRevoke(7)] {
        fill(&mut store);
        let before = store.revision();
        let mut slices = 0;
        let reply = in_slices(&mut store, request.clone(), |store| {
            slices += 1;
            for key in ["k0000", "k0999"] {
                assert_eq!(value_of(store, key), (Some("v".into()), before));
            }
            assert_eq!(store.visible(), before);
            assert_eq!(store.keys_in(&KeyRange::prefix("k"), before).len(), 1_000);
        });
        assert!(slices >= 1_000 / 50, "{slices} slices");
        assert_eq!(store.revision(), before + 1);
        assert_eq!(value_of(&mut store, "k0000"), (None, before + 1));
        assert!(store.keys_in(&KeyRange::prefix("k"), 0).is_empty());
        let deleted = |reply: &Reply| match reply {
            Reply::Delete(reply) | Reply::LeaseRevoke(reply) => {
                assert_eq!(reply.revision, before + 1);
                reply.deleted
            }
            other => panic!("{other:?}"),
        };
        match &reply {
            Reply::Txn(reply) => {
                assert_eq!((reply.revision, reply.results.len()), (before + 1, 4));
                assert_eq!(deleted(&reply.results[1]), 1_000);
                let Reply::Get(get) = &reply.results[2] else { panic!("{reply:?}") };
                assert_eq!(get.kv, None, "an operation sees those before it");
            }
            reply => assert_eq!(deleted(reply), 1_000),
        }
    }
}

#[test]
fn s7_a_large_transaction_that_changes_nothing_makes_no_revision() {
    let mut store = store_with(|config| config.slice_max = 2);
    for key in ["a", "b", "c"] {
        store.set_to(key, "v");
    }
    let before = store.revision();
    let same =
        |key: &str| TxnOp::Set(SetRequest { only_if_changed: true, ..SetRequest::new(key, "v") });
    let request = txn(["a", "b", "c"].map(same).into());
    let reply = store.ask(request).unwrap();
    assert!(matches!(reply, Reply::Txn(TxnReply { revision, .. }) if revision == before));
    assert_eq!(store.revision(), before);
}

#[test]
fn s10_a_large_write_leaves_the_record_of_one_that_is_done_at_once() {
    let records = |slice_max: usize| {
        let mut store = store_with(|config| config.slice_max = slice_max);
        store.set_journaled(true);
        let mut records = Vec::new();
        let ask = |store: &mut StoreState, records: &mut Vec<Vec<u8>>, once, request: KvRequest| {
            let mut reply = store.begin(0, once, request.into()).unwrap().map(Ok);
            while reply.is_none() {
                reply = store.go_on(3).map(|completed| completed.reply);
            }
            let mut record = Vec::new();
            assert!(store.take_record(0, &mut record));
            assert!(!store.take_record(0, &mut record), "it is one");
            records.push(record);
            reply.unwrap().unwrap()
        };
        let ttl = Duration::from_secs(60);
        let delete = DeleteRequest {
            return_previous: true,
            ..DeleteRequest::new(KeyRange::range("k0", "k3"))
        };
        let ops = vec![
            TxnOp::Delete(DeleteRequest::new(KeyRange::range("k3", "k5"))),
            TxnOp::Set(SetRequest::new("a", "new")),
        ];
        let fill = (0..80).map(|number| {
            TxnOp::Set(SetRequest { lease: 7, ..SetRequest::new(format!("k{number:02}"), "v") })
        });
        let requests = [
            KvRequest::LeaseGrant(LeaseGrantRequest { id: 7, ttl }),
            txn(fill.collect()),
            KvRequest::Delete(delete),
            txn(ops),
            KvRequest::LeaseRevoke(7),
        ];
        let replies = (1..).zip(requests).map(|(key, request)| {
            let once = Some(IdempotentWrite { key, client: ClientId::User(3) });
            let reply = ask(&mut store, &mut records, once, request.clone());
            assert_eq!(
                store.begin(0, once, request.into()),
                Ok(Some(reply.clone())),
                "it is remembered"
            );
            reply
        });
        let replies: Vec<Reply> = replies.collect();
        (records, replies, store.mark())
    };
    assert_eq!(records(2), records(1_000));
}

#[test]
fn s10_a_large_write_may_read_the_past_to_its_end() {
    let mut store = store_with(|config| {
        config.slice_max = 2;
        config.history_revisions_max = 3;
    });
    store.set_journaled(true);
    let written: Vec<Revision> = ["1", "2", "3", "4", "5"].map(|it| store.set_to("a", it)).into();
    store.show(written[1]);
    assert_eq!(store.get_at("a", written[0]), Ok(Some("1".to_owned())));
    let get = TxnOp::Get(GetRequest { key: "a".into(), revision: written[0] });
    let sets = (0..20).map(|number| set(&format!("k{number}"), "v"));
    let request = txn(sets.chain([get]).collect());
    assert_eq!(store.begin(0, None, request.into()), Ok(None), "it takes several slices");
    store.show(written[4]);
    let reply = loop {
        if let Some(completed) = store.go_on(2) {
            break completed.reply;
        }
    };
    let Ok(Reply::Txn(TxnReply { results, .. })) = reply else { panic!("{reply:?}") };
    assert_eq!(results.len(), 21);
    store.show(store.revision());
    assert!(store.get_at("a", written[0]).is_err(), "history is short again");
}
