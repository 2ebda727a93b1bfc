//! D8: a disk that does not answer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{config, done, open_with, set, start, within};
use crate::actor::message::Execute;
use crate::journal::FaultyDisk;
use crate::test_timeout::until;
use crate::{Durability, ErrorCode, FilesRequest, Operations, SetRequest, Wakeful};

/// Regression: these requests were never answered while the snapshot thread waited for the disk.
#[actix_rt::test]
async fn d8_requests_about_snapshots_are_answered_by_their_deadlines() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, config(Durability::Fsync));
    disk.hold_syncs(true);
    let call = start(&wakeful, set("a"), None);
    until("the sync hangs", || disk.syncs_held() > 0).await;
    for request in
        [FilesRequest::Snapshot, FilesRequest::ReadSnapshot { id: 1, offset: 0, limit: 0 }]
    {
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        let request = request.into();
        let execute = Execute { request, idempotency: None, durability: None, deadline };
        let answer = within(wakeful.store().send(execute)).await.unwrap();
        assert_eq!(answer.unwrap_err().code, ErrorCode::DeadlineExceeded);
    }
    disk.hold_syncs(false);
    done(call).await;
    within(wakeful.call(FilesRequest::Snapshot)).await.unwrap();
    within(wakeful.stop()).await;
}

/// Regression: a stop waited for the disk for ever.
#[actix_rt::test]
async fn d8_a_stop_waits_no_longer_than_it_may_for_a_sync_that_hangs() {
    let disk = FaultyDisk::new();
    let mut config = config(Durability::Fsync);
    config.rpc.shutdown_grace = Duration::from_millis(50);
    let wakeful = open_with(&disk, config.clone());
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    disk.hold_syncs(true);
    let call = start(&wakeful, set("b"), None);
    until("the sync hangs", || disk.syncs_held() > 0).await;
    within(wakeful.stop()).await;
    assert_eq!(within(call).await.unwrap().unwrap_err().code, ErrorCode::JournalFailed);
    assert_eq!(within(wakeful.failed()).await.code, ErrorCode::JournalFailed);
    // No other process can write as long as the hanging thread may.
    let error = Wakeful::open_on(Arc::new(disk.clone()), config.clone(), Path::new("/data"));
    assert_eq!(error.unwrap_err().code, ErrorCode::DataDirLocked);
    let again = open_with(&disk.kill(), config);
    assert!(within(again.get("a")).await.unwrap().kv.is_some());
    within(again.stop()).await;
    disk.hold_syncs(false);
}
