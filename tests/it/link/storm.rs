//! A thousand servers that lose their relay at once and reconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wakeful::link::{DialOptions, SharedToken};
use wakeful::{Config, Operations, Wakeful};

use super::{Relay, TOKEN};
use crate::support::within;

const DIALERS: usize = 1_000;

/// They all wait for each other, which takes long on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Raises the limit of files: each side of a thousand connections needs one.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(8_192);
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    }
}

#[actix_rt::test]
async fn l8_a_storm_of_a_thousand_dialers_is_survived() {
    allow_files();
    // Most servers of a storm are refused, and dial again.
    let limits = ["--limit", "link.handshakes_max=64"];
    let relay = Relay::start_at("127.0.0.1:0", "127.0.0.1:0", &limits);
    let _server = relay.serve("home");
    relay.until_there("home");
    let client = relay.client("home").await;
    let (calls, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, ended) = (Arc::clone(&calls), Arc::clone(&over));
    // Served all the time: a read waits until the relay is back.
    let well_behaved = tokio::spawn(async move {
        while !ended.load(Ordering::Relaxed) {
            client.get("a").await?;
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, wakeful::Error>(())
    });
    let mut config = Config::new();
    config.link.backoff_min = Duration::from_millis(100);
    config.link.backoff_max = Duration::from_secs(2);
    let dialer = Wakeful::start(config).unwrap();
    let token = SharedToken::new(TOKEN).unwrap();
    let mut handles = Vec::new();
    for number in 0..DIALERS {
        let credentials = Some(token.credentials());
        let options = DialOptions { credentials, ..DialOptions::new(format!("edge {number}")) };
        handles.push(dialer.dial(&*relay.accepting, options).await.unwrap());
    }
    let all_up = async |handles: &[wakeful::link::DialHandle]| {
        for handle in handles {
            handle.up().await.unwrap();
        }
    };
    tokio::time::timeout(TIMEOUT, all_up(&handles)).await.expect("all are there");
    let relay = relay.again(&limits);
    relay.until_there("home");
    let before = calls.load(Ordering::Relaxed);
    for handle in &handles {
        // Each has noticed the end of its link, and has another.
        let again = crate::support::until("it is there again", async || handle.links() > 1);
        tokio::time::timeout(TIMEOUT, again).await.expect("all are there again");
    }
    crate::support::until("the client beside them was served", async || {
        calls.load(Ordering::Relaxed) > before
    })
    .await;
    let last = relay.client("edge 999").await;
    assert!(within(last.get("a")).await.unwrap().kv.is_none());
    over.store(true, Ordering::Relaxed);
    within(well_behaved).await.unwrap().unwrap();
    tokio::time::timeout(TIMEOUT, dialer.stop()).await.expect("it stops");
}
