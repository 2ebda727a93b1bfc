//! D8: a full disk, and a journal that has reached its quota.

use super::{config, open_with, within};
use crate::journal::FaultyDisk;
use crate::{
    Compare, CompareOp, CompareTarget, Config, Durability, Error, ErrorCode, FilesRequest,
    GetRequest, Jobs, KeyRange, KvRequest, LeaseGrantRequest, Operations, PushOptions, Reply,
    Request, SetRequest, TxnOp, TxnRequest, Wakeful,
};

const QUOTA: u64 = 640 * 1024;

/// The space left beside as many segments on a full disk: enough for a snapshot of their content.
const LEFT: u64 = QUOTA;

/// Returns a journal with the quota [`QUOTA`], or a disk with space for a snapshot in addition.
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

/// Sets one large key after another until there is no space; returns how many were acknowledged.
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
    set_when(wakeful, nth, ErrorCode::NoSpace).await;
}

/// Sets a key as soon as it is no longer refused with `code`.
async fn set_when(wakeful: &Wakeful, nth: usize, code: ErrorCode) {
    let written = async {
        while let Err(error) = wakeful.set(large(nth)).await {
            assert_eq!(error.code, code, "{error}");
            tokio::task::yield_now().await;
        }
    };
    within(written).await;
}

/// Sends a request until it is refused: a snapshot may free some space first.
async fn refusal(wakeful: &Wakeful, request: impl Into<Request>) -> Error {
    let request = request.into();
    let refused = async {
        loop {
            match wakeful.call(request.clone()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    within(refused).await
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
        let grant = LeaseGrantRequest { id: 0, ttl: std::time::Duration::from_secs(60) };
        for request in [KvRequest::Txn(txn), KvRequest::LeaseGrant(grant)] {
            let error = refusal(&wakeful, request).await;
            assert_eq!(error.code, ErrorCode::NoSpace);
            assert_eq!(error.is_limit("journal.disk_bytes_max"), by_quota, "{error}");
        }
        let before = keys(&wakeful).await.unwrap();
        assert!(before >= have as u64);
        for nth in 0..have {
            assert!(within(wakeful.get(large(nth).key)).await.unwrap().kv.is_some());
        }
        // Deletes go into the segment that is reserved for them.
        for nth in 0..10 {
            let deleted = within(wakeful.delete(KeyRange::key(large(nth).key)));
            assert_eq!(deleted.await.unwrap().deleted, 1);
        }
        let revision = within(wakeful.status()).await.unwrap().revision;
        within(wakeful.compact(revision)).await.unwrap();
        within(wakeful.stop()).await;
        for left in [disk.kill(), disk.cut_power(7)] {
            let again = open_with(&left, config.clone());
            assert_eq!(keys(&again).await.unwrap(), before - 10, "by quota: {by_quota}");
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
        for nth in 1000..1050 {
            set_when_there_is_room(&wakeful, nth).await;
        }
        // And again, until it is full.
        refusal(&wakeful, KvRequest::Set(large(2000))).await;
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
    // All of them are handed over before it is known that there is no space.
    let calls: Vec<_> =
        (0..300).map(|nth| super::start(&wakeful, KvRequest::Set(large(nth)), None)).collect();
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

/// Regression: a snapshot began with everything that the last revision had deleted, and so took as much
/// space as before.
#[actix_rt::test]
async fn d8_all_that_one_revision_deletes_gives_its_room_back() {
    for by_quota in [true, false] {
        let (disk, config) = limited(by_quota);
        let wakeful = open_with(&disk, config.clone());
        let have = fill(&wakeful).await;
        let all = KeyRange::range("key", "kez");
        let deleted = within(wakeful.delete(all)).await.unwrap();
        assert_eq!(deleted.deleted, have as u64);
        within(wakeful.compact(deleted.revision)).await.unwrap();
        // The revision itself can still be read.
        let now = GetRequest { key: large(0).key, revision: deleted.revision };
        within(wakeful.call(KvRequest::Get(now))).await.unwrap();
        // All but the content of two segments.
        for nth in 0..have - 64 {
            set_when_there_is_room(&wakeful, nth).await;
        }
        let before = keys(&wakeful).await.unwrap();
        within(wakeful.stop()).await;
        let again = open_with(&disk.kill(), config);
        assert_eq!(keys(&again).await.unwrap(), before);
        within(again.stop()).await;
    }
}

/// Regression: 88 % had to be deleted before writes were accepted again. Whatever is deleted, in
/// whatever order, and whenever the process ends in between: the same amount can be written again.
#[actix_rt::test]
async fn d8_what_was_deleted_and_compacted_can_be_written_again() {
    for seed in 0..6_u64 {
        let mut chance = Chance(seed);
        let (mut disk, config) = limited(false);
        let mut wakeful = open_with(&disk, config.clone());
        let have = fill(&wakeful).await;
        let mut left: Vec<usize> = (0..have).collect();
        let wanted = 36 + chance.below(have - 36);
        let mut deleted = 0;
        while deleted < wanted {
            let first = chance.below(left.len());
            let count = (1 + chance.below(40)).min(left.len() - first);
            let last = large(left[first + count - 1]).key;
            let range = KeyRange::range(large(left[first]).key, [&last[..], b"\0"].concat());
            let reply = within(wakeful.delete(range)).await.unwrap();
            assert_eq!(reply.deleted, count as u64, "seed {seed}");
            left.drain(first..first + count);
            deleted += count;
            if chance.below(3) == 0 {
                within(wakeful.compact(reply.revision)).await.unwrap();
            }
            if chance.below(4) == 0 {
                within(wakeful.stop()).await;
                let space = disk.space();
                disk = disk.kill();
                disk.limit_space(space);
                wakeful = open_with(&disk, config.clone());
            }
        }
        let revision = within(wakeful.status()).await.unwrap().revision;
        within(wakeful.compact(revision)).await.unwrap();
        // All but the content of a segment: whole segments are freed.
        let gone = (0..have).filter(|nth| !left.contains(nth)).take(deleted - 32);
        for nth in gone.collect::<Vec<_>>() {
            set_when_there_is_room(&wakeful, nth).await;
        }
        within(wakeful.stop()).await;
    }
}

/// Regression: a set that makes its key smaller was refused.
#[actix_rt::test]
async fn d8_a_set_that_makes_a_key_smaller_is_not_refused_where_a_delete_is_not() {
    let (disk, config) = limited(true);
    let wakeful = open_with(&disk, config);
    fill(&wakeful).await;
    let small = |nth| SetRequest::new(large(nth).key, "small");
    within(wakeful.set(small(1))).await.unwrap();
    let txn = |set| TxnRequest { success: vec![TxnOp::Set(set)], ..TxnRequest::default() };
    within(wakeful.txn(txn(small(2)))).await.unwrap();
    for refused in [small(1), SetRequest::new("new", "1"), large(3)] {
        for request in [KvRequest::Set(refused.clone()), KvRequest::Txn(txn(refused))] {
            let error = refusal(&wakeful, request).await;
            assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
        }
    }
    within(wakeful.stop()).await;
}

/// Regression: EIO was reported as lack of space.
#[actix_rt::test]
async fn d8_a_segment_that_cannot_be_made_for_another_reason_is_no_want_of_room() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, config(Durability::Fsync));
    disk.fail_creates(true);
    let refused = async {
        for nth in 0.. {
            if let Err(error) = wakeful.set(large(nth)).await {
                return error;
            }
        }
        unreachable!()
    };
    let error = within(refused).await;
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("simulated fault"), "{error}");
    disk.fail_creates(false);
    set_when(&wakeful, 1000, ErrorCode::Unavailable).await;
    within(wakeful.stop()).await;
}

/// A set of small keys takes more in a snapshot than in the log, if many are set at once.
#[actix_rt::test]
async fn d8_small_keys_that_were_deleted_give_their_room_back() {
    let (disk, config) = limited(false);
    let wakeful = open_with(&disk, config);
    let key = |nth: usize| format!("{nth:06}");
    let txn = |nth: usize| {
        let set = |at| TxnOp::Set(SetRequest::new(format!("{nth:06}{at:x}"), ""));
        TxnRequest { success: (0..16).map(set).collect(), ..TxnRequest::default() }
    };
    let mut have = 0;
    while within(wakeful.txn(txn(have))).await.is_ok() {
        have += 1;
    }
    let half = have / 2;
    for from in (0..half).step_by(8) {
        let range = KeyRange::range(key(from), key(half.min(from + 8)));
        let deleted = async {
            // More than the last segment holds waits for a snapshot.
            while let Err(error) = wakeful.delete(range.clone()).await {
                assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
                tokio::task::yield_now().await;
            }
        };
        within(deleted).await;
    }
    let revision = within(wakeful.status()).await.unwrap().revision;
    within(wakeful.compact(revision)).await.unwrap();
    // All but the content of a segment.
    for nth in 0..half / 2 {
        let written = async {
            while let Err(error) = wakeful.txn(txn(nth)).await {
                assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
                tokio::task::yield_now().await;
            }
        };
        within(written).await;
    }
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d8_jobs_that_were_cleared_give_their_room_back() {
    for by_quota in [true, false] {
        let (disk, config) = limited(by_quota);
        let wakeful = open_with(&disk, config);
        let push = || wakeful.push("topic", vec![b'p'; 4000], PushOptions::default());
        let mut have = 0;
        let error = loop {
            match within(push()).await {
                Ok(_) => have += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
        within(wakeful.clear_topic("topic")).await.unwrap();
        // All but the content of two segments.
        for _ in 0..have - 64 {
            let pushed = async {
                while let Err(error) = push().await {
                    assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
                    tokio::task::yield_now().await;
                }
            };
            within(pushed).await;
        }
        within(wakeful.stop()).await;
    }
}

/// Regression: nothing more could be written, so there was no later revision up to which the last one
/// could be compacted.
#[actix_rt::test]
async fn d8_what_the_newest_snapshot_has_of_the_last_revision_is_given_up_too() {
    let (disk, config) = limited(false);
    let wakeful = open_with(&disk, config);
    for nth in 0..40 {
        within(wakeful.set(large(nth))).await.unwrap();
    }
    let deleted = within(wakeful.delete(KeyRange::range("key", "kez"))).await.unwrap();
    within(wakeful.compact(deleted.revision)).await.unwrap();
    let reply = within(wakeful.call(FilesRequest::Snapshot)).await.unwrap();
    let Reply::Snapshot(snapshot) = reply else { panic!("{reply:?}") };
    assert!(snapshot.bytes > 40 * 4000, "it has what was deleted: {snapshot:?}");
    // Another program fills the disk.
    let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
    disk.limit_space(Some(used as u64 + 64 * 1024));
    let compare = Compare {
        range: KeyRange::key("none"),
        op: CompareOp::Greater,
        target: CompareTarget::Version(0),
    };
    let sets_nothing = TxnRequest {
        compares: vec![compare],
        success: vec![TxnOp::Set(large(0))],
        ..TxnRequest::default()
    };
    let error = refusal(&wakeful, KvRequest::Txn(sets_nothing)).await;
    assert_eq!(error.code, ErrorCode::NoSpace);
    set_when_there_is_room(&wakeful, 0).await;
    within(wakeful.stop()).await;
}

/// Random numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}
