//! Every operation, in this process and over the wire: the answers must be the same (E1).

use std::time::Duration;

use futures_util::StreamExt;
use wakeful::{
    CallOptions, Client, Compare, CompareOp, CompareTarget, Details, ErrorCode, EventKind,
    HubRequest, KeyRange, KvRequest, Operations, RangeRequest, Request, SetRequest, TxnOp,
    TxnRequest, WaitCondition, WaitOutcome, WaitRequest, WatchFrom, WatchItem, WatchRequest,
};

use super::{events, start, within};

#[actix_rt::test]
async fn e1_operations_in_this_process() {
    let wakeful = start();
    within(tour(&wakeful)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn e1_operations_over_the_wire() {
    let wakeful = start();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let client = Client::connect(addr.to_string()).await.unwrap();
    within(tour(&client)).await;
    within(wakeful.stop()).await;
}

/// Executes the operations on a fresh store.
async fn tour(store: &impl Operations) {
    keys(store).await;
    transactions(store).await;
    leases(store).await;
    waits(store).await;
    watches(store).await;
    refusals(store).await;
}

async fn keys(store: &impl Operations) {
    let set = store.set(SetRequest::new("a", "1")).await.unwrap();
    assert_eq!((set.revision, set.changed, set.previous), (2, true, None));
    let again = SetRequest { only_if_changed: true, ..SetRequest::new("a", "1") };
    let set = store.set(again).await.unwrap();
    assert_eq!((set.revision, set.changed), (2, false));
    store.set(SetRequest::new("b", b"\xff\x00")).await.unwrap();
    let previous = SetRequest { return_previous: true, ..SetRequest::new("a", "2") };
    let set = store.set(previous).await.unwrap();
    assert_eq!(set.previous.unwrap().value, "1");
    let kv = store.get("a").await.unwrap().kv.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 4, 2));
    assert_eq!(store.get_at("a", 3).await.unwrap().kv.unwrap().value, "1");
    assert_eq!(store.get("nothing").await.unwrap().kv, None);
    let page = store.range(RangeRequest { limit: 1, ..RangeRequest::new(KeyRange::all()) });
    let page = page.await.unwrap();
    assert_eq!((page.kvs.len(), page.more, page.revision), (1, true, 4));
    let after = Some(page.kvs[0].key.clone());
    let rest = store.range(RangeRequest { after, ..RangeRequest::new(KeyRange::all()) });
    let rest = rest.await.unwrap();
    assert_eq!((&*rest.kvs[0].value, rest.more), (&b"\xff\x00"[..], false));
    let deleted = store.delete(KeyRange::prefix("a")).await.unwrap();
    assert_eq!((deleted.revision, deleted.deleted), (5, 1));
    assert_eq!(store.delete(KeyRange::key("a")).await.unwrap().revision, 5);
}

async fn transactions(store: &impl Operations) {
    let version = |version| Compare {
        range: KeyRange::key("lock"),
        op: CompareOp::Equal,
        target: CompareTarget::Version(version),
    };
    let take = TxnRequest {
        compares: vec![version(0)],
        success: vec![TxnOp::Set(SetRequest::new("lock", "me"))],
        failure: vec![TxnOp::Get(wakeful::GetRequest { key: "lock".into(), revision: 0 })],
    };
    let done = store.txn(take.clone()).await.unwrap();
    assert_eq!((done.succeeded, done.revision), (true, 6));
    let done = store.txn(take).await.unwrap();
    assert_eq!((done.succeeded, done.revision, done.results.len()), (false, 6, 1));
    let write = Request::from(KvRequest::Set(SetRequest::new("once", "1")));
    let first = store.call_with(write.clone(), CallOptions::once(77)).await.unwrap();
    assert_eq!(store.call_with(write, CallOptions::once(77)).await.unwrap(), first);
    let other = store
        .call_with(KvRequest::Set(SetRequest::new("once", "2")).into(), CallOptions::once(77))
        .await;
    assert_eq!(other.unwrap_err().code, ErrorCode::IdempotencyMismatch);
}

async fn leases(store: &impl Operations) {
    let lease = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    assert_eq!(lease.ttl, Duration::from_secs(60));
    let set = SetRequest { lease: lease.id, ..SetRequest::new("leased", "x") };
    assert_eq!(store.set(set).await.unwrap().lease, lease.id);
    assert_eq!(store.lease_keep_alive(lease.id).await.unwrap().id, lease.id);
    let left = store.lease_time_to_live(lease.id).await.unwrap();
    assert_eq!((left.granted, left.keys.len()), (Duration::from_secs(60), 1));
    assert_eq!(store.lease_list(0, 0).await.unwrap().leases, [lease.id]);
    assert_eq!(store.lease_revoke(lease.id).await.unwrap().deleted, 1);
    let gone = store.lease_keep_alive(lease.id).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::LeaseNotFound);
}

async fn waits(store: &impl Operations) {
    let now = store.status().await.unwrap().revision;
    let key = || KeyRange::key("w");
    // T3: whichever of the two comes first, the wait sees the set.
    let wait = WaitRequest { after: Some(now), ..WaitRequest::new(key()) };
    let (met, set) = tokio::join!(store.wait(wait), store.set(SetRequest::new("w", "1")));
    let WaitOutcome::Met { revision, event } = met.unwrap() else { panic!("a timeout") };
    assert_eq!((revision, event.unwrap().kv.value.clone()), (set.unwrap().revision, "1".into()));
    let exists = WaitRequest { condition: WaitCondition::Exists, ..WaitRequest::new(key()) };
    assert!(matches!(store.wait(exists).await.unwrap(), WaitOutcome::Met { event: Some(_), .. }));
    let brief = Some(Duration::from_millis(5));
    let nothing = WaitRequest { timeout: brief, ..WaitRequest::new(key()) };
    let timeout = store.wait(nothing).await.unwrap();
    assert_eq!(timeout, WaitOutcome::Timeout { revision });
}

async fn watches(store: &impl Operations) {
    let mut watch = store.watch(WatchRequest::new(KeyRange::prefix("v/"))).await.unwrap();
    let first = store.set(SetRequest::new("v/1", "x")).await.unwrap().revision;
    store.delete(KeyRange::key("v/1")).await.unwrap();
    let mut shown = Vec::new();
    while shown.len() < 2 {
        shown.extend(events(watch.next().await.unwrap().unwrap()));
    }
    assert_eq!(shown.iter().map(|event| event.revision()).collect::<Vec<_>>(), [first, first + 1]);
    assert_eq!([shown[0].kind(), shown[1].kind()], [EventKind::Put, EventKind::Delete]);
    let from = WatchFrom::Snapshot;
    let snapshot = WatchRequest { from, keys_only: true, ..WatchRequest::new(KeyRange::key("w")) };
    let mut snapshot = store.watch(snapshot).await.unwrap();
    let WatchItem::Snapshot { kvs, .. } = snapshot.next().await.unwrap().unwrap() else {
        panic!("no snapshot")
    };
    assert_eq!((kvs.len(), kvs[0].value.len()), (1, 0));
    let end = snapshot.next().await.unwrap().unwrap();
    assert_eq!(end, WatchItem::SnapshotEnd { revision: first + 1 });

    let watchers = store.watchers(0, 0).await.unwrap().watchers;
    assert_eq!(watchers.len(), 2);
    store.end_watcher(watchers[0].id).await.unwrap();
    let ended = watch.next().await.unwrap().unwrap_err();
    assert_eq!(ended.code, ErrorCode::EndedByOperator);
    assert_eq!(ended.details, Details::Resume { revision: first + 2 });
    assert!(watch.next().await.is_none());
    drop(snapshot);
    // A request in the same turn may still see the watch; a later one does not.
    while !store.watchers(0, 0).await.unwrap().watchers.is_empty() {}
}

async fn refusals(store: &impl Operations) {
    let empty = store.set(SetRequest::new("", "x")).await.unwrap_err();
    assert_eq!(empty.code, ErrorCode::InvalidArgument);
    let long = store.set(SetRequest::new(vec![b'k'; 5_000], "x")).await.unwrap_err();
    assert_eq!(long.code, ErrorCode::LimitExceeded);
    let expected = Details::Limit { name: "store.key_bytes_max".into(), value: 4_096 };
    assert_eq!(long.details, expected);
    assert!(long.message.contains("store.key_bytes_max"), "{long}");
    let once = store.call_with(HubRequest::Status.into(), CallOptions::once(1)).await.unwrap_err();
    assert_eq!(once.code, ErrorCode::InvalidArgument);
    let current = store.status().await.unwrap().revision;
    let compacted = store.compact(current).await.unwrap();
    assert_eq!((compacted.oldest, compacted.revision), (current, current));
    let revisions = Details::Revisions { oldest: current, current };
    let past = store.get_at("a", current - 1).await.unwrap_err();
    assert_eq!((past.code, &past.details), (ErrorCode::Compacted, &revisions));
    let from = WatchFrom::Revision(current + 2);
    let future = store.watch(WatchRequest { from, ..WatchRequest::new(KeyRange::all()) }).await;
    let future = future.err().expect("a watch from the future");
    assert_eq!((future.code, &future.details), (ErrorCode::FutureRevision, &revisions));
}
