//! The client over a connection that is cut at random bytes: nothing is lost or repeated.
//!
//! Each test runs with several seeds; a failure shows its seed, and `WAKEFUL_SEED=7 cargo test
//! --test it cuts` runs with only that one.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use wakeful::{
    CallOptions, Client, ErrorCode, KeyRange, KvRequest, Operations, Reply, SetRequest, TxnOp,
    TxnRequest, WaitCondition, WaitOutcome, WaitRequest, WatchFrom, WatchItem, WatchRequest,
};

use super::proxy::Proxy;
use super::{connect, next_events, seeds, within};
use crate::process::Server;

/// Sets unique values, two keys in every other revision, from several tasks at once.
async fn write_all(client: &Client, writers: u64, each: u64) {
    let tasks = (0..writers).map(|writer| async move {
        for nth in 0..each {
            let set = |key: &str| {
                TxnOp::Set(SetRequest::new(format!("{key}/{writer}"), format!("{writer}-{nth}")))
            };
            let mut success = vec![set("a")];
            if nth % 2 == 1 {
                success.push(set("b"));
            }
            let txn = TxnRequest { success, ..TxnRequest::default() };
            client.txn(txn).await.unwrap();
        }
    });
    within(join_all(tasks)).await;
}

#[tokio::test]
async fn w1_w2_w3_w4_a_watch_of_everything_shows_every_event_once_in_order() {
    for seed in seeds() {
        let server = Server::start();
        let writer = connect(server.addr()).await;
        let proxy = Proxy::start(server.addr(), seed, 3_000).await;
        let client = connect_through(&proxy).await;
        let mut request = WatchRequest::new(KeyRange::all());
        request.progress = Some(Duration::from_millis(100));
        let mut early = within(client.watch(request.clone())).await.unwrap();
        let write = async {
            write_all(&writer, 4, 100).await;
            within(writer.status()).await.unwrap().revision
        };
        let watch = async {
            let mut shown: Vec<(u64, String, String)> = Vec::new();
            // Revisions are complete, but an item may have several, so items are not counted.
            while shown.last().is_none_or(|(revision, ..)| *revision < 401) {
                let events = next_events(&mut early).await;
                let first = events[0].revision();
                assert!(shown.last().is_none_or(|(revision, ..)| *revision < first), "split");
                shown.extend(events.iter().map(|event| {
                    (event.revision(), event.kv.key.to_string(), event.kv.value.to_string())
                }));
            }
            shown
        };
        let (last, shown) = tokio::join!(write, watch);
        assert_eq!(last, 401);
        // The truth, over a connection that is not cut.
        let from = WatchFrom::Revision(2);
        let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
        let mut history = within(writer.watch(request)).await.unwrap();
        let mut truth = Vec::new();
        while truth.len() < 600 {
            truth.extend(next_events(&mut history).await.iter().map(|event| {
                (event.revision(), event.kv.key.to_string(), event.kv.value.to_string())
            }));
        }
        assert_eq!(shown, truth);
        assert!(proxy.cuts() > 5, "only {} cuts", proxy.cuts());
    }
}

/// A cut may hit the first handshake, which the caller must retry.
async fn connect_through(proxy: &Proxy) -> Client {
    loop {
        match within(Client::connect_with(super::config(proxy.addr()))).await {
            Ok(client) => return client,
            Err(error) => assert_eq!(error.code, ErrorCode::Unreachable),
        }
    }
}

#[tokio::test]
async fn w7_a_snapshot_over_cuts_is_whole() {
    for seed in seeds() {
        let server = Server::start();
        let writer = connect(server.addr()).await;
        let keys: Vec<_> = (0..300).map(|nth| format!("key-{nth:03}")).collect();
        let sets = keys.iter().map(|key| writer.set(SetRequest::new(key, "x".repeat(500))));
        within(join_all(sets)).await.into_iter().for_each(|set| drop(set.unwrap()));
        let proxy = Proxy::start(server.addr(), seed, 600_000).await;
        let client = connect_through(&proxy).await;
        let from = WatchFrom::Snapshot;
        let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
        let mut watch = within(client.watch(request)).await.unwrap();
        let mut shown = Vec::new();
        let end = loop {
            match within(watch.next()).await.unwrap().unwrap() {
                WatchItem::Snapshot { kvs, .. } => {
                    shown.extend(kvs.iter().map(|kv| kv.key.to_string()));
                }
                WatchItem::SnapshotEnd { revision } => break revision,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((&shown, end), (&keys, 301));
        within(writer.set(SetRequest::new("key-000", "new"))).await.unwrap();
        assert_eq!(next_events(&mut watch).await[0].revision(), 302);
    }
}

#[tokio::test]
async fn t3_waits_survive_cuts_and_miss_nothing() {
    for seed in seeds() {
        let server = Server::start();
        let writer = connect(server.addr()).await;
        let proxy = Proxy::start(server.addr(), seed, 400).await;
        let client = connect_through(&proxy).await;
        // A wait that lasts through all cuts.
        let patient = client.go_wait(WaitRequest {
            condition: WaitCondition::Equals("done".into()),
            timeout: Some(Duration::from_secs(60)),
            ..WaitRequest::new(KeyRange::key("k"))
        });
        let mut after = Some(1);
        for nth in 2..=60_u64 {
            let timeout = Some(Duration::from_secs(60));
            let wait = WaitRequest { after, timeout, ..WaitRequest::new(KeyRange::key("k")) };
            let wait = client.go_wait(wait);
            within(writer.set(SetRequest::new("k", nth.to_string()))).await.unwrap();
            let WaitOutcome::Met { revision, event } = within(wait).await.unwrap() else {
                panic!("a timeout")
            };
            assert_eq!(event.unwrap().kv.value, nth.to_string().as_bytes());
            after = Some(revision);
        }
        assert!(!patient.is_done());
        within(writer.set(SetRequest::new("k", "done"))).await.unwrap();
        let met = within(patient).await.unwrap();
        assert!(matches!(met, WaitOutcome::Met { revision: 61, .. }), "{met:?}");
        assert!(proxy.cuts() > 5, "only {} cuts", proxy.cuts());
    }
}

/// Returns every value that a key ever had, with its number of writes.
async fn written(addr: &str, key: &str) -> HashMap<String, u64> {
    let client = connect(addr).await;
    let current = within(client.status()).await.unwrap().revision;
    let from = WatchFrom::Revision(2);
    let request = WatchRequest { from, ..WatchRequest::new(KeyRange::key(key)) };
    let mut history = within(client.watch(request)).await.unwrap();
    let mut values = HashMap::new();
    let mut last = 1;
    while last < current {
        for event in next_events(&mut history).await {
            assert_eq!(event.revision(), last + 1, "nothing but this key is written");
            last = event.revision();
            *values.entry(event.kv.value.to_string()).or_default() += 1;
        }
    }
    values
}

#[tokio::test]
async fn r3_writes_are_never_done_twice() {
    for seed in seeds() {
        let server = Server::start();
        let proxy = Proxy::start(server.addr(), seed, 2_000).await;
        let client = connect_through(&proxy).await;
        let mut unknown = 0;
        let mut told = HashMap::new();
        for round in 0..30 {
            let writes: Vec<_> = (0..10)
                .map(|nth| {
                    let value = format!("{round}-{nth}");
                    let set = client.go(KvRequest::Set(SetRequest::new("k", &value)));
                    (value, set)
                })
                .collect();
            for (value, set) in writes {
                match within(set).await {
                    Ok(_) => drop(told.insert(value, true)),
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
                        told.insert(value, false);
                        unknown += 1;
                    }
                }
            }
        }
        let written = written(server.addr(), "k").await;
        for (value, done) in &told {
            let times = written.get(value).copied().unwrap_or(0);
            assert!(times <= 1, "{value} was done {times} times");
            assert!(times == 1 || !done, "{value} was said to be done, and was not");
        }
        assert!(written.keys().all(|value| told.contains_key(value)));
        assert!(unknown > 0 && unknown < 300, "{unknown} of 300 were lost");
    }
}

#[tokio::test]
async fn s9_writes_with_a_key_are_done_exactly_once() {
    for seed in seeds() {
        let server = Server::start();
        let proxy = Proxy::start(server.addr(), seed, 2_000).await;
        let client = connect_through(&proxy).await;
        let mut revisions = HashMap::new();
        for round in 0..30_u64 {
            let writes: Vec<_> = (0..10_u64)
                .map(|nth| {
                    let value = format!("{round}-{nth}");
                    let key = u128::from(round * 10 + nth + 1);
                    let set = KvRequest::Set(SetRequest::new("k", &value));
                    (value, client.go_with(set, CallOptions::once(key)))
                })
                .collect();
            for (value, set) in writes {
                let Reply::Set(reply) = within(set).await.unwrap().reply else { panic!("no set") };
                assert!(revisions.insert(reply.revision, value).is_none());
            }
        }
        let written = written(server.addr(), "k").await;
        assert_eq!(written.len(), 300);
        assert!(written.values().all(|times| *times == 1), "{written:?}");
        // The received reply is that of the executed write.
        let direct = connect(server.addr()).await;
        for (revision, value) in revisions {
            let kv = within(direct.get_at("k", revision)).await.unwrap().kv.unwrap();
            assert_eq!((kv.mod_revision, kv.value.to_string()), (revision, value));
        }
        assert!(proxy.cuts() > 5, "only {} cuts", proxy.cuts());
    }
}

#[tokio::test]
async fn reads_are_sent_again_until_they_are_answered() {
    for seed in seeds() {
        let server = Server::start();
        let direct = connect(server.addr()).await;
        within(direct.set(SetRequest::new("k", "v".repeat(100)))).await.unwrap();
        let proxy = Proxy::start(server.addr(), seed, 1_000).await;
        let client = connect_through(&proxy).await;
        for _ in 0..200 {
            assert_eq!(within(client.get("k")).await.unwrap().kv.unwrap().value.len(), 100);
        }
        assert!(proxy.cuts() > 5, "only {} cuts", proxy.cuts());
    }
}

#[tokio::test]
async fn t5_what_was_cut_off_is_freed() {
    let server = Server::start();
    let direct = connect(server.addr()).await;
    let proxy = Proxy::start(server.addr(), 1, 2_000).await;
    let client = connect_through(&proxy).await;
    for _ in 0..20 {
        let waits: Vec<_> =
            (0..10).map(|_| client.go_wait(WaitRequest::new(KeyRange::key("never")))).collect();
        let watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
        within(client.get("a")).await.unwrap();
        drop((waits, watch));
    }
    drop(client);
    super::until_status(&direct, "nothing is left", |status| {
        (status.waits, status.watches, status.streams, status.connections) == (0, 0, 0, 1)
    })
    .await;
}
