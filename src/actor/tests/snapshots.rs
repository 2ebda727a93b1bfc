//! Requested snapshots, and reads of their files.

use super::{config, done, open, open_quiet, open_with, set, start, until, within};
use crate::journal::FaultyDisk;
use crate::{
    Config, Durability, ErrorCode, FilesRequest, KvRequest, LeaseGrantRequest, Operations,
    SetRequest, Wakeful,
};

async fn whole(wakeful: &Wakeful, id: u64, bytes: u64) -> Vec<u8> {
    let mut file = Vec::new();
    while (file.len() as u64) < bytes {
        let part = within(wakeful.read_snapshot(id, file.len() as u64, 100)).await.unwrap();
        assert!(!part.is_empty() && part.len() <= 100);
        file.extend_from_slice(&part);
    }
    assert!(within(wakeful.read_snapshot(id, bytes, 0)).await.unwrap().is_empty());
    file
}

#[actix_rt::test]
async fn d11_a_second_backup_of_the_same_leaves_the_file_of_the_first_as_it_is() {
    let disk = FaultyDisk::new();
    let wakeful = open(&disk, Durability::Fsync);
    // Also before the first write.
    let empty = within(wakeful.snapshot()).await.unwrap();
    assert_eq!(within(wakeful.snapshot()).await.unwrap(), empty);
    let grant = LeaseGrantRequest { id: 7, ttl: std::time::Duration::from_secs(60) };
    within(wakeful.call(KvRequest::LeaseGrant(grant))).await.unwrap();
    within(wakeful.set(SetRequest { lease: 7, ..SetRequest::new("a", "1") })).await.unwrap();
    let first = within(wakeful.snapshot()).await.unwrap();
    let before = whole(&wakeful, first.id, first.bytes).await;
    let second = within(wakeful.snapshot()).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(whole(&wakeful, first.id, first.bytes).await, before);
    // Not after a new write: the file of the first is gone.
    within(wakeful.set(SetRequest::new("b", "1"))).await.unwrap();
    let third = within(wakeful.snapshot()).await.unwrap();
    assert!(third.id > first.id && third.revision == first.revision + 1);
    let gone = within(wakeful.read_snapshot(first.id, 0, 0)).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::Unavailable);
    assert!(gone.message.contains("request a new one"), "{gone}");
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d10_a_snapshot_shows_nothing_that_a_power_cut_could_take() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    done(start(&wakeful, set("a"), None)).await;
    disk.hold_syncs(true);
    let snapshot = start(&wakeful, FilesRequest::Snapshot, None);
    until("a sync begins", || disk.syncs_held() == 1).await;
    let snaps = || {
        let is = |path: &std::path::Path| path.extension().is_some_and(|it| it == "snap");
        disk.contents().iter().filter(|(path, _)| is(path)).count()
    };
    assert!(snaps() == 0 && !snapshot.is_finished());
    disk.hold_syncs(false);
    done(snapshot).await;
    assert_eq!(snaps(), 1);
    let again = open(&disk.cut_power(3), Durability::Interval);
    assert!(within(again.get("a")).await.unwrap().kv.is_some());
    within(again.stop()).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d10_a_snapshot_that_fails_is_told_and_the_next_is_made() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Fsync).await;
    done(start(&wakeful, set("a"), None)).await;
    let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
    disk.limit_space(Some(used as u64));
    let error = within(wakeful.snapshot()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("no space left"), "{error}");
    done(start(&wakeful, set("b"), None)).await;
    disk.limit_space(None);
    assert_eq!(within(wakeful.snapshot()).await.unwrap().revision, 3);
    within(wakeful.stop()).await;
    let again = open(&disk, Durability::Fsync);
    assert_eq!(within(again.status()).await.unwrap().keys, 2);
    within(again.stop()).await;
}

#[actix_rt::test]
async fn d10_the_log_is_replaced_as_it_grows_and_nothing_is_lost() {
    let disk = FaultyDisk::new();
    let mut small = config(Durability::Fsync);
    small.journal.snapshot_log_bytes = 64 * 1024;
    let wakeful = open_with(&disk, small.clone());
    for nth in 0..600 {
        let value = vec![nth as u8; 1000];
        within(wakeful.set(SetRequest::new(format!("{}", nth % 20), value))).await.unwrap();
    }
    // All writes together would fill more segments than the first.
    until("what was replaced is removed", || {
        !disk.contents().iter().any(|(path, _)| path.ends_with("0000000000000001.log"))
    })
    .await;
    let status = within(wakeful.status()).await.unwrap();
    assert_eq!((status.revision, status.keys), (601, 20));
    let again = open_with(&disk.cut_power(5), small);
    assert_eq!(within(again.status()).await.unwrap().revision, status.revision);
    assert_eq!(
        within(again.get_at("0", 300)).await.unwrap(),
        within(wakeful.get_at("0", 300)).await.unwrap()
    );
    within(again.stop()).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d11_a_store_in_memory_has_no_snapshots() {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    for error in [
        within(wakeful.snapshot()).await.unwrap_err(),
        within(wakeful.read_snapshot(1, 0, 0)).await.unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains("in memory"), "{error}");
    }
    within(wakeful.stop()).await;
}
