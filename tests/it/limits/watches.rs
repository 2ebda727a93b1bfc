//! The limits of waits and watches.

use std::time::Duration;

use wakeful::{Client, KeyRange, Operations, WaitRequest, Wakeful, WatchRequest};

use super::{Row, refusal};
use crate::support::TIMEOUT;

fn watch() -> WatchRequest {
    WatchRequest::new(KeyRange::key("a"))
}

fn wait(timeout: Duration) -> WaitRequest {
    WaitRequest { timeout: Some(timeout), ..WaitRequest::new(KeyRange::key("a")) }
}

async fn client(wakeful: &Wakeful) -> Client {
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    Client::connect(addr.to_string()).await.unwrap()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::inside("watch.watches_max", "1", 1, async |it: &Wakeful| {
            let _first = it.watch(watch()).await.unwrap();
            refusal(it, it.watch(watch())).await
        }),
        Row::inside("watch.watches_max", "1", 1, async |it: &Wakeful| {
            let _first = it.watch(watch()).await.unwrap();
            refusal(it, it.wait(wait(TIMEOUT))).await
        }),
        Row::inside("watch.streams_max", "1", 1, async |it: &Wakeful| {
            let _first = it.watch(watch()).await.unwrap();
            refusal(it, it.watch(watch())).await
        }),
        // A second stream.
        Row::inside("watch.watches_per_connection_max", "1", 1, async |it: &Wakeful| {
            let client = client(it).await;
            let _first = client.watch(watch()).await.unwrap();
            refusal(it, client.watch(watch())).await
        }),
        // A second wait, and a watch on an existing stream.
        Row::inside("watch.watches_per_connection_max", "1", 1, async |it: &Wakeful| {
            let client = client(it).await;
            let _first = client.go_wait(wait(TIMEOUT));
            refusal(it, client.wait(wait(TIMEOUT))).await
        }),
        Row::inside("watch.watches_per_connection_max", "1", 1, async |it: &Wakeful| {
            let client = client(it).await;
            let mux = client.watch_mux();
            mux.add(watch()).await.unwrap();
            refusal(it, mux.add(watch())).await
        }),
        Row::inside("watch.wait_timeout_max", "1s", 1_000, async |it: &Wakeful| {
            refusal(it, it.wait(wait(Duration::from_millis(1_001)))).await
        }),
        Row::inside("watch.progress_interval_min", "1s", 1_000, async |it: &Wakeful| {
            let progress = Some(Duration::from_millis(999));
            refusal(it, it.watch(WatchRequest { progress, ..watch() })).await
        }),
    ]
}
