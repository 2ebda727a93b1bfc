//! D9: a request asks for more than the service's default durability, and its reply reports what it
//! got.

use futures_util::StreamExt;

use super::{done, get, is_withheld, open, open_quiet, set, start, until, within};
use crate::journal::FaultyDisk;
use crate::{
    Config, Durability, ErrorCode, KeyRange, Operations, Reply, WaitRequest, Wakeful, WatchItem,
    WatchRequest,
};

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

    // Other requests use the default meanwhile.
    let seen = done(start(&wakeful, get("asked"), None)).await;
    assert!(matches!(&seen.reply, Reply::Get(reply) if reply.kv.is_some()), "{seen:?}");
    assert_eq!(seen.durability, INTERVAL);
    let item = within(watch.next()).await.unwrap().unwrap();
    assert!(matches!(&item, WatchItem::Events { events, .. } if events.len() == 1), "{item:?}");

    // A read that asks for more waits for what it shows.
    let read = start(&wakeful, get("plain"), FSYNC);
    assert!(is_withheld(&wakeful, &read).await);
    assert!(!asked.is_finished());
    disk.hold_syncs(false);
    let asked = done(asked).await;
    assert!(matches!(&asked.reply, Reply::Set(reply) if reply.revision == 3), "{asked:?}");
    assert_eq!((asked.durability, done(read).await.durability), (FSYNC, FSYNC));

    // What was reported is there, and other reads are answered at once.
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
    // The one in progress, and one more.
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
    // In memory, no request gets more either, and the reply says so.
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
    // What was written can be read, but is never reported as on the disk.
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
    let (theirs, waiting) = (disk.clone(), wakeful.clone());
    // On a thread of its own, because the stop blocks this one until the syncs are done.
    let released = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until_stopped = waiting.wait(WaitRequest::new(KeyRange::key("never")));
        let stopping = runtime.block_on(async { within(until_stopped).await.is_err() });
        theirs.hold_syncs(false);
        stopping
    });
    within(async { while wakeful.status().await.unwrap().waits == 0 {} }).await;
    within(wakeful.stop()).await;
    assert!(released.join().unwrap(), "the wait was answered by the stop");
    assert_eq!((done(asked).await.durability, done(later).await.durability), (FSYNC, FSYNC));
}
