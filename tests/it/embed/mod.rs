//! An embedded Wakeful, with and without a port.

mod actors;
mod doors;
mod jobs;
mod operations;
mod outside;
mod services;
mod stop;

use wakeful::{Config, Event, Operations, Wakeful, WatchItem};

use crate::support::{TIMEOUT, within};

fn start() -> Wakeful {
    Wakeful::start(Config::new()).unwrap()
}

/// Returns the numbers of waits, watches and streams.
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
