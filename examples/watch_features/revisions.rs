//! A watch of a prefix: every change, in order, in whole revisions.
//!
//! Use it where a program follows a part of the store: a cache, a router, a user interface. Every write has
//! a revision. A watch delivers each revision once, and all changes of one revision in one item: keys written
//! together are seen together.
//!
//! ```sh
//! cargo run --example watch_features -- revisions
//! ```
//!
//! ```text
//! up to revision 2: put routes/a = 10.0.0.1
//! up to revision 4: put routes/a = 10.0.0.2, put routes/b = 10.0.0.1
//! up to revision 5: delete routes/a
//! ```
//!
//! On the command line: `wakeful watch routes/ --prefix`.

use futures_util::StreamExt;
use wakeful::{
    Config, Error, Event, EventKind, KeyRange, Operations, SetRequest, TxnOp, TxnRequest, Wakeful,
    WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let mut watch = wakeful.watch(WatchRequest::new(KeyRange::prefix("routes/"))).await?;

    wakeful.set(SetRequest::new("routes/a", "10.0.0.1")).await?; // revision 2
    wakeful.set(SetRequest::new("users/ann", "admin")).await?; // revision 3, not a route
    let success = vec![
        TxnOp::Set(SetRequest::new("routes/a", "10.0.0.2")),
        TxnOp::Set(SetRequest::new("routes/b", "10.0.0.1")),
    ];
    wakeful.txn(TxnRequest { success, ..TxnRequest::default() }).await?; // revision 4
    wakeful.delete(KeyRange::key("routes/a")).await?; // revision 5

    // An item has one or more revisions, each complete.
    let (mut seen, mut events_seen) = (0, 0);
    while seen < 5 {
        let Some(item) = watch.next().await else { break };
        if let WatchItem::Events { revision, events, .. } = item? {
            for events in events.chunk_by(|a, b| a.revision() == b.revision()) {
                let revision = events.first().map_or(revision, Event::revision);
                let shown: Vec<String> = events.iter().map(show).collect();
                println!("up to revision {revision}: {}", shown.join(", "));
            }
            (seen, events_seen) = (revision, events_seen + events.len());
        }
    }
    assert_eq!((seen, events_seen), (5, 4));

    wakeful.stop().await;
    Ok(())
}

fn show(event: &Event) -> String {
    match event.kind() {
        EventKind::Put => format!("put {} = {}", event.kv.key, event.kv.value),
        EventKind::Delete => format!("delete {}", event.kv.key),
    }
}
