//! A Wakeful inside the process: the same house, without a door or with one.

mod actors;
mod doors;
mod operations;
mod stop;

use std::future::Future;
use std::time::Duration;

use wakeful::{Config, Event, Operations, Wakeful, WatchItem};

/// After this, what was waited for does not come.
const PATIENCE: Duration = Duration::from_secs(30);

fn start() -> Wakeful {
    Wakeful::start(Config::new()).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not come")
}

/// What the store holds for those who wait: waits, watches, streams.
async fn held(store: &impl Operations) -> (u64, u64, u64) {
    let status = within(store.status()).await.unwrap();
    (status.waits, status.watches, status.streams)
}

fn events(item: WatchItem) -> Vec<Event> {
    match item {
        WatchItem::Events { events, .. } => events,
        other => panic!("not events: {other:?}"),
    }
}
