//! Results are found by value, kept within bounds, stored only for successes, and can be read back.

use std::sync::Arc;

use wakeful::work::{Bincode, KeyStorage, MemoryStorage, ResultKey, Schema, Storage};
use wakeful::{
    Config, ErrorCode, JobError, JobState, Jobs, Operations, PushOptions, SetRequest, Wakeful,
};

use super::{Seen, start};
use crate::support::handlers::{
    LONG, does, echoes, job, patient, push, result, retries, texts, topic,
};
use crate::support::{TIMEOUT, within};

fn named(index: &str) -> PushOptions {
    PushOptions { index: Some(index.into()), ..PushOptions::default() }
}

#[actix_rt::test]
async fn s10_an_index_is_the_same_if_it_is_equal() {
    let (wakeful, storage) = (start(), Arc::new(MemoryStorage::default()));
    let id = push(&wakeful, "t", "photo", named(&format!("photo-{}", 17))).await;
    assert_eq!(push(&wakeful, "t", "again", named(&format!("photo-{}", 17))).await, id);
    let options = patient().with_storage(Arc::clone(&storage));
    let worker = wakeful.handle("t", echoes(), options).unwrap();
    let found = texts("t").result_of(&wakeful, format!("photo-{}", 17)).wait(TIMEOUT);
    assert_eq!(within(found).await.unwrap(), "photo");
    let key = ResultKey::Index(format!("photo-{}", 17).into());
    assert_eq!(within(storage.get(key)).await.unwrap().unwrap().id, id);
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s10_results_are_kept_within_bounds() {
    let mut config = Config::new();
    config.queue.outcomes_max = 3;
    let wakeful = Wakeful::start(config).unwrap();
    let storage = Arc::new(MemoryStorage::new(3, 1_000_000));
    let options = patient().with_storage(Arc::clone(&storage));
    let worker = wakeful.handle("t", echoes(), options).unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        let id = push(&wakeful, "t", "x", PushOptions::default()).await;
        result(&wakeful, "t", id).await.unwrap();
        ids.push(id);
    }
    let done = within(wakeful.list_jobs("t", JobState::Done, 0, 0)).await.unwrap();
    assert_eq!(done.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), ids[7..]);
    assert_eq!(topic(&wakeful, "t").await.done_total, 10);
    let kept = within(storage.range(0, 100)).await.unwrap();
    assert_eq!(kept.iter().map(|result| result.id).collect::<Vec<_>>(), ids[7..]);
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s11_what_is_finished_is_not_run_again_at_the_next_start() {
    let (dir, seen) = (tempfile::tempdir().unwrap(), Seen::default());
    let handler = || {
        let seen = seen.clone();
        does(move |job, _| {
            seen.note(&job);
            async move { if job == "bad" { Err(JobError::fail("bad")) } else { Ok(job) } }
        })
    };
    for life in ["good", "bad", "new"] {
        let wakeful = Wakeful::open(Config::new(), dir.path()).unwrap();
        let worker = wakeful.handle("t", handler(), patient()).unwrap();
        let id = push(&wakeful, "t", life, PushOptions::default()).await;
        assert_eq!(result(&wakeful, "t", id).await.is_ok(), life != "bad");
        if life == "new" {
            let counts = topic(&wakeful, "t").await;
            assert_eq!((counts.pushed_total, counts.done_total, counts.dead), (3, 2, 1));
        }
        within(worker.stop(LONG)).await;
        within(wakeful.stop()).await;
    }
    assert_eq!(seen.all(), ["good", "bad", "new"]);
}

#[actix_rt::test]
async fn s11_a_result_that_cannot_be_stored_is_one_failure_of_one_job() {
    let (wakeful, seen, storage) = (start(), Seen::default(), Arc::new(MemoryStorage::default()));
    within(storage.close()).await.unwrap();
    let handler = {
        let seen = seen.clone();
        does(move |job, _| {
            seen.note(&job);
            async { Ok(job) }
        })
    };
    let options = patient().with_storage(Arc::clone(&storage));
    let worker = wakeful.handle("t", handler, options).unwrap();
    let id = push(&wakeful, "t", "x", retries(2)).await;
    let error = result(&wakeful, "t", id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::JobDead);
    assert!(error.message.contains("recording failed"), "{error}");
    assert_eq!(seen.all(), ["x"; 3]);
    assert_eq!(job(&wakeful, id).await.failures, 3);
    let counts = topic(&wakeful, "t").await;
    assert_eq!((counts.pushed_total, counts.dead, counts.done_total), (1, 1, 0));
    assert!(within(storage.is_empty()).await.unwrap());
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s12_what_is_stored_is_read_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let wakeful = Wakeful::open(Config::new(), dir.path()).unwrap();
    let storage = Arc::new(KeyStorage::new(wakeful.clone(), "results/"));
    let options = patient().with_storage(Arc::clone(&storage));
    let worker = wakeful.handle("t", echoes(), options).unwrap();
    let first = push(&wakeful, "t", "one", named("first")).await;
    let second = push(&wakeful, "t", "two", PushOptions::default()).await;
    for id in [first, second] {
        result(&wakeful, "t", id).await.unwrap();
    }
    within(worker.stop(LONG)).await;
    // Closes only itself, and no shared resources.
    within(storage.close()).await.unwrap();
    within(wakeful.set(SetRequest::new("a", "1"))).await.unwrap();
    within(wakeful.stop()).await;

    let wakeful = Wakeful::open(Config::new(), dir.path()).unwrap();
    let storage = KeyStorage::new(wakeful.clone(), "results/");
    let all = within(storage.range(0, 10)).await.unwrap();
    assert_eq!(all.iter().map(|result| result.id).collect::<Vec<_>>(), [first, second]);
    let texts: Vec<String> =
        all.iter().map(|result| Bincode.decode(&result.output).unwrap()).collect();
    assert_eq!(texts, ["one", "two"]);
    let named = within(storage.get(ResultKey::Index("first".into()))).await.unwrap();
    assert_eq!(named.as_ref(), all.first());
    assert_eq!(within(storage.clear()).await.unwrap(), 2);
    assert!(within(storage.is_empty()).await.unwrap());
    within(wakeful.stop()).await;
}
