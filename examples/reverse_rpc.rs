//! A server behind a firewall dials out and serves over that link; the public side calls it.
//!
//! In one shell, the public side:
//!
//! ```sh
//! cargo run --example reverse_rpc -- public 127.0.0.1:1234
//! ```
//!
//! and in another, the side behind the firewall:
//!
//! ```sh
//! cargo run --example reverse_rpc -- inside 127.0.0.1:1234
//! ```
//!
//! in either order. The public side prints `inside: hello:hello` and `job: 7 letters`, and ends; the other
//! side waits for the next one.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use wakeful::link::{DialOptions, ReverseListener, ReverseOptions, SharedToken};
use wakeful::{
    Config, Error, ErrorCode, JobContext, JobError, JobHandler, Methods, Service, Wakeful,
};

/// The secret of both sides; in production, each reads it from a file.
const TOKEN: &str = "a secret of both sides";

#[actix_rt::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let side = arguments.next().unwrap_or_default();
    let addr = arguments.next().unwrap_or("127.0.0.1:1234".into());
    match &*side {
        "public" => do_client_work(&addr).await,
        "inside" => serve(&addr).await,
        _ => Err(Error::new(ErrorCode::InvalidArgument, "say `public` or `inside`")),
    }
}

/// A worker that is called with a job instead of reserving one.
struct Count;

impl JobHandler for Count {
    type Job = String;
    type Output = String;

    async fn handle(&self, job: String, _: &JobContext) -> Result<String, JobError> {
        Ok(format!("{} letters", job.chars().count()))
    }
}

async fn serve(addr: &str) -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let hello = Service::new("HelloService")
        .method("Hello", async |request: String, _| Ok(format!("hello:{request}")));
    wakeful.register(hello)?;
    wakeful.register(Service::new("Worker").handler("Count", Count))?;
    let token = SharedToken::new(TOKEN)?;
    let options =
        DialOptions { credentials: Some(token.credentials()), ..DialOptions::new("inside") };
    // Dials until the stop, with random pauses, and serves every connection over the link.
    let link = wakeful.dial(addr, options).await?;
    link.up().await?;
    println!("serving over a link to {addr}");
    let failure = wakeful.failed().await;
    wakeful.stop().await;
    Err(failure)
}

async fn do_client_work(addr: &str) -> Result<(), Error> {
    let mut listener =
        ReverseListener::bind(addr, ReverseOptions::new(SharedToken::new(TOKEN)?)).await?;
    println!("waiting at {}", listener.addr());
    // A client for each server that dials in.
    if let Some((client, dialer)) = listener.next().await {
        let reply: String = client.invoke("HelloService.Hello", "hello").await?;
        println!("{}: {reply}", dialer.name);
        let counted: String = client.invoke("Worker.Count", "wakeful").await?;
        println!("job: {counted}");
    }
    listener.stop().await;
    Ok(())
}
