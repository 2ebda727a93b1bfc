//! A stop leaves nothing behind (E2).

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use actix::{Actor, Context, Handler, ResponseFuture};
use futures_util::{FutureExt, StreamExt};
use wakeful::actor::message::Watched;
use wakeful::work::{MemoryStorage, Thread};
use wakeful::{
    Client, Config, Details, ErrorCode, HandlerOptions, KeyRange, Operations, PushOptions,
    SetRequest, WaitRequest, Wakeful, WatchRequest, Worker,
};

use super::{events, start, within};
use crate::support::handlers::{does, patient, push};
use crate::support::{eventually, until};

#[actix_rt::test]
async fn r5_a_stop_answers_everyone_and_refuses_everything_after() {
    a_stop_answers_everyone(start()).await;
}

#[actix_rt::test]
async fn r5_a_stop_shows_what_the_last_turn_was_too_short_for() {
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    a_stop_answers_everyone(Wakeful::start(config).unwrap()).await;
}

#[actix_rt::test]
async fn r5_a_stop_shows_what_is_durable_and_was_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.rpc.turn_max = Duration::ZERO;
    let data = directory.path().join("data");
    a_stop_answers_everyone(Wakeful::open(config, data).unwrap()).await;
}

async fn a_stop_answers_everyone(wakeful: Wakeful) {
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    let mut wait = Box::pin(wakeful.wait(WaitRequest::new(KeyRange::key("b"))));
    assert!((&mut wait).now_or_never().is_none());
    let mut watch = within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    within(wakeful.set(SetRequest::new("a", "2"))).await.unwrap();
    within(wakeful.stop()).await;
    let waited = within(wait).await.unwrap_err();
    assert_eq!(waited.code, ErrorCode::Unavailable);
    // Every acknowledged write is delivered, and the last item has the revision to continue from.
    assert_eq!(events(within(watch.next()).await.unwrap().unwrap())[0].revision(), 3);
    let last = within(watch.next()).await.unwrap().unwrap_err();
    assert_eq!(
        (last.code, &last.details),
        (ErrorCode::Unavailable, &Details::Resume { revision: 4 })
    );
    assert!(within(watch.next()).await.is_none());
    for refused in [
        within(wakeful.set(SetRequest::new("a", "3"))).await.err(),
        within(wakeful.get("a")).await.err(),
        within(wakeful.wait(WaitRequest::new(KeyRange::all()))).await.err(),
        within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.err(),
    ] {
        assert_eq!(refused.unwrap().code, ErrorCode::Unavailable);
    }
    within(wakeful.stop()).await;
    assert!(!wakeful.store().connected());
}

#[actix_rt::test]
async fn stopping_twice_at_once_is_harmless() {
    let wakeful = start();
    wakeful.listen("127.0.0.1:0").await.unwrap();
    within(async { tokio::join!(wakeful.stop(), wakeful.stop()) }).await;
}

/// Set in a process that runs one test alone, where threads and open files can be counted.
const ALONE: &str = "WAKEFUL_TEST_ALONE";

#[test]
#[cfg(target_os = "linux")]
fn e2_stop_leaves_nothing() {
    let alone = "embed::stop::e2_alone";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", alone, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// The body of [`e2_stop_leaves_nothing`], which runs it in a process of its own.
#[test]
fn e2_alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let threads_before = count("task");
    actix_rt::System::new().block_on(async {
        let (threads, files) = (count("task"), count("fd"));
        for _ in 0..3 {
            live_and_stop().await;
            // The kernel removes a joined thread from its list a moment later.
            eventually("its threads are gone", || count("task") == threads);
            assert_eq!(count("fd"), files);
        }
    });
    eventually("all threads are gone", || count("task") == threads_before);
}

/// A handler that never finishes.
struct Stuck;

impl Actor for Stuck {
    type Context = Context<Self>;
}

impl Handler<Watched> for Stuck {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Watched, _: &mut Self::Context) -> Self::Result {
        Box::pin(std::future::pending())
    }
}

/// Starts workers of every kind, each with one finished and one unfinished job.
async fn workers(wakeful: &Wakeful) -> Vec<Worker> {
    let mut workers = Vec::new();
    for (name, thread) in [("a", Thread::Own), ("b", Thread::Here), ("c", Thread::Blocking)] {
        let handler = does(async |job, _| {
            if job == "hangs" {
                std::future::pending::<()>().await;
            }
            Ok(job)
        });
        let options = HandlerOptions { thread, ..patient() };
        let options = options.with_storage(MemoryStorage::default());
        let worker = wakeful.handle(name, handler, options).unwrap();
        for job in ["hangs", "ends"] {
            push(wakeful, name, job, PushOptions::default()).await;
        }
        let busy = || {
            let stats = worker.stats();
            (stats.running, stats.done) == (1, 1)
        };
        until("one is done, one runs", async || busy()).await;
        workers.push(worker);
    }
    workers
}

/// Uses everything that could be left behind.
async fn live_and_stop() {
    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_millis(200);
    let wakeful = Wakeful::start(config).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let client = within(Client::connect(addr.to_string())).await.unwrap();
    let waits: Vec<_> =
        (0..20).map(|_| client.go_wait(WaitRequest::new(KeyRange::key("never")))).collect();
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let _unread = within(wakeful.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
    let stuck = Stuck.start().recipient();
    let _told = within(wakeful.watch_into(1, WatchRequest::new(KeyRange::all()), stuck)).await;
    let mut silent = TcpStream::connect(addr).unwrap();
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    events(within(watch.next()).await.unwrap().unwrap());
    assert_eq!(within(wakeful.status()).await.unwrap().waits, 20);
    let mut workers = workers(&wakeful).await;

    within(wakeful.stop()).await;
    for worker in &mut workers {
        let stopped = worker.ended().now_or_never().expect("it has ended already");
        assert_eq!(stopped.stuck, 0);
    }
    // The silent connection is closed, and nothing listens any more.
    silent.set_read_timeout(Some(super::TIMEOUT)).unwrap();
    let mut said = Vec::new();
    assert!(silent.read_to_end(&mut said).is_ok());
    assert!(TcpStream::connect(addr).is_err());
    assert!(!wakeful.store().connected());
    within(client.close()).await;
    drop(waits);
}
