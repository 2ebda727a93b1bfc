//! Embeds Wakeful in an actix program: `cargo run --example embed` prints `hello at revision 2`.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use wakeful::{Config, KeyRange, Operations, SetRequest, WaitOutcome, WaitRequest, Wakeful};

#[actix::main]
async fn main() -> Result<(), wakeful::Error> {
    let wakeful = Wakeful::start(Config::new())?;
    wakeful.listen("127.0.0.1:0").await?; // for other processes; not needed in this one
    let wait = wakeful.wait(WaitRequest::new(KeyRange::key("greeting")));
    let set = wakeful.set(SetRequest::new("greeting", "hello"));
    if let (WaitOutcome::Met { revision, event: Some(event) }, _) = tokio::try_join!(wait, set)? {
        println!("{} at revision {revision}", event.kv.value);
    }
    wakeful.stop().await;
    Ok(())
}
