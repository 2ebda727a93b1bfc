//! D1 and D8: what is visible while a sync is in progress, and after one has failed.

use std::time::Duration;

use futures_util::FutureExt;

use super::{done, get, is_withheld, open, open_quiet, set, start, until, within};
use crate::journal::FaultyDisk;
use crate::{
    DeleteRequest, Durability, ErrorCode, FilesRequest, KeyRange, KvRequest, Operations,
    RangeRequest, Reply, SetRequest, TxnOp, TxnRequest,
};

#[actix_rt::test]
async fn d1_reads_of_what_is_durable_are_answered_while_a_sync_runs() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Fsync).await;
    done(start(&wakeful, set("a"), None)).await;
    disk.hold_syncs(true);
    let pending = start(&wakeful, set("b"), None);
    until("a sync begins", || disk.syncs_held() == 1).await;
    let seen = done(start(&wakeful, get("a"), None)).await;
    assert!(matches!(&seen.reply, Reply::Get(it) if it.kv.is_some() && it.revision == 2));
    let seen = done(start(&wakeful, get("never"), None)).await;
    assert!(matches!(&seen.reply, Reply::Get(it) if it.kv.is_none() && it.revision == 2));
    let seen = within(wakeful.get_at("b", 2)).await.unwrap();
    assert!(seen.kv.is_none() && seen.revision == 2, "{seen:?}");
    let status = within(wakeful.status()).await.unwrap();
    assert_eq!((status.revision, status.durable_revision), (2, 2));
    let of_pending = start(&wakeful, get("b"), None);
    let of_all = RangeRequest::new(KeyRange::all());
    let of_all = start(&wakeful, KvRequest::Range(of_all), None);
    assert!(is_withheld(&wakeful, &of_pending).await);
    assert!(!of_all.is_finished() && !pending.is_finished());
    disk.hold_syncs(false);
    done(pending).await;
    let seen = done(of_pending).await;
    assert!(matches!(&seen.reply, Reply::Get(it) if it.kv.is_some() && it.revision == 3));
    let seen = done(of_all).await;
    assert!(matches!(&seen.reply, Reply::Range(it) if it.kvs.len() == 2 && it.revision == 3));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d8_after_a_failed_write_or_sync_nothing_pending_is_shown_and_nothing_more_written() {
    for on_sync in [true, false] {
        let disk = FaultyDisk::new();
        let wakeful = open_quiet(&disk, Durability::Fsync).await;
        done(start(&wakeful, set("a"), None)).await;
        disk.hold_syncs(true);
        let first = start(&wakeful, set("b"), None);
        until("a sync begins", || disk.syncs_held() == 1).await;
        let second = start(&wakeful, set("c"), None);
        let read = start(&wakeful, get("b"), None);
        assert!(is_withheld(&wakeful, &read).await);
        if on_sync {
            disk.fail_syncs_after(Some(0));
        } else {
            disk.fail_writes_after(Some(0));
        }
        disk.hold_syncs(false);
        let first = within(first).await.unwrap();
        // If a write fails, it is that of the second: the first was synced.
        assert_eq!(first.err().map(|it| it.code), on_sync.then_some(ErrorCode::JournalFailed));
        let read = within(read).await.unwrap();
        assert_eq!(read.unwrap_err().code, ErrorCode::JournalFailed);
        let second = within(second).await.unwrap().unwrap_err();
        assert_eq!(second.code, ErrorCode::JournalFailed);
        assert_eq!(within(wakeful.failed()).await.code, ErrorCode::JournalFailed);

        // The disk recovers: that changes nothing.
        disk.fail_syncs_after(None);
        disk.fail_writes_after(None);
        let txn = TxnRequest {
            success: vec![TxnOp::Set(SetRequest::new("d", "v"))],
            ..TxnRequest::default()
        };
        let writes = [
            set("d"),
            set("a"),
            KvRequest::Delete(DeleteRequest::new(KeyRange::key("a"))).into(),
            KvRequest::Txn(txn).into(),
            KvRequest::Compact(2).into(),
            FilesRequest::Snapshot.into(),
        ];
        for write in writes {
            let error = within(start(&wakeful, write, None)).await.unwrap().unwrap_err();
            assert_eq!(error.code, ErrorCode::JournalFailed);
        }
        let granted = within(wakeful.lease_grant(Duration::from_secs(60))).await;
        assert_eq!(granted.unwrap_err().code, ErrorCode::JournalFailed);
        // What is durable can be read, everything else cannot.
        assert!(within(wakeful.get("a")).await.unwrap().kv.is_some());
        let pending = within(wakeful.get("c")).await;
        assert_eq!(pending.unwrap_err().code, ErrorCode::JournalFailed);
        let status = within(wakeful.status()).await.unwrap();
        assert_eq!(status.revision, if on_sync { 2 } else { 3 });
        within(wakeful.stop()).await;

        let again = open(&disk.kill(), Durability::Fsync);
        assert!(within(again.get("a")).await.unwrap().kv.is_some());
        assert!(on_sync || within(again.get("b")).await.unwrap().kv.is_some());
        assert!(within(again.get("d")).await.unwrap().kv.is_none());
        within(again.stop()).await;
    }
}

#[actix_rt::test]
async fn d8_a_last_sync_that_fails_is_known_after_the_stop() {
    let disk = FaultyDisk::new();
    let wakeful = open_quiet(&disk, Durability::Interval).await;
    done(start(&wakeful, set("a"), None)).await;
    disk.fail_syncs_after(Some(0));
    within(wakeful.stop()).await;
    // At once, because `serve` needs it for its exit code.
    let failed = wakeful.failed().now_or_never();
    assert_eq!(failed.map(|error| error.code), Some(ErrorCode::JournalFailed));
}
