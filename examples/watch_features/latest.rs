//! Delivery `latest`: a consumer that is behind gets only the newest value of each key.
//!
//! Use it where only the current value counts: a gauge on a screen, a configuration. The default, `all`,
//! delivers every change, however far behind the consumer is. Either way the server keeps only a position in
//! history for the watch, and a slow consumer delays neither writes nor other watches.
//!
//! ```sh
//! cargo run --example watch_features -- latest
//! ```
//!
//! ```text
//! latest: 2 events, the last 100; 98 skipped
//! all: 100 events, the last 100; 0 skipped
//! ```
//!
//! On the command line: `wakeful watch temperature --latest`.

use futures_util::StreamExt;
use wakeful::{
    Config, Delivery, Error, KeyRange, Operations, SetRequest, Wakeful, WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let all = WatchRequest::new(KeyRange::key("temperature"));
    let latest = WatchRequest { delivery: Delivery::Latest, ..all.clone() };
    let latest = wakeful.watch(latest).await?;
    let all = wakeful.watch(all).await?;

    // Neither watch is read meanwhile, so both fall behind.
    for value in 1..=100 {
        wakeful.set(SetRequest::new("temperature", value.to_string())).await?;
    }

    for (name, mut watch) in [("latest", latest), ("all", all)] {
        let (mut shown, mut skipped_in_all, mut last) = (0, 0, String::new());
        while last != "100" {
            let Some(item) = watch.next().await else { break };
            if let WatchItem::Events { events, skipped, .. } = item? {
                shown += events.len();
                skipped_in_all += skipped;
                last = events.last().map(|event| event.kv.value.to_string()).unwrap_or_default();
            }
        }
        println!("{name}: {shown} events, the last {last}; {skipped_in_all} skipped");
        assert_eq!(shown as u64 + skipped_in_all, 100);
    }

    wakeful.stop().await;
    Ok(())
}
