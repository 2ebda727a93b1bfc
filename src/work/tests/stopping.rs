//! The end of a worker, and that it leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::failures::Refuses;
use super::{LONG, TEST_TIMEOUT, does, hangs, options, queue, topic, until, within, work};
use crate::work::{
    Cancelled, HandlerOptions, JobHandler, MemoryStorage, Queue, Stopped, Storage, Thread, start,
};
use crate::{Config, ErrorCode, Verdict, Wakeful};

/// Returns a handler that reports its start, and waits for a permit. (A job that a worker holds may
/// not have begun, and then goes back at once.)
fn waits(
    begun: &Arc<Semaphore>,
    gate: &Arc<Semaphore>,
) -> impl JobHandler<Job = String, Output = String> {
    let (begun, gate) = (Arc::clone(begun), Arc::clone(gate));
    does(move |job, _| {
        begun.add_permits(1);
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(job)
        }
    })
}

#[actix_rt::test]
async fn a_stop_of_an_idle_worker_does_not_wait_for_jobs() {
    let queue = queue();
    let worker = work(&queue, hangs(), options());
    assert_eq!(within(worker.stop(LONG)).await, Stopped { stuck: 0 });
    // A worker that is gone takes none of the jobs it requested.
    queue.add(&["x"]).await;
    assert_eq!(queue.len().await, Ok(1));
}

#[actix_rt::test]
async fn a_drain_lets_finish_what_runs_and_takes_no_more() {
    let queue = queue();
    let [begun, gate] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let handler = waits(&begun, &gate);
    let worker = work(&queue, handler, HandlerOptions { concurrency: 2, ..options() });
    queue.add(&["a", "b", "c"]).await;
    within(begun.acquire_many(2)).await.unwrap().forget();
    let stopping = worker.stop(LONG);
    tokio::pin!(stopping);
    assert!(futures_util::poll!(stopping.as_mut()).is_pending());
    gate.add_permits(3);
    within(stopping).await;
    assert_eq!(queue.verdicts().len(), 2);
    assert!(queue.verdicts().iter().all(|verdict| matches!(verdict, Verdict::Done { .. })));
    assert_eq!((queue.len().await, queue.inner.unfinished()), (Ok(1), 1));
}

#[actix_rt::test]
async fn j4_a_drain_waits_for_results_to_be_recorded() {
    let queue = queue();
    let storage = Arc::new(Refuses {
        inner: MemoryStorage::default(),
        refusals: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    });
    let options = options().with_storage(Arc::clone(&storage));
    let worker = work(&queue, does(async |job, _| Ok(job)), options);
    queue.add(&["a"]).await;
    until("its handler has ended", || worker.stats().running == 0 && queue.is_taken()).await;
    let stopping = worker.stop(LONG);
    tokio::pin!(stopping);
    assert!(futures_util::poll!(stopping.as_mut()).is_pending());
    storage.gate.add_permits(1);
    within(stopping).await;
    assert!(matches!(queue.verdicts()[..], [Verdict::Done { .. }]));
    assert_eq!(storage.len().await, Ok(1));
}

#[actix_rt::test]
async fn j5_what_does_not_finish_in_the_grace_is_given_back_at_no_cost() {
    for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
        let queue = queue();
        let (told, mut tells) = mpsc::unbounded_channel();
        let begun = Arc::new(Semaphore::new(0));
        let begins = Arc::clone(&begun);
        let handler = does(move |_, cx| {
            let told = told.clone();
            begins.add_permits(1);
            async move {
                // Outlives the handler's future.
                actix_rt::spawn({
                    let cx = cx.clone();
                    async move { told.send(cx.cancelled().await) }
                });
                std::future::pending().await
            }
        });
        let worker = work(&queue, handler, HandlerOptions { thread, ..options() });
        queue.add(&["a", "b"]).await;
        within(begun.acquire_many(2)).await.unwrap().forget();
        within(worker.stop(Duration::from_millis(10))).await;
        assert_eq!(queue.verdicts(), [Verdict::Release, Verdict::Release]);
        assert_eq!(queue.len().await, Ok(2));
        if thread == Thread::Here {
            assert_eq!(within(tells.recv()).await, Some(Cancelled::Stopping));
        }
    }
}

#[actix_rt::test]
async fn j5_a_dropped_worker_gives_back_what_it_holds_without_being_waited_for() {
    let queue = queue();
    let worker = work(&queue, hangs(), options());
    queue.add(&["a"]).await;
    until("it runs", || worker.stats().running == 1).await;
    drop(worker);
    assert_eq!(queue.settled(1).await, [Verdict::Release]);
}

#[actix_rt::test]
async fn a_worker_ends_with_its_queue() {
    let queue = queue();
    let mut worker = work(&queue, hangs(), options());
    queue.close().await.unwrap();
    assert_eq!(within(worker.ended()).await, Stopped { stuck: 0 });
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn a_worker_of_a_wakeful_ends_with_it() {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let mut worker = wakeful.handle("tests", hangs(), options()).unwrap();
    within(wakeful.stop()).await;
    within(worker.ended()).await;
}

#[actix_rt::test]
async fn options_without_sense_are_refused() {
    let refused =
        |options: HandlerOptions| start(queue(), topic(), hangs(), options).unwrap_err().code;
    assert_eq!(refused(HandlerOptions { concurrency: 0, ..options() }), ErrorCode::InvalidArgument);
    let many = HandlerOptions { concurrency: 10_000, thread: Thread::Blocking, ..options() };
    assert_eq!(refused(many), ErrorCode::InvalidArgument);
}

/// Set in a process that runs one test only: threads can be counted only there.
const ALONE: &str = "WAKEFUL_TEST_ALONE";

#[test]
#[cfg(target_os = "linux")]
fn e2_no_thread_of_a_worker_outlives_its_stop() {
    let this = "work::tests::stopping::e2_no_thread_of_a_worker_outlives_its_stop";
    if std::env::var_os(ALONE).is_none() {
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args([this, "--exact", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    actix_rt::System::new().block_on(async move {
        let before = threads();
        for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
            let queue = queue();
            let options = HandlerOptions { thread, stuck_after: TEST_TIMEOUT, ..options() };
            let options = options.with_storage(MemoryStorage::default());
            let worker = work(&queue, does(async |job, _| Ok(job)), options);
            queue.add(&["x"; 20]).await;
            queue.settled(20).await;
            assert!(threads() > before);
            assert_eq!(within(worker.stop(LONG)).await, Stopped { stuck: 0 });
            // The kernel needs a moment to remove an ended thread from its list.
            until("its threads are gone", || threads() == before).await;
            assert_eq!(Arc::strong_count(&queue), 1, "an actor is left that has the queue");
        }
    });
}
