//! The client against the real server, through a proxy that cuts connections.

use futures_util::StreamExt;
use tokio::io::copy;

use super::*;
use crate::config::Config;
use crate::handle::Wakeful;
use crate::jobs::Jobs;
use crate::model::{
    KeyRange, KvRequest, PushOptions, ReserveRequest, SetRequest, Settlement, TxnOp, TxnRequest,
    Verdict, WaitCondition, WaitOutcome, WaitRequest, WatchFrom, WatchItem, WatchRequest,
};
use crate::operations::Operations;

async fn serve() -> (Wakeful, String) {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    (wakeful, addr.to_string())
}

/// Forwards connections to `addr`, each until a number of bytes came back that grows with each
/// connection.
async fn cutting_proxy(addr: String, step: u64) -> ClientConfig {
    let Server { listener, config } = Server::start().await;
    tokio::spawn(async move {
        let mut bytes = 0;
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(&addr).await.unwrap();
            bytes += step;
            let (mut near_read, mut near_write) = near.split();
            let (far_read, mut far_write) = far.split();
            let mut limited = far_read.take(bytes);
            tokio::select! {
                _ = copy(&mut near_read, &mut far_write) => {}
                _ = copy(&mut limited, &mut near_write) => {}
            }
        }
    });
    config
}

fn pair(nth: usize) -> KvRequest {
    let set = |key: &str| TxnOp::Set(SetRequest::new(format!("{key}{}", nth % 7), "x".repeat(50)));
    KvRequest::Txn(TxnRequest { success: vec![set("a"), set("b")], ..TxnRequest::default() })
}

#[actix_rt::test]
async fn a_watch_over_many_cuts_shows_every_revision_once_and_whole() {
    let (wakeful, addr) = serve().await;
    let writer = Client::connect(&addr).await.unwrap();
    within(writer.call(pair(0))).await.unwrap();
    let config = cutting_proxy(addr, 331).await;
    let client = Client::connect_with(config).await.unwrap();
    let request =
        WatchRequest { from: WatchFrom::Revision(2), ..WatchRequest::new(KeyRange::prefix("")) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let mut calls: Vec<_> = (1..300).map(|nth| writer.go(pair(nth))).collect();
    for call in calls.drain(..) {
        within(call).await.unwrap();
    }
    let mut seen = Vec::new();
    while watch.revision() < 301 {
        match within(watch.next()).await.unwrap().unwrap() {
            WatchItem::Events { revision, events, .. } => {
                seen.extend(events.iter().map(|event| event.revision()));
                assert!(seen.last().is_some_and(|last| *last <= revision));
            }
            other => panic!("{other:?}"),
        }
    }
    let every: Vec<u64> = (2..=301).flat_map(|revision| [revision, revision]).collect();
    assert_eq!(seen, every);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_snapshot_over_many_cuts_shows_every_key_once() {
    let (wakeful, addr) = serve().await;
    let writer = Client::connect(&addr).await.unwrap();
    let keys: Vec<String> = (0..500).map(|nth| format!("key-{nth:04}")).collect();
    for key in &keys {
        within(writer.set(SetRequest::new(key, "x".repeat(1000)))).await.unwrap();
    }
    let config = cutting_proxy(addr, 130_000).await;
    let client = Client::connect_with(config).await.unwrap();
    let request = WatchRequest { from: WatchFrom::Snapshot, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        match within(watch.next()).await.unwrap().unwrap() {
            WatchItem::Snapshot { kvs, .. } => seen.extend(kvs.iter().map(|kv| kv.key.to_string())),
            WatchItem::SnapshotEnd { revision } => break assert_eq!(revision, 501),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, keys);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_loop_of_waits_over_many_cuts_sees_every_change() {
    let (wakeful, addr) = serve().await;
    let writer = Client::connect(&addr).await.unwrap();
    let config = cutting_proxy(addr, 200).await;
    let client = Client::connect_with(config).await.unwrap();
    let mut after = Some(1);
    for nth in 0..50_u64 {
        let timeout = Some(Duration::from_secs(15));
        let condition = WaitCondition::Changed;
        let wait =
            client.go_wait(WaitRequest { range: KeyRange::key("k"), condition, after, timeout });
        within(writer.set(SetRequest::new("k", nth.to_string()))).await.unwrap();
        match within(wait).await.unwrap() {
            WaitOutcome::Met { revision, event } => {
                assert_eq!(event.unwrap().revision(), nth + 2);
                after = Some(revision);
            }
            other => panic!("{other:?}"),
        }
    }
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn a_server_that_stops_ends_what_is_under_way() {
    let (wakeful, addr) = serve().await;
    let client = Client::connect(&addr).await.unwrap();
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let wait = client.go_wait(WaitRequest::new(KeyRange::key("k")));
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert!(matches!(within(watch.next()).await, Some(Ok(WatchItem::Events { revision: 2, .. }))));
    within(wakeful.stop()).await;
    // They wait for the next server until they are no longer wanted.
    within(client.close()).await;
    assert_eq!(within(wait).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(within(watch.next()).await.unwrap().unwrap_err().code, ErrorCode::Unavailable);
}

#[actix_rt::test]
async fn threads_share_a_client_and_dropped_calls_leave_nothing_behind() {
    let (wakeful, addr) = serve().await;
    let mut config = ClientConfig::new(addr);
    config.requests_in_flight_max = 16;
    let client = Client::connect_with(config).await.unwrap();
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let client = client.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(churn(client, thread));
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        tokio::task::yield_now().await;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Cancelled requests are freed once the server has processed the cancels.
    let mut status = within(client.status()).await.unwrap();
    while status.waits + status.watches + status.streams > 0 {
        status = within(client.status()).await.unwrap();
    }
    assert!(!client.handle.with(|session, _| session.is_wanted()));
    within(wakeful.stop()).await;
}

/// Starts many requests, waits and watches, and awaits half of them.
async fn churn(client: Client, thread: u64) {
    for nth in 0..200_u64 {
        let key = format!("{thread}/{nth}");
        let writes: Vec<_> =
            (0..5).map(|_| client.go(KvRequest::Set(SetRequest::new(&key, "v")))).collect();
        let wait = client.go_wait(WaitRequest::new(KeyRange::key(&key)));
        let watch = client.watch(WatchRequest::new(KeyRange::key(&key)));
        if nth % 2 == 0 {
            continue;
        }
        let mut watch = within(watch).await.unwrap();
        for write in writes {
            within(write).await.unwrap();
        }
        within(client.set(SetRequest::new(&key, "w"))).await.unwrap();
        within(wait).await.unwrap();
        within(watch.next()).await.unwrap().unwrap();
    }
}

#[actix_rt::test]
async fn r5_a_stop_does_not_wait_for_a_worker_whose_job_others_have_settled() {
    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_secs(600);
    let wakeful = Wakeful::start(config).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let client = Client::connect(&addr.to_string()).await.unwrap();
    within(client.push("t", "p", PushOptions::default())).await.unwrap();
    let reservation =
        within(client.reserve(ReserveRequest::new("t"))).await.unwrap().remove(0).reservation;
    let settlement = Settlement { reservation, verdict: Verdict::Done { output: "o".into() } };
    assert_eq!(within(wakeful.settle(vec![settlement])).await.unwrap(), [None]);
    within(wakeful.stop()).await;
    drop(client);
}
