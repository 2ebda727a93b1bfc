//! Reconnect: a client keeps its watches when it loses its connection, and when the server restarts.
//!
//! The program need not do anything: the client reconnects, with growing pauses, and each watch continues
//! from the revision after the last one that it delivered. A store with a data directory keeps its id, so no
//! event is missed or repeated. A store in memory starts empty; its watches end with `StoreChanged`.
//!
//! ```sh
//! cargo run --example watch_features -- reconnect
//! ```
//!
//! ```text
//! a = 1 (revision 2)
//! the server stops
//! the server is back
//! a = 2 (revision 3)
//! a = 3 (revision 4)
//! ```
//!
//! On the command line: `wakeful watch a`, while `wakeful serve` is restarted.

use std::error::Error;

use futures_util::StreamExt;
use wakeful::{
    Client, Config, KeyRange, Operations, SetRequest, Wakeful, WatchItem, WatchRequest, WatchStream,
};

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let wakeful = Wakeful::open(Config::new(), dir.path())?;
    let addr = wakeful.listen("127.0.0.1:0").await?;

    let client = Client::connect(addr.to_string()).await?;
    let mut watch = client.watch(WatchRequest::new(KeyRange::key("a"))).await?;
    wakeful.set(SetRequest::new("a", "1")).await?;
    print(&mut watch, 1).await?;

    println!("the server stops");
    wakeful.stop().await;
    client.disconnected().await;

    let wakeful = Wakeful::open(Config::new(), dir.path())?;
    // Before the client has reconnected.
    wakeful.set(SetRequest::new("a", "2")).await?;
    wakeful.listen(addr).await?;
    client.connected().await;
    println!("the server is back");
    wakeful.set(SetRequest::new("a", "3")).await?;
    print(&mut watch, 2).await?;

    client.close().await;
    wakeful.stop().await;
    Ok(())
}

/// Prints the next `count` events.
async fn print(watch: &mut WatchStream, mut count: usize) -> Result<(), wakeful::Error> {
    while count > 0 {
        let Some(item) = watch.next().await else { break };
        if let WatchItem::Events { events, .. } = item? {
            count -= events.len();
            for event in events {
                println!("a = {} (revision {})", event.kv.value, event.revision());
            }
        }
    }
    Ok(())
}
