//! Filters: a watch of deletes only, of keys without values, or with the previous values.
//!
//! Use them where a program needs less, or more: the server sends only what is requested. A session table
//! watches deletes, which the end of a lease also causes; an index needs the previous value to remove its
//! entry.
//!
//! ```sh
//! cargo run --example watch_features -- filters
//! ```
//!
//! ```text
//! deletes: s/1
//! keys: s/1 (0 bytes of value)
//! keys: s/1 (0 bytes of value)
//! with previous: s/1 was absent
//! with previous: s/1 was 10.0.0.7
//! ```
//!
//! On the command line: `wakeful watch s/ --prefix` with `--deletes-only`, `--keys-only` or `--previous`.

use futures_util::StreamExt;
use wakeful::{
    Config, Error, Event, KeyRange, Operations, SetRequest, Wakeful, Watch, WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let all = WatchRequest::new(KeyRange::prefix("s/"));
    let mut deletes = wakeful.watch(WatchRequest { puts: false, ..all.clone() }).await?;
    let mut keys = wakeful.watch(WatchRequest { keys_only: true, ..all.clone() }).await?;
    let mut previous = wakeful.watch(WatchRequest { previous: true, ..all }).await?;

    wakeful.set(SetRequest::new("s/1", "10.0.0.7")).await?;
    wakeful.delete(KeyRange::key("s/1")).await?;

    for event in take(&mut deletes, 1).await? {
        println!("deletes: {}", event.kv.key);
    }
    for event in take(&mut keys, 2).await? {
        println!("keys: {} ({} bytes of value)", event.kv.key, event.kv.value.len());
    }
    for event in take(&mut previous, 2).await? {
        let before = event.previous.map_or("absent".to_owned(), |kv| kv.value.to_string());
        println!("with previous: {} was {before}", event.kv.key);
    }

    wakeful.stop().await;
    Ok(())
}

/// Returns the next `count` events of a watch.
async fn take(watch: &mut Watch, count: usize) -> Result<Vec<Event>, Error> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let Some(item) = watch.next().await else { break };
        if let WatchItem::Events { events, .. } = item? {
            taken.extend(events);
        }
    }
    assert_eq!(taken.len(), count);
    Ok(taken)
}
