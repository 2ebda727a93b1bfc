//! Jobs in this process: the rules for queues and storages, and how workers end with their service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use wakeful::work::conformance;
use wakeful::work::{KeyStorage, TopicQueue};
use wakeful::{
    Config, ErrorCode, HandlerOptions, JobId, JobState, Jobs, PushOptions, ReserveRequest, Wakeful,
};

use super::within;
use crate::support::handlers::{Gate, LONG, does, echoes, job, patient, push};
use crate::support::until;

/// For tests with jobs that are never settled: a stop does not wait for them.
fn short_of_grace() -> Config {
    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_millis(20);
    config
}

/// Checks every rule, on a topic and keys that no other test uses.
async fn keeps_every_rule(wakeful: Wakeful) {
    let made = AtomicU64::new(0);
    let fresh = || made.fetch_add(1, Ordering::Relaxed);
    let queue = async || TopicQueue::new(wakeful.clone(), format!("topic-{}", fresh()));
    assert_eq!(conformance::queue(queue).await, Ok(()));
    let storage = async || KeyStorage::new(wakeful.clone(), format!("results/{}/", fresh()));
    assert_eq!(conformance::storage(storage).await, Ok(()));
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn topics_and_keys_in_memory_keep_every_rule_of_a_queue_and_a_storage() {
    keeps_every_rule(Wakeful::start(short_of_grace()).unwrap()).await;
}

#[actix_rt::test]
async fn topics_and_keys_with_a_journal_keep_every_rule_of_a_queue_and_a_storage() {
    let dir = tempfile::tempdir().unwrap();
    keeps_every_rule(Wakeful::open(short_of_grace(), dir.path()).unwrap()).await;
}

/// Returns the state of a job and its costs: state, failures, losses.
async fn cost(wakeful: &Wakeful, id: JobId) -> (JobState, u32, u32) {
    let job = job(wakeful, id).await;
    (job.state, job.failures, job.losses)
}

/// One handler runs, one job is held behind it, one waits: all three are there after a restart.
#[actix_rt::test]
async fn j19_a_stop_lets_a_handler_finish_and_gives_back_what_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.rpc.shutdown_grace = LONG;
    let wakeful = Wakeful::open(config.clone(), dir.path()).unwrap();
    let (go_on, gate) = mpsc::channel::<()>();
    let (gate, begun) = (Arc::new(Mutex::new(gate)), Arc::new(Mutex::new(Vec::new())));
    let handler = {
        let begun = Arc::clone(&begun);
        does(move |job, _| {
            begun.lock().push(job.clone());
            // Blocks the thread that the others would run on. An error means that it is released.
            let _ = gate.lock().recv();
            async { Ok(job) }
        })
    };
    let mut ids = Vec::new();
    for text in ["runs", "held", "waits"] {
        ids.push(push(&wakeful, "t", text, PushOptions::default()).await);
    }
    let options = HandlerOptions { concurrency: 2, ..patient() };
    let mut worker = wakeful.handle("t", handler, options).unwrap();
    until("two are held", async || worker.stats().running == 2).await;
    until("one has begun", async || begun.lock().len() == 1).await;

    let stopping = wakeful.stop();
    let releasing = async {
        // At once, although the running one has its whole grace period left.
        until("the other is given back", async || worker.stats().released == 1).await;
        let refused = wakeful.handle("t", echoes(), patient()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unavailable);
        go_on.send(()).unwrap();
    };
    within(async { tokio::join!(stopping, releasing) }).await;
    assert_eq!(within(worker.ended()).await.stuck, 0);
    assert_eq!(*begun.lock(), ["runs"]);

    let again = Wakeful::open(config, dir.path()).unwrap();
    assert_eq!(cost(&again, ids[0]).await, (JobState::Done, 0, 0));
    assert_eq!(cost(&again, ids[1]).await, (JobState::Ready, 0, 0));
    assert_eq!(cost(&again, ids[2]).await, (JobState::Ready, 0, 0));
    assert_eq!(job(&again, ids[1]).await.epoch, 1, "it was handed out");
    within(again.stop()).await;
}

#[actix_rt::test]
async fn j19_what_does_not_finish_in_the_grace_goes_back_at_no_cost() {
    let dir = tempfile::tempdir().unwrap();
    let wakeful = Wakeful::open(short_of_grace(), dir.path()).unwrap();
    let never = Gate::new();
    let handler = does(move |job, _| {
        let never = never.clone();
        async move {
            never.pass().await;
            Ok(job)
        }
    });
    let none = PushOptions { retry_max: Some(0), loss_max: Some(0), ..PushOptions::default() };
    let id = push(&wakeful, "t", "x", none).await;
    let worker = wakeful.handle("t", handler, patient()).unwrap();
    until("it runs", async || worker.stats().running == 1).await;
    within(wakeful.stop()).await;
    assert_eq!(worker.stats().released, 1);
    let again = Wakeful::open(short_of_grace(), dir.path()).unwrap();
    assert_eq!(cost(&again, id).await, (JobState::Ready, 0, 0));
    within(again.stop()).await;
}

/// The call is dropped while the job is on its way to it, whether it waited for the job or found
/// it.
#[actix_rt::test]
async fn j1_a_reserve_that_is_dropped_with_its_answer_gives_its_jobs_back_at_no_cost() {
    let wakeful = Wakeful::start(short_of_grace()).unwrap();
    let reserve = |wait| ReserveRequest { wait: Some(wait), ..ReserveRequest::new("t") };
    let none = || PushOptions { loss_max: Some(0), ..PushOptions::default() };
    let mut dropped = Box::pin(wakeful.reserve(reserve(LONG)));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    let id = push(&wakeful, "t", "x", none()).await;
    assert_eq!(job(&wakeful, id).await.state, JobState::Reserved, "it is on its way");
    drop(dropped);
    until("it is back", async || job(&wakeful, id).await.state == JobState::Ready).await;

    let mut dropped = Box::pin(wakeful.reserve(reserve(Duration::ZERO)));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    assert_eq!(job(&wakeful, id).await.state, JobState::Reserved, "it is on its way");
    drop(dropped);
    let jobs = within(wakeful.reserve(reserve(LONG))).await.unwrap();
    assert_eq!((jobs[0].reservation.epoch, jobs[0].losses, jobs[0].failures), (3, 0, 0));
    within(wakeful.stop()).await;
}
