//! The client library against a server process, with and without cut connections.

mod calls;
mod cuts;
mod jobs;
mod linearizable;
mod proxy;
mod register;
mod watches;
mod work;

use std::future::Future;
use std::time::Instant;

use futures_util::StreamExt;
use wakeful::{Client, ClientConfig, Event, Operations, StatusReply, WatchItem, WatchStream};

use self::proxy::Proxy;
use crate::process::{Server, TIMEOUT};

/// Returns the seeds of a randomized test: a few, or the one in `WAKEFUL_SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("WAKEFUL_SEED") {
        Ok(seed) => vec![seed.parse().expect("WAKEFUL_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    }
}

/// Starts a server with `arguments`, and connects one client directly and another through a proxy.
async fn near_and_far(arguments: &[&str]) -> (Server, Proxy, Client, Client) {
    let server = Server::start_with(arguments);
    let proxy = Proxy::start(server.addr(), 1, u64::MAX).await;
    let (near, far) = (connect(server.addr()).await, connect(proxy.addr()).await);
    (server, proxy, near, far)
}

async fn connect(addr: &str) -> Client {
    within(Client::connect_with(config(addr))).await.unwrap()
}

/// Returns the default configuration, except that a client reconnects at once.
fn config(addr: &str) -> ClientConfig {
    let mut config = ClientConfig::new(addr);
    config.call_deadline = Some(TIMEOUT);
    config.reconnect_backoff_min = std::time::Duration::from_millis(1);
    config.reconnect_backoff_max = std::time::Duration::from_millis(10);
    config
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("it does not come")
}

/// Reads the status until `holds`.
async fn until_status(client: &Client, what: &str, holds: impl Fn(&StatusReply) -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let status = within(client.status()).await.unwrap();
        if holds(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {status:?}");
    }
}

/// Returns the events of the next item that has any.
async fn next_events(watch: &mut WatchStream) -> Vec<Event> {
    loop {
        match within(watch.next()).await.expect("the watch has ended").unwrap() {
            WatchItem::Events { events, .. } => return events,
            WatchItem::Progress { .. } => {}
            other => panic!("not events: {other:?}"),
        }
    }
}

/// Runs `work` on a thread with its own runtime; join the thread for its result.
fn thread<T: Send + 'static, F: Future<Output = T>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}
