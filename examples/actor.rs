//! An actor that sends a request to the store's actor, and receives the changes of a watched key:
//! `cargo run --example actor` prints `set: revision 2` and `watched: hello (revision 2)`, in any order.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use actix::prelude::*;
use tokio::sync::oneshot;
use wakeful::actor::StoreActor;
use wakeful::actor::message::{Execute, Watched};
use wakeful::{
    Config, ErrorCode, KeyRange, KvRequest, Reply, SetRequest, Wakeful, WatchItem, WatchRequest,
};

struct Greeter {
    store: Addr<StoreActor>,
    /// Receives the first change.
    changed: Option<oneshot::Sender<()>>,
}

impl Actor for Greeter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Greet;

impl Handler<Greet> for Greeter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Greet, _: &mut Self::Context) -> Self::Result {
        let set = self.store.send(Execute {
            request: KvRequest::Set(SetRequest::new("greeting", "hello")).into(),
            idempotency: None,
            durability: None,
            deadline: None,
        });
        Box::pin(async move {
            match set.await.map(|done| done.map(|done| done.reply)) {
                Ok(Ok(Reply::Set(reply))) => println!("set: revision {}", reply.revision),
                Ok(Ok(other)) => eprintln!("not the answer to a set: {other:?}"),
                Ok(Err(refusal)) => eprintln!("refused: {refusal}"),
                Err(gone) => eprintln!("the store has stopped: {gone}"),
            }
        })
    }
}

/// Receives the items of the watch, each one after the handler of the last has returned.
impl Handler<Watched> for Greeter {
    type Result = ();

    fn handle(&mut self, Watched { item, .. }: Watched, _: &mut Self::Context) {
        match item {
            Ok(WatchItem::Events { events, .. }) => {
                for event in events {
                    println!("watched: {} (revision {})", event.kv.value, event.revision());
                }
                // An error means that the receiver is gone.
                let _ = self.changed.take().map(|changed| changed.send(()));
            }
            Ok(_) => {}
            // The service is stopping.
            Err(end) if end.code == ErrorCode::Unavailable => {}
            Err(end) => eprintln!("the watch is over: {end}"),
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wakeful = Wakeful::start(Config::new())?;
    let (changed, change) = oneshot::channel();
    let greeter = Greeter { store: wakeful.store().clone(), changed: Some(changed) }.start();
    let request = WatchRequest::new(KeyRange::key("greeting"));
    // Dropping the handle ends the watch.
    let _watch = wakeful.watch_into(1, request, greeter.clone().recipient()).await?;
    greeter.send(Greet).await?;
    change.await?;
    wakeful.stop().await;
    Ok(())
}
