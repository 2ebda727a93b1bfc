//! Watches over an uncut connection: slow consumers, many watches on one stream, ends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use wakeful::{
    Delivery, Details, ErrorCode, KeyRange, Operations, SetRequest, WatchFrom, WatchItem,
    WatchRequest,
};

use super::proxy::Proxy;
use super::{connect, next_events, within};
use crate::process::Server;

#[tokio::test]
async fn w9_a_watch_that_is_not_read_stalls_nothing_and_loses_nothing() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let mut unread = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let mut read = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    // Eight times the bytes that the client lets the server send ahead.
    let value = "x".repeat(8 * client.config().watch_window_bytes as usize / 400);
    let mut slowest = Duration::ZERO;
    for nth in 2..=401_u64 {
        let asked = Instant::now();
        within(client.set(SetRequest::new("a", &*value))).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        assert_eq!(next_events(&mut read).await[0].revision(), nth);
    }
    assert!(slowest < Duration::from_secs(5), "a set took {slowest:?}");
    let watchers = within(client.watchers(0, 0)).await.unwrap().watchers;
    assert!(watchers[0].behind > 0 && watchers[1].behind == 0, "{watchers:?}");
    let mut expected = 2;
    while expected <= 401 {
        for event in next_events(&mut unread).await {
            assert_eq!((event.revision(), event.kv.value.len()), (expected, value.len()));
            expected += 1;
        }
    }
    assert_eq!(unread.revision(), 401);
}

#[tokio::test]
async fn with_latest_a_consumer_that_lags_gets_the_newest_and_a_count() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let delivery = Delivery::Latest;
    let request = WatchRequest { delivery, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let value = "x".repeat(10_000);
    for _ in 0..400 {
        within(client.set(SetRequest::new("a", &*value))).await.unwrap();
    }
    let (mut shown, mut skipped, mut last) = (0, 0, 1);
    while last < 401 {
        match within(watch.next()).await.unwrap().unwrap() {
            WatchItem::Events { revision, events, skipped: more } => {
                for event in &events {
                    assert!(event.revision() > last);
                    last = event.revision();
                }
                assert_eq!(last, revision);
                shown += events.len() as u64;
                skipped += more;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown + skipped, 400);
    assert!(skipped > 0);
}

#[tokio::test]
async fn w3_a_watch_overtaken_by_compaction_says_where_to_resume() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let mut unread = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let value = "x".repeat(100_000);
    for _ in 0..30 {
        within(client.set(SetRequest::new("a", &*value))).await.unwrap();
    }
    within(client.compact(31)).await.unwrap();
    let mut expected = 2;
    let error = loop {
        match within(unread.next()).await.unwrap() {
            Ok(WatchItem::Events { events, .. }) => {
                for event in events {
                    assert_eq!(event.revision(), expected);
                    expected += 1;
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(expected < 31, "it was not behind");
    assert_eq!(error.code, ErrorCode::Compacted);
    let Details::Resume { revision } = error.details else { panic!("{error:?}") };
    let from = WatchFrom::Revision(revision);
    let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
    let mut resumed = within(client.watch(request)).await.unwrap();
    assert_eq!(next_events(&mut resumed).await[0].revision(), revision);
}

#[tokio::test]
async fn w10_watches_of_one_stream_are_independent() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let mut mux = client.watch_mux();
    let mut ids = Vec::new();
    for prefix in ["a", "ab", "b", "none"] {
        ids.push(within(mux.add(WatchRequest::new(KeyRange::prefix(prefix)))).await.unwrap());
    }
    for key in ["a", "ab", "abc", "b", "c"] {
        within(client.set(SetRequest::new(key, "1"))).await.unwrap();
    }
    let mut shown: HashMap<_, Vec<String>> = HashMap::new();
    while shown.values().map(Vec::len).sum::<usize>() < 6 {
        let (id, item) = within(mux.next()).await.unwrap();
        let WatchItem::Events { events, .. } = item.unwrap() else { panic!("no events") };
        shown.entry(id).or_default().extend(events.iter().map(|event| event.kv.key.to_string()));
    }
    assert_eq!(shown[&ids[0]], ["a", "ab", "abc"]);
    assert_eq!(shown[&ids[1]], ["ab", "abc"]);
    assert_eq!(shown[&ids[2]], ["b"]);
    // The owner cancels one, an operator ends another: the remaining ones continue.
    mux.cancel(ids[0]);
    let watchers = within(client.watchers(0, 0)).await.unwrap().watchers;
    let ended = watchers.iter().find(|watcher| watcher.range == KeyRange::prefix("b")).unwrap();
    within(client.end_watcher(ended.id)).await.unwrap();
    let (id, item) = within(mux.next()).await.unwrap();
    assert_eq!((id, item.unwrap_err().code), (ids[2], ErrorCode::EndedByOperator));
    within(client.set(SetRequest::new("ab", "2"))).await.unwrap();
    let (id, item) = within(mux.next()).await.unwrap();
    assert_eq!(id, ids[1]);
    assert!(matches!(item.unwrap(), WatchItem::Events { revision: 7, .. }));
    assert_eq!(within(client.status()).await.unwrap().streams, 1);
}

#[tokio::test]
async fn another_store_behind_the_same_address_ends_what_names_the_old_one() {
    let (server, other) = (Server::start(), Server::start());
    let proxy = Proxy::start(server.addr(), 0, u64::MAX).await;
    let client = connect(proxy.addr()).await;
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let parked = client.go_wait(wakeful::WaitRequest::new(KeyRange::key("b")));
    assert_eq!(within(client.status()).await.unwrap().waits, 1);
    proxy.move_to(other.addr());
    assert_eq!(within(watch.next()).await.unwrap().unwrap_err().code, ErrorCode::StoreChanged);
    assert!(within(watch.next()).await.is_none());
    assert_eq!(within(parked).await.unwrap_err().code, ErrorCode::StoreChanged);
    // Requests that name no revision continue.
    assert_eq!(within(client.get("a")).await.unwrap().kv, None);
    let mut anew = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(next_events(&mut anew).await[0].revision(), 2);
}
