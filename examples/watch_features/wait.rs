//! A wait: one call, answered once, as soon as a condition holds.
//!
//! Use it where one change is enough: a service has registered, a lock is free, a flag has changed. The wait
//! is answered at the first event that meets its condition, or at its timeout; both answers carry a revision,
//! and a wait `after` that revision misses no change in between.
//!
//! ```sh
//! cargo run --example watch_features -- wait
//! ```
//!
//! ```text
//! exists: services/mail is 10.0.0.7 at revision 2
//! equals: state is ready at revision 4
//! absent: nothing is left at revision 6
//! timeout: nothing changed up to revision 6
//! changed after revision 6: state is busy at revision 7
//! ```
//!
//! On the command line: `wakeful wait state --equals ready --timeout 30s`.

use std::time::Duration;

use wakeful::{
    Config, Error, KeyRange, Operations, SetRequest, WaitCondition, WaitOutcome, WaitRequest,
    Wakeful,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let wait =
        |range, condition| wakeful.wait(WaitRequest { condition, ..WaitRequest::new(range) });
    let set = |key: &'static str, value: &'static str| wakeful.set(SetRequest::new(key, value));

    // Any key of the prefix. The wait begins before the set, so it cannot miss it.
    let services = KeyRange::prefix("services/");
    let exists = wait(services.clone(), WaitCondition::Exists);
    let (exists, _) = tokio::try_join!(exists, set("services/mail", "10.0.0.7"))?;
    print("exists", &exists);

    // Other values do not meet the condition.
    let equals = wait(KeyRange::key("state"), WaitCondition::Equals("ready".into()));
    let (equals, ..) = tokio::try_join!(equals, set("state", "busy"), set("state", "ready"))?;
    print("equals", &equals);

    set("services/log", "10.0.0.8").await?;
    let absent = wait(services.clone(), WaitCondition::Absent);
    let (absent, _) = tokio::try_join!(absent, wakeful.delete(services))?;
    print("absent", &absent);

    let timeout = Some(Duration::from_millis(20));
    let state = WaitRequest::new(KeyRange::key("state"));
    let outcome = wakeful.wait(WaitRequest { timeout, ..state.clone() }).await?;
    print("timeout", &outcome);

    // A change between two waits: the wait after the timeout's revision finds it.
    set("state", "busy").await?;
    if let WaitOutcome::Timeout { revision } = outcome {
        let missed = wakeful.wait(WaitRequest { after: Some(revision), ..state }).await?;
        print(&format!("changed after revision {revision}"), &missed);
    }

    wakeful.stop().await;
    Ok(())
}

fn print(what: &str, outcome: &WaitOutcome) {
    match outcome {
        WaitOutcome::Met { revision, event: Some(event) } if event.kv.version > 0 => {
            println!("{what}: {} is {} at revision {revision}", event.kv.key, event.kv.value);
        }
        WaitOutcome::Met { revision, .. } => {
            println!("{what}: nothing is left at revision {revision}")
        }
        WaitOutcome::Timeout { revision } => {
            println!("{what}: nothing changed up to revision {revision}");
        }
    }
}
