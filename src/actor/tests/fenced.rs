//! J3, D3: visible and lost ids and epochs are not assigned again.

use std::time::Duration;

use futures_util::StreamExt;

use super::{config, open_with, within};
use crate::journal::FaultyDisk;
use crate::{
    Config, Durability, ErrorCode, Jobs, KeyRange, Operations, PushOptions, Reservation,
    ReserveRequest, SetRequest, Settlement, Verdict, Wakeful, WatchItem, WatchRequest,
};

/// A service that returns jobs at once when it stops, and that does not sync by itself.
fn hasty(durability: Durability) -> Config {
    let mut config = config(durability);
    config.rpc.shutdown_grace = Duration::ZERO;
    config
}

#[actix_rt::test]
async fn d1_the_first_write_of_a_start_with_interval_is_shown_to_watches_and_reads() {
    for durability in [Durability::Interval, Durability::Fsync] {
        let store = open_with(&FaultyDisk::new(), hasty(durability));
        let mut watch = within(store.watch(WatchRequest::new(KeyRange::all()))).await.unwrap();
        let set = within(store.set(SetRequest::new("a", "1"))).await.unwrap();
        assert_eq!(within(store.status()).await.unwrap().revision, set.revision);
        let item = within(watch.next()).await.unwrap().unwrap();
        assert!(matches!(item, WatchItem::Events { revision, .. } if revision == set.revision));
        within(store.stop()).await;
    }
}

async fn take(store: &Wakeful, credits: u32) -> Vec<Reservation> {
    let request = ReserveRequest { credits, ..ReserveRequest::new("t") };
    let jobs = within(store.reserve(request)).await.unwrap();
    jobs.iter().map(|job| job.reservation).collect()
}

async fn push(store: &Wakeful, jobs: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(within(store.push("t", "work", PushOptions::default())).await.unwrap().id);
    }
    ids
}

#[actix_rt::test]
async fn j3_no_id_and_no_epoch_that_was_seen_and_lost_is_given_again() {
    for seed in 0..12 {
        let disk = FaultyDisk::new();
        let first = open_with(&disk, hasty(Durability::Interval));
        let mut ids = push(&first, 3).await;
        // What is durable is there; its holder may have lost it to another worker meanwhile.
        let held = take(&first, 1).await;
        within(crate::Operations::snapshot(&first)).await.unwrap();
        let verdict = Verdict::Release;
        let given_back = Settlement { reservation: held[0], verdict };
        within(first.settle(vec![given_back])).await.unwrap();
        ids.extend(push(&first, 3).await);
        let seen = [held, take(&first, 4).await].concat();
        let before = first.store_id();
        let left = match seed {
            0 => disk.kill(),
            _ => disk.cut_power(seed),
        };
        drop(first);
        let mut known = before;
        // However it continues; a stop, or another start, does not restore the former state.
        for durability in [Durability::Fsync, Durability::Interval, Durability::Fsync] {
            let again = open_with(&left, hasty(durability));
            assert_ne!(again.store_id(), before, "{seed}");
            assert!(known == before || known == again.store_id(), "{seed}");
            known = again.store_id();
            for reservation in &seen {
                let done = Verdict::Done { output: "late".into() };
                let late = Settlement { reservation: *reservation, verdict: done };
                let answers = within(again.settle(vec![late])).await.unwrap();
                assert_eq!(answers[0].as_ref().unwrap().code, ErrorCode::StaleReservation);
            }
            let more = push(&again, 4).await;
            assert!(more.iter().all(|id| !ids.contains(id)), "{seed}: {more:?} after {ids:?}");
            let given = take(&again, 100).await;
            assert!(given.len() >= 4 + 3);
            for now in &given {
                let newest = seen.iter().filter(|it| it.id == now.id).map(|it| it.epoch).max();
                assert!(now.epoch > newest.unwrap_or(0), "{seed}: {given:?} after {seen:?}");
            }
            within(again.stop()).await;
        }
    }
}

#[actix_rt::test]
async fn j3_what_is_durable_before_it_is_seen_keeps_its_numbers() {
    let disk = FaultyDisk::new();
    let first = open_with(&disk, hasty(Durability::Fsync));
    assert_eq!(push(&first, 2).await, [1, 2]);
    assert_eq!(take(&first, 1).await, [Reservation { id: 1, epoch: 1 }]);
    let left = disk.cut_power(3);
    let before = first.store_id();
    drop(first);
    let again = open_with(&left, hasty(Durability::Fsync));
    assert_eq!(again.store_id(), before);
    assert_eq!(push(&again, 1).await, [3]);
    assert_eq!(take(&again, 1).await, [Reservation { id: 1, epoch: 2 }]);
    within(again.stop()).await;
}
