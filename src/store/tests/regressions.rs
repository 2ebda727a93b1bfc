//! Regressions.

use super::*;
use crate::model::{Compare, CompareOp, CompareTarget};

/// The event at the oldest revision was taken for compacted, like those before it.
#[test]
fn the_event_of_the_oldest_revision_is_readable() {
    let mut store = roomy();
    for n in 0..5 {
        store.set_to("a", &n.to_string());
    }
    for oldest in 2..=5 {
        store.ask(KvRequest::Compact(oldest)).unwrap();
        assert_eq!(store.story().first().unwrap(), &format!("{oldest} a"));
    }
}

/// One write compacted only one revision, so large values after small ones exceeded the limit.
#[test]
fn one_large_write_compacts_as_many_small_ones_as_it_takes() {
    let mut store = store_with(|config| config.history_bytes_max = 10_000);
    for n in 0..40 {
        store.set_to("a", &n.to_string());
    }
    assert_eq!(store.history().oldest(), 1);
    store.set_to("b", &"x".repeat(9_000));
    assert_eq!(store.story().len(), 5, "four small ones still fit");
    store.set_to("b", &"x".repeat(20_000));
    assert_eq!(store.story(), ["43 b"], "the newest revision is always readable");
}

/// A transaction could free the private lease that it then gave to another key.
#[test]
fn a_private_lease_is_of_one_key_only() {
    let mut store = roomy();
    let private = store.set_with_ttl(0, "a", 10);
    assert!(matches!(store.set_with_lease("b", private), Err(StoreError::InvalidArgument(_))));
    store.set_with_lease("a", private).unwrap();
    let moved = txn(vec![
        TxnOp::Delete(DeleteRequest::new(KeyRange::key("a"))),
        TxnOp::Set(SetRequest { lease: private, ..SetRequest::new("b", "v") }),
    ]);
    assert!(matches!(store.ask(moved), Err(StoreError::InvalidArgument(_))));
    assert_eq!(store.key_now("a").unwrap().lease, private);
}

/// A transaction that set a key of a full lease again was refused, though a plain set was not; so was
/// one whose other list would have filled the lease.
#[test]
fn a_full_lease_still_takes_the_keys_it_has() {
    let mut store = store_with(|config| config.revision_events_max = 2);
    let lease = store.grant(0, 10);
    let with_lease = |key: &str| TxnOp::Set(SetRequest { lease, ..SetRequest::new(key, "v") });
    store.ask(txn(vec![with_lease("a"), with_lease("b")])).unwrap();
    store.ask(txn(vec![with_lease("b"), with_lease("a")])).unwrap();
    assert_eq!(limit(store.ask(txn(vec![with_lease("c")]))), "store.revision_events_max");
    assert_eq!(limit(store.set_with_lease("c", lease)), "store.revision_events_max");

    let exists = Compare {
        range: KeyRange::key("c"),
        op: CompareOp::Greater,
        target: CompareTarget::Version(0),
    };
    let other_list = TxnRequest {
        compares: vec![exists],
        success: vec![with_lease("c")],
        failure: vec![with_lease("a")],
    };
    store.ask(KvRequest::Txn(other_list)).unwrap();
}

/// Each delete of a transaction walked its keys before the sum was checked.
#[test]
fn a_transaction_stops_counting_at_its_limit() {
    let mut store = store_with(|config| config.revision_events_max = 10);
    for n in 0..10 {
        store.set_to(&n.to_string(), "v");
    }
    let delete = || TxnOp::Delete(DeleteRequest::new(KeyRange::all()));
    assert_eq!(limit(store.ask(txn(vec![delete(), delete()]))), "store.revision_events_max");
}

/// The keys that a delete returned were limited by bytes only, so empty ones were not limited.
#[test]
fn a_delete_gives_back_no_more_keys_than_a_page_has() {
    let mut store = store_with(|config| config.range_keys_max = 3);
    for n in 0..4 {
        store.set_to(&n.to_string(), "");
    }
    let delete = DeleteRequest { range: KeyRange::all(), return_previous: true };
    assert_eq!(limit(store.ask(KvRequest::Delete(delete))), "store.range_keys_max");
    assert_eq!(store.delete_in(KeyRange::all()), (6, 4));
}

/// A reply of many small keys was counted as a small reply.
#[test]
fn remembered_replies_are_counted_with_all_they_hold() {
    let mut store = store_with(|config| config.idempotency_bytes_max = 64 * 1024);
    for n in 0..1_000 {
        store.set_to(&n.to_string(), "");
    }
    let keys = RangeRequest { keys_only: true, ..RangeRequest::new(KeyRange::all()) };
    let read = txn(vec![TxnOp::Range(keys)]);
    store.apply(0, once(Some(1)), read).unwrap();
    let other = KvRequest::Set(SetRequest::new("a", "b"));
    store.apply(0, once(Some(1)), other).expect("a thousand keys take more room than there is");
}
