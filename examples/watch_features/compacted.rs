//! Compaction: a watch that fell behind the oldest readable revision ends with an error, never with a gap.
//!
//! History is bounded (`store.history_revisions_max`, `store.history_bytes_max`), and an operator may compact
//! it. A watch that falls behind ends with `Compacted`, which names the oldest revision whose events are
//! kept. The missed events are gone: unless only later ones matter, begin again from a snapshot.
//!
//! ```sh
//! cargo run --example watch_features -- compacted
//! ```
//!
//! ```text
//! the watch ended: Compacted; events can be had from revision 5 on
//! from a snapshot: a = 4 at revision 5
//! ```
//!
//! On the command line: `wakeful compact 5`; `wakeful watch a` prints the revision to continue from.

use futures_util::StreamExt;
use wakeful::{
    Config, Details, Error, ErrorCode, KeyRange, Operations, SetRequest, Wakeful, WatchFrom,
    WatchItem, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let request = WatchRequest::new(KeyRange::key("a"));
    let mut watch = wakeful.watch(request.clone()).await?;

    // The consumer reads nothing meanwhile.
    for value in 1..=4 {
        wakeful.set(SetRequest::new("a", value.to_string())).await?;
    }
    wakeful.compact(5).await?;

    while let Some(item) = watch.next().await {
        match item {
            // Events that were on their way before the compaction; how many is a matter of timing.
            Ok(_) => {}
            Err(Error {
                code: ErrorCode::Compacted,
                details: Details::Resume { revision },
                ..
            }) => {
                println!(
                    "the watch ended: Compacted; events can be had from revision {revision} on"
                );
            }
            Err(other) => return Err(other),
        }
    }

    let mut watch = wakeful.watch(WatchRequest { from: WatchFrom::Snapshot, ..request }).await?;
    if let Some(WatchItem::Snapshot { revision, kvs }) = watch.next().await.transpose()? {
        for kv in kvs {
            println!("from a snapshot: a = {} at revision {revision}", kv.value);
            assert_eq!(kv.value, "4");
        }
    }

    wakeful.stop().await;
    Ok(())
}
