//! SIGKILL at random instants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use wakeful::{
    Client, Error, KeyRange, Operations, SetRequest, TxnOp, TxnRequest, WatchFrom, WatchItem,
    WatchRequest,
};

use super::{Home, connect, within};

const WRITERS: u64 = 8;

/// Counts up `writer`'s two keys, one transaction after another, until the server is gone; returns
/// the last acknowledged count and its revision.
pub(crate) async fn write(
    client: Client,
    writer: u64,
    from: u64,
    acknowledged: Arc<AtomicU64>,
) -> (u64, u64) {
    let (mut count, mut revision) = (from, 0);
    loop {
        let value = (count + 1).to_string();
        let set = |name: &str| TxnOp::Set(SetRequest::new(format!("{name}/{writer}"), &*value));
        let success = vec![set("left"), set("right")];
        match client.txn(TxnRequest { success, ..TxnRequest::default() }).await {
            Ok(reply) => {
                (count, revision) = (count + 1, reply.revision);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return (count, revision),
        }
    }
}

/// Returns every event of a watch of all keys until the server is gone.
async fn watch(client: Client) -> Vec<(u64, String, String)> {
    let request = WatchRequest { from: WatchFrom::Now, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let mut shown = Vec::new();
    while let Some(Ok(item)) = watch.next().await {
        if let WatchItem::Events { events, .. } = item {
            shown.extend(events.iter().map(|event| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (event.revision(), text(&event.kv.key), text(&event.kv.value))
            }));
        }
    }
    shown
}

pub(crate) async fn count_of(client: &Client, key: String) -> Result<u64, Error> {
    let kv = client.get(key).await?.kv;
    Ok(kv.map_or(0, |kv| String::from_utf8(kv.value.to_vec()).unwrap().parse().unwrap()))
}

#[tokio::test]
async fn d2_a_killed_server_has_every_acknowledged_transaction_whole() {
    let home = Home::new();
    let mut counts = vec![0; WRITERS as usize];
    let mut highest = 1;
    for round in 0..6_u64 {
        let server = home.server();
        let client = connect(server.addr()).await;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let watcher = connect(server.addr()).await;
        let watching = tokio::spawn(watch(watcher.clone()));
        let writers: Vec<_> = (0..WRITERS)
            .zip(&counts)
            .map(|(writer, from)| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(write(client.clone(), writer, *from, acknowledged))
            })
            .collect();
        // A varying number of acknowledgements from now, in the middle of other work.
        within(async {
            while acknowledged.load(Ordering::Relaxed) < 37 + 61 * round {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.signal("KILL");
        server.finish();
        client.close().await;
        watcher.close().await;
        let mut told = Vec::new();
        for writer in writers {
            told.push(within(writer).await.unwrap());
        }

        let server = home.server();
        let client = connect(server.addr()).await;
        let revision = within(client.status()).await.unwrap().revision;
        for (writer, (count, acked_at)) in told.into_iter().enumerate() {
            assert!(
                acked_at <= revision,
                "revision {acked_at} was acknowledged, {revision} is left"
            );
            highest = highest.max(acked_at);
            let left = within(count_of(&client, format!("left/{writer}"))).await.unwrap();
            let right = within(count_of(&client, format!("right/{writer}"))).await.unwrap();
            assert_eq!(left, right, "half a transaction of writer {writer}");
            assert!(left == count || left == count + 1, "{count} was acknowledged, {left} is left");
            counts[writer] = left;
        }
        assert!(revision >= highest);
        // Every event that a watcher received is in the history now.
        let shown = within(watching).await.unwrap();
        let from = shown.first().map_or(revision + 1, |(revision, ..)| *revision);
        let request =
            WatchRequest { from: WatchFrom::Revision(from), ..WatchRequest::new(KeyRange::all()) };
        let mut again = within(client.watch(request)).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < shown.len() {
            match within(again.next()).await.unwrap().unwrap() {
                WatchItem::Events { events, .. } => seen.extend(events),
                other => panic!("not events: {other:?}"),
            }
        }
        for ((revision, key, value), event) in shown.iter().zip(&seen) {
            assert_eq!((*revision, key.as_bytes()), (event.revision(), &*event.kv.key));
            assert_eq!(value.as_bytes(), &*event.kv.value);
        }
        server.signal("KILL");
        server.finish();
    }
}
