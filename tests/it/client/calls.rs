//! Requests and waits: shared clients, deadlines, and the remains of cancelled requests.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use wakeful::{
    Client, ClientConfig, ErrorCode, HubRequest, KeyRange, KvRequest, Operations, SetRequest,
    WaitCondition, WaitOutcome, WaitRequest, WatchRequest,
};

use super::proxy::Proxy;
use super::{config, connect, next_events, thread, until_status, within};
use crate::process::Server;

#[tokio::test]
async fn t5_a_timed_out_wait_leaves_nothing() {
    // The predecessor of this service leaked a filter for each.
    let server = Server::start();
    let client = connect(server.addr()).await;
    let timeout = Some(Duration::from_millis(10));
    let waits = (0..1_000).map(|nth| {
        let range = KeyRange::key(format!("{}", nth % 10));
        client.go_wait(WaitRequest { timeout, ..WaitRequest::new(range) })
    });
    for outcome in within(join_all(waits)).await {
        assert_eq!(outcome.unwrap(), WaitOutcome::Timeout { revision: 1 });
    }
    assert_eq!(within(client.status()).await.unwrap().waits, 0);
    assert_eq!(within(client.watchers(0, 0)).await.unwrap().watchers, []);
}

#[tokio::test]
async fn t5_the_eleventh_event_for_a_waiter_that_is_gone_blocks_nobody() {
    let server = Server::start();
    let writer = connect(server.addr()).await;
    // In every way: timed out, cancelled, unread, and with a lost connection.
    let client = connect(server.addr()).await;
    let brief = Some(Duration::from_millis(1));
    let wait = WaitRequest { timeout: brief, ..WaitRequest::new(KeyRange::all()) };
    within(client.wait(wait)).await.unwrap();
    drop(client.go_wait(WaitRequest::new(KeyRange::all())));
    let _unread = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let gone = connect(server.addr()).await;
    let wait = gone.go_wait(WaitRequest::new(KeyRange::all()));
    let watch = within(gone.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    drop((wait, watch, gone));
    for nth in 2..=1_000_u64 {
        assert_eq!(within(writer.set(SetRequest::new("a", "1"))).await.unwrap().revision, nth);
    }
    until_status(&writer, "only the unread watch is left", |status| {
        (status.waits, status.watches, status.streams) == (0, 1, 1)
    })
    .await;
}

#[tokio::test]
async fn w8_a_wait_started_before_a_set_sees_it() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    for nth in 2..200_u64 {
        let wait = client.go_wait(WaitRequest::new(KeyRange::all()));
        let set = client.go(KvRequest::Set(SetRequest::new("abc", "abc-value")));
        let (met, set) = within(async { tokio::join!(wait, set) }).await;
        set.unwrap();
        let WaitOutcome::Met { revision, event } = met.unwrap() else { panic!("a timeout") };
        assert_eq!((revision, event.unwrap().revision()), (nth, nth));
    }
}

#[tokio::test]
async fn many_tasks_share_one_client() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let threads: Vec<_> = (0..4)
        .map(|nth| {
            let client = client.clone();
            thread(move || async move {
                let tasks = (0..50).map(|task| worker(&client, format!("{nth}/{task}")));
                within(join_all(tasks)).await;
            })
        })
        .collect();
    // This thread drives the connection meanwhile.
    until_status(&client, "every set is done", |status| status.revision == 1 + 4 * 50 * 10).await;
    while threads.iter().any(|thread| !thread.is_finished()) {
        tokio::task::yield_now().await;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(within(client.status()).await.unwrap().connections, 1);
}

/// Checks that the worker's own key changes only by its own writes.
async fn worker(client: &Client, key: String) {
    for nth in 1..=10_u64 {
        let wait = client.go_wait(WaitRequest {
            condition: WaitCondition::Equals(nth.to_string().into()),
            ..WaitRequest::new(KeyRange::key(&key))
        });
        let set = client.set(SetRequest::new(&key, nth.to_string())).await.unwrap();
        let WaitOutcome::Met { revision, .. } = wait.await.unwrap() else { panic!("a timeout") };
        assert_eq!(revision, set.revision);
        let kv = client.get(&*key).await.unwrap().kv.unwrap();
        assert_eq!((kv.version, kv.mod_revision), (nth, set.revision));
    }
}

#[tokio::test]
async fn a_deadline_ends_a_call_that_is_not_answered() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr(), 0, u64::MAX).await;
    let client = connect(proxy.addr()).await;
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    proxy.go_deaf();
    let asked = Instant::now();
    let brief = client.with_deadline(Duration::from_millis(100));
    let (read, write) =
        within(async { tokio::join!(brief.get("a"), brief.set(SetRequest::new("a", "2"))) }).await;
    assert_eq!(read.unwrap_err().code, ErrorCode::DeadlineExceeded);
    let write = write.unwrap_err();
    assert_eq!(write.code, ErrorCode::DeadlineExceeded);
    assert!(write.message.contains("unknown"), "{write}");
    let watch = within(brief.watch(WatchRequest::new(KeyRange::all()))).await;
    assert_eq!(watch.err().unwrap().code, ErrorCode::DeadlineExceeded);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_unreachable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ClientConfig::new(silent.local_addr().unwrap().to_string());
    config.connect_timeout = Duration::from_millis(100);
    let refused = within(Client::connect_with(config)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unreachable);
    let nobody = within(Client::connect_with(ClientConfig::new("127.0.0.1:1"))).await.unwrap_err();
    assert_eq!(nobody.code, ErrorCode::Unreachable);
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_found_out_by_pings() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr(), 0, u64::MAX).await;
    let mut config = config(proxy.addr());
    config.ping_interval = Duration::from_millis(50);
    config.ping_timeout = Duration::from_millis(50);
    let client = within(Client::connect_with(config)).await.unwrap();
    let wait = client.go_wait(WaitRequest::new(KeyRange::all()));
    within(client.status()).await.unwrap();
    proxy.go_deaf();
    // No answer arrives on any connection, so the deadline of the call must end it.
    let refused = within(client.with_deadline(Duration::from_millis(500)).get("a")).await;
    assert!(matches!(
        refused.unwrap_err().code,
        ErrorCode::Unavailable | ErrorCode::DeadlineExceeded
    ));
    within(client.close()).await;
    assert_eq!(within(wait).await.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn t5_dropping_everything_leaves_nothing_on_the_server() {
    let server = Server::start();
    let observer = connect(server.addr()).await;
    let clients = join_all((0..10).map(|_| connect(server.addr()))).await;
    let mut waits = Vec::new();
    let mut watches = Vec::new();
    for client in &clients {
        waits.extend((0..20).map(|_| client.go_wait(WaitRequest::new(KeyRange::key("never")))));
        for _ in 0..5 {
            watches.push(within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap());
        }
        let mux = client.watch_mux();
        for _ in 0..5 {
            within(mux.add(WatchRequest::new(KeyRange::prefix("x")))).await.unwrap();
        }
        drop(mux);
    }
    within(observer.set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(next_events(&mut watches[0]).await.len(), 1);
    until_status(&observer, "all are there", |status| (status.waits, status.watches) == (200, 50))
        .await;
    drop(waits);
    until_status(&observer, "waits are freed", |status| status.waits == 0).await;
    drop(watches);
    until_status(&observer, "streams are freed", |status| {
        (status.watches, status.streams) == (0, 0)
    })
    .await;
    drop(clients);
    until_status(&observer, "connections are closed", |status| status.connections == 1).await;
}

#[tokio::test]
async fn t5_what_is_given_up_makes_room_at_once() {
    let server = Server::start_with(&[
        "--limit",
        "watch.watches_per_connection_max=2",
        "--limit",
        "watch.streams_max=1",
    ]);
    let client = connect(server.addr()).await;
    let any = || WaitRequest::new(KeyRange::all());
    let mut wait = client.go_wait(any());
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    for nth in 2..100_u64 {
        // The cancel of the old request and the new request are sent together.
        drop(wait);
        wait = client.go_wait(any());
        drop(watch);
        watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
        within(client.set(SetRequest::new("a", "1"))).await.unwrap();
        let met = within(&mut wait).await.unwrap();
        assert!(matches!(met, WaitOutcome::Met { revision, .. } if revision == nth));
        assert_eq!(next_events(&mut watch).await[0].revision(), nth);
        wait = client.go_wait(any());
        assert_eq!(within(client.status()).await.unwrap().waits, 1);
    }
}

#[tokio::test]
async fn a_closed_client_says_so() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let wait = client.go_wait(WaitRequest::new(KeyRange::all()));
    within(client.status()).await.unwrap();
    within(client.close()).await;
    assert_eq!(within(wait).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(within(client.get("a")).await.unwrap_err().code, ErrorCode::Unavailable);
    let mut late = client.go(HubRequest::Status);
    assert!(late.is_done() && (&mut late).now_or_never().unwrap().is_err());
    assert_eq!(server.status("waits"), 0);
}
