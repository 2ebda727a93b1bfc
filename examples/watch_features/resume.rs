//! A watch from a revision: a restarted program continues where it stopped, without a gap or a repeat.
//!
//! Each item carries the revision up to which everything was delivered. Store this revision with the effects
//! of the item; the next run begins a watch from the revision after it. That works as far back as history
//! reaches (`store.history_revisions_max`, a million revisions); beyond, see the page `compacted`.
//!
//! ```sh
//! cargo run --example watch_features -- resume
//! ```
//!
//! ```text
//! first run: a = 1, seen up to revision 2
//! second run, from revision 3: a = 2
//! second run, from revision 3: a = 3
//! ```
//!
//! On the command line: `wakeful watch a --from 3`.

use futures_util::StreamExt;
use wakeful::{
    Config, Error, KeyRange, Operations, SetRequest, Wakeful, WatchFrom, WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let request = WatchRequest::new(KeyRange::key("a"));

    let mut seen = 0;
    let mut watch = wakeful.watch(request.clone()).await?;
    wakeful.set(SetRequest::new("a", "1")).await?;
    if let Some(WatchItem::Events { revision, events, .. }) = watch.next().await.transpose()? {
        let values: Vec<String> = events.iter().map(|event| event.kv.value.to_string()).collect();
        println!("first run: a = {}, seen up to revision {revision}", values.join(", "));
        seen = revision;
    }
    drop(watch);

    // Between the runs, without a watch.
    wakeful.set(SetRequest::new("a", "2")).await?;
    wakeful.set(SetRequest::new("a", "3")).await?;

    let from = seen + 1;
    let request = WatchRequest { from: WatchFrom::Revision(from), ..request };
    let mut watch = wakeful.watch(request).await?;
    let mut values = Vec::new();
    while values.len() < 2 {
        let Some(item) = watch.next().await else { break };
        if let WatchItem::Events { events, .. } = item? {
            values.extend(events.iter().map(|event| event.kv.value.clone()));
        }
    }
    for value in &values {
        println!("second run, from revision {from}: a = {value}");
    }
    assert_eq!(values, ["2", "3"]);

    wakeful.stop().await;
    Ok(())
}
