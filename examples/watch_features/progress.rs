//! Progress marks: an idle watch reports the revision up to which it is complete.
//!
//! Use them for a watch of keys that change rarely, in a store where others change often. Without marks, its
//! last event may be so old that history no longer reaches back to it, and the watch could not be resumed
//! from there; it can be resumed from a mark. A mark also proves that the watch is alive.
//!
//! ```sh
//! cargo run --example watch_features -- progress
//! ```
//!
//! ```text
//! nothing to show up to revision 101
//! a watch that resumes from revision 102 is accepted
//! a watch that resumes from revision 2 is refused: Compacted
//! ```
//!
//! On the command line: `wakeful watch rare --progress 1s`. The Rust client requests marks by itself, for
//! its reconnects.

use std::time::Duration;

use futures_util::StreamExt;
use wakeful::{
    Config, Error, KeyRange, Operations, SetRequest, Wakeful, WatchFrom, WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let rare = WatchRequest::new(KeyRange::key("rare"));
    let progress = Some(Duration::from_millis(100));
    let mut watch = wakeful.watch(WatchRequest { progress, ..rare.clone() }).await?;

    // Other keys change, and history is compacted.
    for count in 0..100 {
        wakeful.set(SetRequest::new("often", count.to_string())).await?;
    }
    wakeful.compact(101).await?;

    let mut complete = 0;
    while complete < 101 {
        let Some(item) = watch.next().await else { break };
        if let WatchItem::Progress { revision } = item? {
            complete = revision;
        }
    }
    println!("nothing to show up to revision {complete}");

    for from in [complete + 1, 2] {
        let request = WatchRequest { from: WatchFrom::Revision(from), ..rare.clone() };
        match wakeful.watch(request).await {
            Ok(_) => println!("a watch that resumes from revision {from} is accepted"),
            Err(error) => {
                println!("a watch that resumes from revision {from} is refused: {:?}", error.code);
            }
        }
    }

    wakeful.stop().await;
    Ok(())
}
