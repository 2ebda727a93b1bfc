//! The limits of links.

use std::net::TcpStream;

use wakeful::link::{DialHandle, DialOptions, DialState, ReverseListener, ReverseOptions};
use wakeful::{Config, Credentials, Error, Wakeful};

use super::Row;
use crate::support::{until, within};

async fn listener(config: &Config) -> ReverseListener {
    let mut options = ReverseOptions::for_anyone();
    options.link = config.link.clone();
    ReverseListener::bind("127.0.0.1:0", options).await.unwrap()
}

async fn dial(server: &Wakeful, listener: &ReverseListener, options: DialOptions) -> DialHandle {
    server.dial(listener.addr().to_string(), options).await.unwrap()
}

async fn refused(handle: &DialHandle) -> Error {
    let mut refusal = None;
    until("the link is refused", async || {
        if let DialState::Down(Some(error)) = handle.state() {
            refusal = Some(error);
        }
        refusal.is_some()
    })
    .await;
    refusal.unwrap()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("link.links_max", "1", 1, async |config: Config| {
            let mut listener = listener(&config).await;
            let server = Wakeful::start(config).unwrap();
            dial(&server, &listener, DialOptions::new("a")).await;
            within(listener.next()).await.unwrap();
            let refusal = refused(&dial(&server, &listener, DialOptions::new("b")).await).await;
            server.stop().await;
            refusal
        }),
        Row::new("link.handshakes_max", "1", 1, async |config: Config| {
            let listener = listener(&config).await;
            let _silent = TcpStream::connect(listener.addr()).unwrap();
            let server = Wakeful::start(config).unwrap();
            let refusal = refused(&dial(&server, &listener, DialOptions::new("a")).await).await;
            server.stop().await;
            refusal
        })
        .with(&[("link.handshake_timeout", "10m")]),
        Row::new("link.hello_bytes_max", "1KiB", 1024, async |config: Config| {
            let listener = listener(&config).await;
            let server = Wakeful::start(config).unwrap();
            let credentials = Some(Credentials::token("x".repeat(1024)));
            let options = DialOptions { credentials, ..DialOptions::new("a") };
            let refusal = refused(&dial(&server, &listener, options).await).await;
            server.stop().await;
            refusal
        }),
        Row::new("link.streams_max", "1", 1, async |config: Config| {
            let mut listener = listener(&config).await;
            let server = Wakeful::start(config).unwrap();
            dial(&server, &listener, DialOptions::new("a")).await;
            let _first = within(listener.next()).await.unwrap();
            let refusal = within(listener.client("a")).await.unwrap_err();
            server.stop().await;
            refusal
        }),
    ]
}
