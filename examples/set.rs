//! Sets a key: the smallest client.
//!
//! Start a server with `cargo run -- serve`, then, in another shell:
//!
//! ```sh
//! cargo run --example set -- 127.0.0.1:7117 greeting hello
//! ```
//!
//! prints `greeting = hello (revision 2)`. All three arguments are optional; these are the
//! defaults.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use std::process::ExitCode;

use wakeful::{Client, Error, ErrorCode, Operations, SetRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or("127.0.0.1:7117".into());
    let key = arguments.next().unwrap_or("greeting".into());
    let value = arguments.next().unwrap_or("hello".into());
    match set(&addr, &key, &value).await {
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

async fn set(addr: &str, key: &str, value: &str) -> Result<(), Error> {
    let client = Client::connect(addr).await?;
    let reply = client.set(SetRequest::new(key, value)).await?;
    println!("{key} = {value} (revision {})", reply.revision);
    Ok(())
}
