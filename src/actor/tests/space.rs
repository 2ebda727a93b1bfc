//! D8: a full disk, and a journal that has all the room it may have.

use super::{config, open_with, within};
use crate::journal::FaultyDisk;
use crate::{
    Config, Durability, Error, ErrorCode, KeyRange, Operations, Request, SetRequest, TxnOp,
    TxnRequest, Wakeful,
};

const QUOTA: u64 = 640 * 1024;

/// What is left beside the segments on a full disk: less than another, enough for a small snapshot.
const LEFT: u64 = 100 * 1024;

/// A journal that may have [`QUOTA`], or a disk that has little more.
fn limited(by_quota: bool) -> (FaultyDisk, Config) {
    let (disk, mut config) = (FaultyDisk::new(), config(Durability::Fsync));
    if by_quota {
        config.journal.disk_bytes_max = QUOTA;
    } else {
        disk.limit_space(Some(QUOTA + LEFT));
    }
    (disk, config)
}

fn large(nth: usize) -> SetRequest {
    SetRequest::new(format!("key{nth:04}"), vec![nth as u8; 4000])
}

/// Sets one large key after the other until there is no room; tells how many were acknowledged.
async fn fill(wakeful: &Wakeful) -> usize {
    for nth in 0.. {
        match within(wakeful.set(large(nth))).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
                assert!(error.retryable() && nth > 50, "{nth}");
                return nth;
            }
        }
    }
    unreachable!()
}

async fn set_when_there_is_room(wakeful: &Wakeful, nth: usize) {
    let written = async {
        while let Err(error) = wakeful.set(large(nth)).await {
            assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
            tokio::task::yield_now().await;
        }
    };
    within(written).await;
}

async fn keys(wakeful: &Wakeful) -> Result<u64, Error> {
    Ok(within(wakeful.status()).await?.keys)
}

#[actix_rt::test]
async fn d8_without_room_what_grows_is_refused_and_all_else_goes_on() {
    for by_quota in [true, false] {
        let (disk, config) = limited(by_quota);
        let wakeful = open_with(&disk, config.clone());
        let have = fill(&wakeful).await;
        let txn = TxnRequest {
            success: vec![TxnOp::Set(SetRequest::new("a", "1"))],
            ..TxnRequest::default()
        };
        let refused = within(wakeful.txn(txn)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoSpace);
        assert_eq!(refused.is_limit("journal.disk_bytes_max"), by_quota, "{refused}");
        let grant = within(wakeful.lease_grant(std::time::Duration::from_secs(60))).await;
        assert_eq!(grant.unwrap_err().code, ErrorCode::NoSpace);
        assert_eq!(keys(&wakeful).await.unwrap(), have as u64);
        for nth in 0..have {
            assert!(within(wakeful.get(large(nth).key)).await.unwrap().kv.is_some());
        }
        // Deletes go into the segment that is kept for them.
        for nth in 0..10 {
            let deleted = within(wakeful.delete(KeyRange::key(large(nth).key)));
            assert_eq!(deleted.await.unwrap().deleted, 1);
        }
        let revision = within(wakeful.status()).await.unwrap().revision;
        within(wakeful.compact(revision)).await.unwrap();
        within(wakeful.stop()).await;
        for left in [disk.kill(), disk.cut_power(7)] {
            let again = open_with(&left, config.clone());
            assert_eq!(keys(&again).await.unwrap(), have as u64 - 10, "by quota: {by_quota}");
            within(again.stop()).await;
        }
    }
}

#[actix_rt::test]
async fn d8_writes_resume_when_deletes_and_compaction_have_made_room() {
    for by_quota in [true, false] {
        let (disk, config) = limited(by_quota);
        let wakeful = open_with(&disk, config.clone());
        let have = fill(&wakeful).await;
        let range = |from: usize, to: usize| KeyRange::range(large(from).key, large(to).key);
        for from in (10..have).step_by(10) {
            within(wakeful.delete(range(from, have.min(from + 10)))).await.unwrap();
        }
        let revision = within(wakeful.status()).await.unwrap().revision;
        within(wakeful.compact(revision)).await.unwrap();
        set_when_there_is_room(&wakeful, 1000).await;
        // And again, to the brim.
        fill(&wakeful).await;
        let before = keys(&wakeful).await.unwrap();
        within(wakeful.stop()).await;
        let again = open_with(&disk.kill(), config);
        assert_eq!(keys(&again).await.unwrap(), before, "by quota: {by_quota}");
        assert!(within(again.get(large(1000).key)).await.unwrap().kv.is_some());
        within(again.stop()).await;
    }
}

#[actix_rt::test]
async fn d8_writes_resume_when_the_disk_has_room_again() {
    let (disk, config) = limited(false);
    let wakeful = open_with(&disk, config);
    let have = fill(&wakeful).await;
    disk.limit_space(None);
    set_when_there_is_room(&wakeful, have).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d8_more_writes_at_once_than_there_is_room_for_are_answered_in_the_end() {
    let (disk, config) = limited(true);
    let wakeful = open_with(&disk, config.clone());
    // All of them are handed over before anyone knows that there is no room.
    let calls: Vec<_> =
        (0..300).map(|nth| super::start(&wakeful, Request::Set(large(nth)), None)).collect();
    let mut acknowledged = 0;
    for call in calls {
        match within(call).await.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(error) => assert_eq!(error.code, ErrorCode::NoSpace, "{error}"),
        }
    }
    assert!(acknowledged > 50);
    assert_eq!(keys(&wakeful).await.unwrap(), acknowledged);
    within(wakeful.stop()).await;
    let again = open_with(&disk.kill(), config);
    assert_eq!(keys(&again).await.unwrap(), acknowledged);
    within(again.stop()).await;
}

#[actix_rt::test]
async fn d8_a_full_disk_can_be_opened_and_read() {
    let (disk, config) = limited(false);
    let wakeful = open_with(&disk, config.clone());
    let have = fill(&wakeful).await;
    let left = disk.kill();
    let used: usize = left.contents().iter().map(|(_, bytes)| bytes.len()).sum();
    left.limit_space(Some(used as u64));
    let again = open_with(&left, config);
    assert_eq!(keys(&again).await.unwrap(), have as u64);
    within(again.stop()).await;
    within(wakeful.stop()).await;
}
