//! Many watches over one stream: an event that several of them match is sent once.
//!
//! Use it where one process watches on behalf of many: a gateway with a thousand browsers, each of which
//! follows some keys. The watches are independent: each keeps its own order, and ending one, by the client or
//! by an error, does not affect the others.
//!
//! ```sh
//! cargo run --example watch_features -- many
//! ```
//!
//! ```text
//! ann: rooms/1 = hello
//! ben: rooms/1 = hello
//! ben: rooms/2 = good day
//! after ann has left, ben: rooms/1 = bye
//! ```
//!
//! In the process of the service, `Wakeful::watch` does the same; this is for a connection.

use std::collections::HashMap;

use futures_util::StreamExt;
use wakeful::{
    Client, Config, Error, Event, KeyRange, Operations, SetRequest, Wakeful, WatchId, WatchItem,
    WatchMux, WatchRequest,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let addr = wakeful.listen("127.0.0.1:0").await?;
    let client = Client::connect(addr.to_string()).await?;

    let mut mux = client.watch_mux();
    let ann = mux.add(WatchRequest::new(KeyRange::key("rooms/1"))).await?;
    let ben = mux.add(WatchRequest::new(KeyRange::prefix("rooms/"))).await?;
    let names = HashMap::from([(ann, "ann"), (ben, "ben")]);

    client.set(SetRequest::new("rooms/1", "hello")).await?;
    client.set(SetRequest::new("rooms/2", "good day")).await?;
    // The order between watches is not defined, so this example sorts its output.
    let mut lines = Vec::new();
    while lines.len() < 3 {
        lines.extend(next(&mut mux).await?.into_iter().map(|(id, event)| {
            let name = names.get(&id).copied().unwrap_or("nobody");
            format!("{name}: {event}")
        }));
    }
    lines.sort();
    println!("{}", lines.join("\n"));

    mux.cancel(ann);
    client.set(SetRequest::new("rooms/1", "bye")).await?;
    for (id, event) in next(&mut mux).await? {
        assert_eq!(id, ben);
        println!("after ann has left, ben: {event}");
    }

    client.close().await;
    wakeful.stop().await;
    Ok(())
}

/// Returns the next events, with the id of their watch.
async fn next(mux: &mut WatchMux) -> Result<Vec<(WatchId, String)>, Error> {
    while let Some((id, item)) = mux.next().await {
        if let WatchItem::Events { events, .. } = item? {
            let show = |event: Event| (id, format!("{} = {}", event.kv.key, event.kv.value));
            return Ok(events.into_iter().map(show).collect());
        }
    }
    Ok(Vec::new())
}
