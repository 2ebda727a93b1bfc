//! Waits for a change in one task and makes it in another, over one connection.
//!
//! Start a server with `cargo run -- serve`, then, in another shell:
//!
//! ```sh
//! cargo run --example watch -- 127.0.0.1:7117
//! ```
//!
//! prints `watch: abc`. The address is optional; this is the default.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use std::process::ExitCode;
use std::time::Duration;

use wakeful::{
    Client, Error, ErrorCode, KeyRange, Operations, SetRequest, WaitOutcome, WaitRequest,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:7117".into());
    match do_client_work(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.code == ErrorCode::Unreachable => {
            eprintln!("{error}\nStart a server first: cargo run -- serve --listen {addr}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn do_client_work(addr: &str) -> Result<(), Error> {
    let client = Client::connect(addr).await?;
    // Any key, from now on. `go_wait` starts the wait before every later request, so the change below
    // cannot be missed.
    let timeout = Some(Duration::from_secs(30));
    let wait = client.go_wait(WaitRequest { timeout, ..WaitRequest::new(KeyRange::all()) });
    let watching = tokio::spawn(async {
        match wait.await? {
            WaitOutcome::Met { event: Some(event), .. } => println!("watch: {}", event.kv.key),
            WaitOutcome::Met { event: None, .. } => println!("watch: nothing to show"),
            WaitOutcome::Timeout { revision } => println!("timeout; go on after {revision}"),
        }
        Ok::<_, Error>(())
    });
    client.set(SetRequest::new("abc", "abc-value")).await?;
    // No pause is needed: the task ends when the change has arrived.
    watching.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
