//! A Wakeful inside the process: the same house, without a door or with one.

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
