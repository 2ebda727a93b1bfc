//! Jobs through the actors: in memory, on a journal, across restarts.

use std::time::Duration;

use super::{config, open_with, until, within};
use crate::journal::FaultyDisk;
use crate::{
    Blob, Config, Durability, ErrorCode, JobRef, JobState, Jobs, PushOptions, PushRequest,
    ReserveRequest, ReservedJob, Settlement, Unique, Verdict, Wakeful,
};

/// Jobs that are still held are returned at once when the service stops.
fn hasty(mut config: Config) -> Config {
    config.rpc.shutdown_grace = Duration::ZERO;
    config
}

const SOON: Option<Duration> = Some(Duration::from_millis(1));
const LONG: Option<Duration> = Some(Duration::from_secs(60));

async fn push(wakeful: &Wakeful, payload: &str) -> u64 {
    within(wakeful.push("t", payload, PushOptions::default())).await.unwrap().id
}

async fn take(wakeful: &Wakeful, credits: u32, wait: Option<Duration>) -> Vec<ReservedJob> {
    let request = ReserveRequest { credits, wait, ..ReserveRequest::new("t") };
    within(wakeful.reserve(request)).await.unwrap()
}

fn done(job: &ReservedJob, output: &str) -> Settlement {
    let verdict = Verdict::Done { output: output.into() };
    Settlement { reservation: job.reservation, verdict }
}

#[actix_rt::test]
async fn j1_a_job_is_pushed_handed_out_and_done() {
    let wakeful = Wakeful::start(hasty(Config::new())).unwrap();
    let id = push(&wakeful, "work").await;
    let jobs = take(&wakeful, 5, LONG).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].reservation.id, &*jobs[0].payload), (id, &b"work"[..]));
    let waiting = wakeful.clone();
    let result = actix_rt::spawn(async move { waiting.await_job(JobRef::Id(id), LONG).await });
    let answers = within(wakeful.settle(vec![done(&jobs[0], "result")])).await.unwrap();
    assert_eq!(answers, [None]);
    let info = within(result).await.unwrap().unwrap();
    assert_eq!((info.state, info.output), (JobState::Done, Some("result".into())));
    let again = within(wakeful.settle(vec![done(&jobs[0], "result")])).await.unwrap();
    assert_eq!(again[0].as_ref().unwrap().code, ErrorCode::StaleReservation);
    let topic = within(wakeful.topic_info("t")).await.unwrap();
    assert_eq!((topic.pushed_total, topic.done_total, topic.reserved), (1, 1, 0));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn j1_a_reserve_waits_for_a_push() {
    let wakeful = Wakeful::start(hasty(Config::new())).unwrap();
    let waiting = wakeful.clone();
    let taken = actix_rt::spawn(async move { take(&waiting, 1, LONG).await });
    let waits = || async {
        let topic = wakeful.topic_info("t").await;
        topic.is_ok_and(|topic| topic.waiting_workers == 1)
    };
    while !within(waits()).await {}
    push(&wakeful, "late").await;
    assert_eq!(within(taken).await.unwrap().len(), 1);
    assert_eq!(take(&wakeful, 1, SOON).await, []);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn j3_a_dropped_reserve_gives_its_jobs_back_without_cost() {
    let wakeful = Wakeful::start(hasty(Config::new())).unwrap();
    let waiting = wakeful.clone();
    let taken = actix_rt::spawn(async move { take(&waiting, 1, LONG).await });
    let count = || async { wakeful.topic_info("t").await.map_or(0, |it| it.waiting_workers) };
    while within(count()).await == 0 {}
    taken.abort();
    while within(count()).await == 1 {}
    let id = push(&wakeful, "kept").await;
    let jobs = take(&wakeful, 1, LONG).await;
    assert_eq!((jobs[0].reservation.id, jobs[0].losses), (id, 0));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn j2_what_was_acknowledged_is_there_after_a_restart() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, hasty(config(Durability::Fsync)));
    let ids: Vec<u64> = {
        let mut ids = Vec::new();
        for payload in ["a", "b", "c", "d"] {
            ids.push(push(&wakeful, payload).await);
        }
        ids
    };
    let jobs = take(&wakeful, 2, LONG).await;
    within(wakeful.settle(vec![done(&jobs[0], "out")])).await.unwrap();
    // One is done, one is handed out, two wait; then the power fails.
    let left = disk.cut_power(7);
    drop(wakeful);
    let again = open_with(&left, hasty(config(Durability::Fsync)));
    let info = within(again.get_job(JobRef::Id(ids[0]))).await.unwrap();
    assert_eq!((info.state, info.output), (JobState::Done, Some("out".into())));
    let jobs = take(&again, 5, LONG).await;
    let found: Vec<(u64, u32, u32)> =
        jobs.iter().map(|job| (job.reservation.id, job.reservation.epoch, job.losses)).collect();
    assert_eq!(found, [(ids[1], 2, 1), (ids[2], 1, 0), (ids[3], 1, 0)]);
    within(again.stop()).await;
    // A stop uses up no budget.
    let third = open_with(&left, hasty(config(Durability::Fsync)));
    let jobs = take(&third, 5, LONG).await;
    let losses: Vec<u32> = jobs.iter().map(|job| job.losses).collect();
    assert_eq!(losses, [1, 0, 0]);
    within(third.stop()).await;
}

#[actix_rt::test]
async fn j2_a_snapshot_has_jobs_and_outcomes() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, hasty(config(Durability::Fsync)));
    let first = push(&wakeful, "first").await;
    let jobs = take(&wakeful, 1, LONG).await;
    within(wakeful.settle(vec![done(&jobs[0], "out")])).await.unwrap();
    let options = PushOptions {
        index: Some("once".into()),
        unique: Unique::Finished(Duration::from_secs(60)),
        delay: Duration::from_secs(3600),
        ..PushOptions::default()
    };
    let delayed = within(wakeful.push("t", "later", options.clone())).await.unwrap();
    within(crate::Operations::snapshot(&wakeful)).await.unwrap();
    let second = push(&wakeful, "second").await;
    within(wakeful.stop()).await;
    let again = open_with(&disk, hasty(config(Durability::Fsync)));
    let info = within(again.get_job(JobRef::Id(first))).await.unwrap();
    assert_eq!((info.state, info.outcome), (JobState::Done, Some(1)));
    let twice = within(again.push("t", "later", options)).await.unwrap();
    assert_eq!((twice.id, twice.existing, twice.state), (delayed.id, true, JobState::Delayed));
    let jobs = take(&again, 5, LONG).await;
    assert_eq!(jobs.iter().map(|job| job.reservation.id).collect::<Vec<_>>(), [second]);
    within(again.stop()).await;
}

#[actix_rt::test]
async fn j2_nothing_is_answered_or_handed_out_before_it_is_durable() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, hasty(config(Durability::Fsync)));
    push(&wakeful, "first").await;
    disk.hold_syncs(true);
    let pushing = wakeful.clone();
    let pushed = actix_rt::spawn(async move { push(&pushing, "second").await });
    let taking = wakeful.clone();
    let taken = actix_rt::spawn(async move { take(&taking, 5, LONG).await });
    until("a sync begins", || disk.syncs_held() == 1).await;
    assert!(!pushed.is_finished() && !taken.is_finished());
    disk.hold_syncs(false);
    within(pushed).await.unwrap();
    assert!(!within(taken).await.unwrap().is_empty());
    within(wakeful.stop()).await;
}

/// Regression: a job was reported before the disk had it.
#[actix_rt::test]
async fn j2_a_job_is_not_told_of_before_it_is_durable() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, hasty(config(Durability::Fsync)));
    let first = push(&wakeful, "first").await;
    disk.hold_syncs(true);
    let pushing = wakeful.clone();
    let pushed = actix_rt::spawn(async move { push(&pushing, "second").await });
    until("a sync begins", || disk.syncs_held() == 1).await;
    let asking = wakeful.clone();
    let job = JobRef::Id(first + 1);
    let told = actix_rt::spawn(async move { asking.await_job(job, Some(Duration::ZERO)).await });
    // This request comes after the other.
    let asking = wakeful.clone();
    let list = actix_rt::spawn(async move { asking.topics().await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!pushed.is_finished() && !told.is_finished() && !list.is_finished());
    disk.hold_syncs(false);
    within(pushed).await.unwrap();
    assert_eq!(within(told).await.unwrap().unwrap().state, JobState::Ready);
    within(wakeful.stop()).await;
}

/// Regression: four workers that came and went before the disk had the hand-outs made a dead letter of
/// a job that no worker had seen.
#[actix_rt::test]
async fn j17_a_job_whose_worker_was_not_told_of_it_costs_nothing() {
    let disk = FaultyDisk::new();
    let wakeful = open_with(&disk, hasty(config(Durability::Fsync)));
    push(&wakeful, "work").await;
    for _ in 0..5 {
        disk.hold_syncs(true);
        let worker = wakeful.for_worker();
        let taking = actix_rt::spawn(async move { take(&worker, 1, LONG).await });
        until("a sync begins", || disk.syncs_held() == 1).await;
        taking.abort();
        let _ = taking.await;
        disk.hold_syncs(false);
        until("nothing is held", || disk.syncs_held() == 0).await;
    }
    let jobs = take(&wakeful, 1, LONG).await;
    assert_eq!((jobs[0].losses, jobs[0].failures), (0, 0));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn j9_a_push_waits_for_room() {
    let mut config = Config::new();
    config.queue.topic_jobs_max = 1;
    let wakeful = Wakeful::start(hasty(config)).unwrap();
    push(&wakeful, "first").await;
    let full = within(wakeful.push("t", "second", PushOptions::default())).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::Full);
    let pushing = wakeful.clone();
    let jobs = vec![PushRequest::new("t", "second")];
    let pushed =
        actix_rt::spawn(async move { pushing.push_all(jobs, Duration::from_secs(60)).await });
    let jobs = take(&wakeful, 1, LONG).await;
    assert!(!pushed.is_finished());
    within(wakeful.settle(vec![done(&jobs[0], "")])).await.unwrap();
    within(pushed).await.unwrap().unwrap();
    assert_eq!(take(&wakeful, 1, LONG).await[0].payload, Blob::from("second"));
    within(wakeful.stop()).await;
}

/// The answer is there, but was never read.
#[actix_rt::test]
async fn j5_a_job_that_came_for_a_dropped_reserve_comes_again_at_no_cost() {
    let wakeful = Wakeful::start(hasty(Config::new())).unwrap();
    let request = ReserveRequest { wait: LONG, ..ReserveRequest::new("t") };
    let mut reserve = Box::pin(wakeful.reserve(request));
    assert!(futures_util::poll!(&mut reserve).is_pending());
    push(&wakeful, "work").await;
    assert_eq!(within(wakeful.topic_info("t")).await.unwrap().reserved, 1);
    drop(reserve);
    let jobs = take(&wakeful, 1, LONG).await;
    assert_eq!((jobs[0].reservation.epoch, jobs[0].losses), (2, 0));
    within(wakeful.stop()).await;
}
