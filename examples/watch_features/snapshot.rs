//! A watch from a snapshot: first the existing keys, then every change after them.
//!
//! Use it to build a copy of a part of the store and keep it up to date. Reading a range and then watching
//! would need care not to miss a change between the two; this is one request without such a gap, for any
//! number of keys, and with any writes meanwhile.
//!
//! ```sh
//! cargo run --example watch_features -- snapshot
//! ```
//!
//! ```text
//! copy at revision 3: {"flags/a": "on", "flags/b": "off"}
//! copy at revision 4: {"flags/a": "on", "flags/b": "on"}
//! copy at revision 5: {"flags/b": "on"}
//! ```
//!
//! On the command line: `wakeful watch flags/ --prefix --snapshot`.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use wakeful::{
    Config, Error, EventKind, KeyRange, Operations, SetRequest, Wakeful, WatchFrom, WatchItem,
    WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    wakeful.set(SetRequest::new("flags/a", "on")).await?;
    wakeful.set(SetRequest::new("flags/b", "off")).await?;

    let request =
        WatchRequest { from: WatchFrom::Snapshot, ..WatchRequest::new(KeyRange::prefix("flags/")) };
    let mut watch = wakeful.watch(request).await?;
    let mut copy = BTreeMap::new();
    while let Some(item) = watch.next().await {
        match item? {
            // Keys arrive in parts, all as of one revision.
            WatchItem::Snapshot { kvs, .. } => {
                copy.extend(kvs.iter().map(|kv| (kv.key.to_string(), kv.value.to_string())));
            }
            // The copy is complete from here on.
            WatchItem::SnapshotEnd { revision } => {
                println!("copy at revision {revision}: {copy:?}");
                wakeful.set(SetRequest::new("flags/b", "on")).await?;
            }
            WatchItem::Events { revision, events, .. } => {
                for event in events {
                    let key = event.kv.key.to_string();
                    match event.kind() {
                        EventKind::Put => copy.insert(key, event.kv.value.to_string()),
                        EventKind::Delete => copy.remove(&key),
                    };
                }
                println!("copy at revision {revision}: {copy:?}");
                if copy.len() == 1 {
                    break;
                }
                wakeful.delete(KeyRange::key("flags/a")).await?;
            }
            _ => {}
        }
    }

    wakeful.stop().await;
    Ok(())
}
