//! The promises of `docs/guarantees.md` about keys, one readable test each.

use super::*;
use crate::model::{Blob, Compare, CompareOp, CompareTarget};

#[test]
fn s1_one_revision_per_write_and_none_for_what_changes_nothing() {
    let mut store = roomy();
    assert_eq!(store.revision(), 1);
    assert_eq!(store.set_to("a", "1"), 2);
    assert_eq!(store.set_to("a", "1"), 3, "the same value is a write all the same");
    assert_eq!(store.delete_in(KeyRange::key("a")), (4, 1));
    assert_eq!(store.delete_in(KeyRange::key("a")), (4, 0));

    store.ask(txn(vec![set("b", "1"), set("c", "1")])).unwrap();
    assert_eq!(store.revision(), 5);
    store.ask(txn(vec![TxnOp::Get(GetRequest { key: "b".into(), revision: 0 })])).unwrap();
    assert_eq!(store.revision(), 5);

    let same = SetRequest { only_if_changed: true, ..SetRequest::new("b", "1") };
    let Reply::Set(reply) = store.ask(KvRequest::Set(same)).unwrap() else { panic!() };
    assert_eq!((reply.revision, reply.changed), (5, false));
    assert_eq!(store.story(), ["2 a", "3 a", "4 -a", "5 b", "5 c"]);
}

#[test]
fn s2_a_refusal_names_its_limit_and_changes_nothing() {
    let mut store = store_with(|config| config.keys_max = 2);
    store.set_to("a", "1");
    let too_many = txn(vec![set("a", "2"), set("b", "2"), set("c", "2")]);
    let refused = store.ask(too_many).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "too many keys; delete some first: the limit store.keys_max is 2; nothing was changed"
    );
    assert_eq!(store.story(), ["2 a"]);
    assert_eq!(store.key_now("a").unwrap().value, "1");
}

#[test]
fn s4_each_key_tells_its_past_of_its_present_life() {
    let mut store = roomy();
    store.set_to("a", "1");
    store.set_to("b", "1");
    store.set_to("a", "2");
    let a = store.key_now("a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (2, 4, 2));
    store.delete_in(KeyRange::key("a"));
    store.set_to("a", "3");
    let a = store.key_now("a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (6, 6, 1));
}

#[test]
fn s5_the_past_is_readable_from_oldest_to_current() {
    let mut store = roomy();
    store.set_to("a", "1");
    store.set_to("a", "2");
    store.delete_in(KeyRange::key("a"));
    store.set_to("a", "4");
    let past = |store: &mut StoreState| -> Vec<_> {
        (1..=6).map(|revision| store.get_at("a", revision).map_err(|e| model::reason(&e))).collect()
    };
    let some = |value: &str| Ok(Some(value.to_owned()));
    let all = [Ok(None), some("1"), some("2"), Ok(None), some("4"), Err("Future")];
    assert_eq!(past(&mut store), all);

    store.ask(KvRequest::Compact(3)).unwrap();
    let mut left = all;
    left[0] = Err("Compacted");
    left[1] = Err("Compacted");
    assert_eq!(past(&mut store), left);
    assert_eq!(
        store.get_at("a", 1).unwrap_err(),
        StoreError::Compacted { asked: 1, oldest: 3, current: 5 }
    );
}

#[test]
fn s5_a_key_with_a_long_past_is_read_at_every_revision_of_it() {
    let mut store = store_with(|config| config.history_revisions_max = 300);
    for n in 2..1_000u64 {
        match n % 7 {
            0 => store.delete_in(KeyRange::key("a")).0,
            3 => store.set_to("b", "between"),
            _ => store.set_to("a", &n.to_string()),
        };
        store.reclaim(usize::from(n % 3 == 0));
        if n % 50 > 0 {
            continue;
        }
        for revision in store.history().oldest()..=n {
            let expected = match revision % 7 {
                0 => None,
                3 => Some((revision - 1).to_string()),
                _ => Some(revision.to_string()),
            };
            let expected = expected.filter(|_| revision > 1);
            assert_eq!(store.get_at("a", revision).unwrap(), expected, "at {revision} of {n}");
        }
    }
}

#[test]
fn s7_a_transaction_compares_first_then_writes_once() {
    let mut store = roomy();
    store.set_to("a", "1");
    let unchanged = |key: &str, value: &str| Compare {
        range: KeyRange::key(key),
        op: CompareOp::Equal,
        target: CompareTarget::Value(value.into()),
    };
    let get = |key: &str| TxnOp::Get(GetRequest { key: key.into(), revision: 0 });
    let request = TxnRequest {
        compares: vec![unchanged("a", "1")],
        success: vec![
            set("a", "2"),
            get("a"),
            TxnOp::Delete(DeleteRequest::new(KeyRange::key("b"))),
        ],
        failure: vec![get("a")],
    };
    let Reply::Txn(first) = store.ask(KvRequest::Txn(request.clone())).unwrap() else { panic!() };
    assert!(first.succeeded);
    let Some(Reply::Get(seen)) = first.results.get(1) else { panic!() };
    assert_eq!(seen.kv.as_ref().unwrap().value, "2", "it sees the operation before it");
    let Reply::Txn(second) = store.ask(KvRequest::Txn(request)).unwrap() else { panic!() };
    assert_eq!((second.succeeded, second.results.len(), second.revision), (false, 1, 3));

    let twice = store.ask(txn(vec![set("a", "3"), set("a", "4")]));
    assert_eq!(twice, Err(StoreError::DuplicateKey("a".into())));
    let both = vec![TxnOp::Delete(DeleteRequest::new(KeyRange::prefix(""))), set("a", "4")];
    assert_eq!(store.ask(txn(both)), Err(StoreError::DuplicateKey("a".into())));
    assert_eq!(store.story(), ["2 a", "3 a"]);
}

#[test]
fn s8_a_lease_ends_its_keys_together_and_not_before_its_time() {
    let mut store = roomy();
    let lease = store.grant(0, 10);
    store.set_with_lease("b", lease).unwrap();
    store.set_with_lease("a", lease).unwrap();
    assert_eq!(store.next_deadline(), Some(10 * SECOND));

    store.apply(4 * SECOND, None, KvRequest::LeaseKeepAlive(lease)).unwrap();
    assert_eq!(store.expire_one(14 * SECOND - 1), None);
    assert_eq!(store.expire_one(14 * SECOND), Some(2));
    assert_eq!(store.story(), ["2 b", "3 a", "4 -a", "4 -b"]);
    assert_eq!(
        store.ask(KvRequest::LeaseKeepAlive(lease)),
        Err(StoreError::LeaseNotFound(lease)),
        "it is gone"
    );
}

#[test]
fn s8_a_private_lease_ends_with_its_key() {
    let mut store = roomy();
    let deleted = store.set_with_ttl(0, "a", 10);
    let replaced = store.set_with_ttl(0, "b", 10);
    let kept = store.set_with_ttl(0, "c", 10);
    store.delete_in(KeyRange::key("a"));
    store.set_to("b", "for good");
    assert_eq!(store.set_with_ttl(3 * SECOND, "c", 20), kept, "it starts again");
    for gone in [deleted, replaced] {
        let asked = store.ask(KvRequest::LeaseTimeToLive(gone));
        assert_eq!(asked, Err(StoreError::LeaseNotFound(gone)));
    }
    assert_eq!(store.expire_one(22 * SECOND), None);
    assert_eq!(store.expire_one(23 * SECOND), Some(1));
    assert!(store.key_now("b").is_some() && store.key_now("c").is_none());
    assert_eq!(store.status().leases, 0);
}

#[test]
fn s9_a_write_sent_again_is_done_once() {
    let mut store = store_with(|config| config.idempotency_ttl = Duration::from_secs(60));
    let write = |value: &str| KvRequest::Set(SetRequest::new("a", value));
    let first = store.apply(0, once(Some(7)), write("1")).unwrap();
    store.set_to("a", "2");
    assert_eq!(store.apply(59 * SECOND, once(Some(7)), write("1")).unwrap(), first);
    assert_eq!(store.key_now("a").unwrap().value, "2", "done once");
    let other = store.apply(59 * SECOND, once(Some(7)), write("3"));
    assert_eq!(other, Err(StoreError::IdempotencyMismatch));
    assert_eq!(store.revision(), 3);

    store.apply(60 * SECOND, once(Some(7)), write("3")).unwrap();
    assert_eq!(store.revision(), 4, "forgotten after its time");
}

#[test]
fn s9_a_refused_write_may_be_sent_again() {
    let mut store = store_with(|config| config.keys_max = 1);
    store.set_to("a", "1");
    let write = KvRequest::Set(SetRequest::new("b", "1"));
    assert_eq!(limit(store.apply(0, once(Some(7)), write.clone())), "store.keys_max");
    store.delete_in(KeyRange::key("a"));
    store.apply(0, once(Some(7)), write).unwrap();
    assert!(store.key_now("b").is_some());
}

#[test]
fn s10_history_stays_within_its_bytes_whatever_is_written() {
    let mut store = store_with(|config| {
        config.history_bytes_max = 1_000_000;
        config.slice_max = 64;
    });
    for n in 0..4_000 {
        store.set_to("small", &n.to_string());
    }
    let large = "x".repeat(100_000);
    for _ in 0..200 {
        store.set_to("large", &large);
        let oldest = store.history().oldest();
        let readable = store.history().first_of(oldest)..store.history().end();
        let bytes: usize =
            readable.map(|seq| store.history().get(seq).unwrap().event.kv.bytes()).sum();
        assert!(bytes <= 1_000_000, "{bytes} bytes are readable");
    }
    let most = 2 * 1_000_000 + 100_000;
    assert!(store.status().history_bytes < most, "{} bytes held", store.status().history_bytes);
    while store.must_reclaim() {
        store.reclaim(64);
    }
    assert!(store.status().history_bytes <= 1_000_000);
}

#[test]
fn s10_compaction_gives_room_back_a_slice_at_a_time() {
    let mut store = store_with(|config| config.slice_max = 10);
    for n in 0..100 {
        store.set_to(&format!("key {n}"), "v");
    }
    store.delete_in(KeyRange::all());
    store.ask(KvRequest::Compact(102)).unwrap();
    assert_eq!(store.status().history_events, 190, "a slice at once");
    let mut turns = 0;
    while store.must_reclaim() {
        store.reclaim(10);
        turns += 1;
    }
    assert_eq!((turns, store.status().history_events), (9, 100), "the deletes are readable");
    store.set_to("a", "1");
    store.ask(KvRequest::Compact(103)).unwrap();
    store.reclaim(usize::MAX);
    assert_eq!((store.history().len(), store.keys.records()), (1, 1), "deleted keys are forgotten");
}

#[test]
fn s10_the_pages_of_one_transaction_share_one_reply() {
    let mut store = store_with(|config| {
        config.range_bytes_max = 1_000;
        config.range_keys_max = 10;
    });
    for key in ["a", "b", "c"] {
        store.set_to(key, &"x".repeat(900));
    }
    let page = || TxnOp::Range(RangeRequest::new(KeyRange::all()));
    let Reply::Txn(reply) = store.ask(txn(vec![page(), page(), page()])).unwrap() else { panic!() };
    let pages: Vec<(usize, bool)> = reply
        .results
        .iter()
        .map(|result| match result {
            Reply::Range(page) => (page.kvs.len(), page.more),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(pages, [(1, true), (0, true), (0, true)]);
}

#[test]
fn s10_a_value_larger_than_a_page_is_read_by_itself() {
    let mut store = store_with(|config| config.range_bytes_max = 100);
    for key in ["a", "b"] {
        store.set_to(key, &"x".repeat(900));
    }
    let page = RangeRequest::new(KeyRange::all());
    assert_eq!(store.page(page.clone()), (vec!["a".to_owned()], true));
    let next = RangeRequest { after: Some(Blob::from("a")), ..page };
    assert_eq!(store.page(next), (vec!["b".to_owned()], false));
}
