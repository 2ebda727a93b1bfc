//! D9: a request asks for more than the service's default, and its reply says what it got.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use futures_util::StreamExt;

use crate::journal::FaultyDisk;
use crate::{
    CallOptions, CallReply, Config, Durability, Error, ErrorCode, GetRequest, KeyRange, Operations,
    Reply, Request, SetRequest, Wakeful, WatchItem, WatchRequest,
};

/// After this, what was waited for does not come.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not come")
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let polled = async {
        while !so() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, polled).await.is_ok(), "{what}");
}

/// A service with this default, whose journal syncs only when it is asked to.
fn open(disk: &FaultyDisk, durability: Durability) -> Wakeful {
    let mut config = Config::new();
    for (name, value) in [
        ("store.key_bytes_max", "256"),
        ("store.value_bytes_max", "4KiB"),
        ("store.range_keys_max", "128"),
        ("store.range_bytes_max", "8KiB"),
        ("store.txn_ops_max", "16"),
        ("store.revision_bytes_max", "64KiB"),
        ("journal.segment_bytes", "128KiB"),
        ("journal.sync_interval", "600s"),
    ] {
        config.set(name, value).unwrap();
    }
    config.journal.durability = durability;
    Wakeful::open_on(Arc::new(disk.clone()), config, Path::new("/data")).unwrap()
}

/// As [`open`]; from now on the only syncs are those of what is written.
async fn open_quiet(disk: &FaultyDisk, durability: Durability) -> Wakeful {
    let wakeful = open(disk, durability);
    let made = |path: &Path| path.extension().is_some_and(|it| it == "log");
    until("the next segment is made", || {
        disk.contents().iter().filter(|(path, _)| made(path)).count() == 2
    })
    .await;
    wakeful
}

fn set(key: &str) -> Request {
    Request::Set(SetRequest::new(key, "v"))
}

fn get(key: &str) -> Request {
    Request::Get(GetRequest { key: key.into(), revision: 0 })
}

/// Starts a request; those started one after the other come to the store in that order.
fn start(
    wakeful: &Wakeful,
    request: Request,
    durability: Option<Durability>,
) -> JoinHandle<Result<CallReply, Error>> {
    let wakeful = wakeful.clone();
    let options = CallOptions { durability, ..CallOptions::default() };
    actix_rt::spawn(async move { wakeful.call_with(request, options).await })
}

async fn done(call: JoinHandle<Result<CallReply, Error>>) -> CallReply {
    within(call).await.unwrap().unwrap()
}

/// Waits until the store has done everything that was started; tells whether `call` has no answer.
async fn is_withheld(wakeful: &Wakeful, call: &JoinHandle<Result<CallReply, Error>>) -> bool {
    within(wakeful.status()).await.unwrap();
    within(wakeful.status()).await.unwrap();
    !call.is_finished()
}

const FSYNC: Option<Durability> = Some(Durability::Fsync);
const INTERVAL: Option<Durability> = Some(Durability::Interval);

#[actix_rt::test]
async fn d9_a_request_may_ask_for_fsync() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    let mut watch = within(wakeful.watch(WatchRequest::new(KeyRange::key("asked")))).await.unwrap();
    disk.hold_syncs(true);
    let plain = start(&wakeful, set("plain"), None);
    let asked = start(&wakeful, set("asked"), FSYNC);
    assert_eq!(done(plain).await.durability, INTERVAL, "answered when it is written");
    until("a sync begins", || disk.syncs_held() == 1).await;
    assert!(is_withheld(&wakeful, &asked).await);

    // Everyone else goes by the default meanwhile.
    let seen = done(start(&wakeful, get("asked"), None)).await;
    assert!(matches!(&seen.reply, Reply::Get(reply) if reply.kv.is_some()), "{seen:?}");
    assert_eq!(seen.durability, INTERVAL);
    let item = within(watch.next()).await.unwrap().unwrap();
    assert!(matches!(&item, WatchItem::Events { events, .. } if events.len() == 1), "{item:?}");

    // A read that asks for it waits for what it shows.
    let read = start(&wakeful, get("plain"), FSYNC);
    assert!(is_withheld(&wakeful, &read).await);
    assert!(!asked.is_finished());
    disk.hold_syncs(false);
    let asked = done(asked).await;
    assert!(matches!(&asked.reply, Reply::Set(reply) if reply.revision == 3), "{asked:?}");
    assert_eq!((asked.durability, done(read).await.durability), (FSYNC, FSYNC));

    // It has what it was told, and what shows nothing else is answered at once.
    let left = disk.cut_power(7);
    disk.hold_syncs(true);
    assert_eq!(done(start(&wakeful, get("asked"), FSYNC)).await.durability, FSYNC);
    disk.hold_syncs(false);
    let again = open(&left, Durability::Interval);
    assert!(within(again.get("asked")).await.unwrap().kv.is_some());
    within(again.stop()).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d9_one_sync_serves_all_who_ask_meanwhile() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    disk.hold_syncs(true);
    let first = start(&wakeful, set("first"), FSYNC);
    until("a sync begins", || disk.syncs_held() == 1).await;
    let others: Vec<_> = (0..50)
        .map(|nth| {
            let request = if nth % 2 == 0 { set(&format!("{nth}")) } else { get("first") };
            start(&wakeful, request, FSYNC)
        })
        .collect();
    assert!(is_withheld(&wakeful, &first).await);
    assert!(others.iter().all(|call| !call.is_finished()));
    // The one that is under way, and one more.
    disk.fail_syncs_after(Some(2));
    disk.hold_syncs(false);
    for call in [first].into_iter().chain(others) {
        assert_eq!(done(call).await.durability, FSYNC);
    }
    disk.fail_syncs_after(None);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d9_no_request_gets_less_than_the_default() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Fsync).await;
    disk.hold_syncs(true);
    let asked = start(&wakeful, set("a"), INTERVAL);
    until("a sync begins", || disk.syncs_held() == 1).await;
    assert!(is_withheld(&wakeful, &asked).await);
    disk.hold_syncs(false);
    assert_eq!(done(asked).await.durability, FSYNC);
    assert_eq!(done(start(&wakeful, get("a"), None)).await.durability, FSYNC);
    within(wakeful.stop()).await;
    // In memory nobody can have more either, and is told so.
    let memory = Wakeful::start(Config::new()).unwrap();
    assert_eq!(done(start(&memory, set("a"), FSYNC)).await.durability, None);
    assert_eq!((memory.durability(), wakeful.durability()), (None, FSYNC));
    within(memory.stop()).await;
}

#[actix_rt::test]
async fn d9_whoever_asked_is_told_when_the_sync_fails() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    assert_eq!(done(start(&wakeful, set("before"), FSYNC)).await.durability, FSYNC);
    disk.fail_syncs_after(Some(0));
    let asked = start(&wakeful, set("a"), FSYNC);
    let error = within(asked).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::JournalFailed);
    within(wakeful.failed()).await;
    // What was written may be read, but nobody is told that the disk has it.
    assert!(within(wakeful.get("a")).await.unwrap().kv.is_some());
    let error = within(start(&wakeful, get("a"), FSYNC)).await.unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::JournalFailed);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d9_a_stop_syncs_what_was_asked_for() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    disk.hold_syncs(true);
    let asked = start(&wakeful, set("a"), FSYNC);
    until("a sync begins", || disk.syncs_held() == 1).await;
    let later = start(&wakeful, set("b"), FSYNC);
    assert!(is_withheld(&wakeful, &later).await);
    let theirs = disk.clone();
    let released = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        theirs.hold_syncs(false);
    });
    within(wakeful.stop()).await;
    released.join().unwrap();
    assert_eq!((done(asked).await.durability, done(later).await.durability), (FSYNC, FSYNC));
}
