//! Workers stop, and nothing holds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use wakeful::work::{self, MemoryStorage, NewJob, Next, Queue, Stopped, Thread, TopicQueue};
use wakeful::{
    Error, ErrorCode, HandlerOptions, JobState, Jobs, PushOptions, Pushed, Reservation,
    ReservedJob, Settlement, TopicSettings, Wakeful,
};

use super::start;
use crate::support::handlers::{
    Gate, LONG, does, echoes, job, patient, push, result, retries, topic,
};
use crate::support::{until, within};

#[actix_rt::test]
async fn s01_a_slow_handler_holds_up_no_other_job() {
    for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
        let (wakeful, gate) = (start(), Gate::new());
        let handler = {
            let gate = gate.clone();
            does(move |job, _| {
                let gate = gate.clone();
                async move {
                    if job == "slow" {
                        gate.pass().await;
                    }
                    Ok(job)
                }
            })
        };
        let options = HandlerOptions { thread, concurrency: 2, ..patient() };
        let worker = wakeful.handle("t", handler, options).unwrap();
        let slow = push(&wakeful, "t", "slow", PushOptions::default()).await;
        for _ in 0..20 {
            let fast = push(&wakeful, "t", "fast", PushOptions::default()).await;
            assert_eq!(result(&wakeful, "t", fast).await.unwrap(), "fast");
        }
        assert_eq!(job(&wakeful, slow).await.state, JobState::Reserved);
        gate.open(1);
        assert_eq!(result(&wakeful, "t", slow).await.unwrap(), "slow");
        within(worker.stop(LONG)).await;
        within(wakeful.stop()).await;
    }
}

/// Number of jobs handled while a queue has none.
const JOBS: usize = 500;

/// The behaviour of a queue without jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Correct.
    Waits,
    SaysNothing,
    Fails,
    /// As in the original design with an unset queue, where a nil was called.
    Panics,
}

/// Counts the requests for jobs.
struct Counted {
    inner: TopicQueue<Wakeful>,
    asked: Asked,
    times: AtomicUsize,
}

impl Queue for Counted {
    async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<Pushed>, Error> {
        self.inner.push(jobs).await
    }

    async fn next(&self, next: Next) -> Result<Vec<ReservedJob>, Error> {
        if self.times.fetch_add(1, Ordering::SeqCst) >= JOBS {
            // A busy loop ends here, so that the test can report it.
            std::future::pending::<()>().await;
        }
        match self.asked {
            Asked::Waits => self.inner.next(next).await,
            Asked::SaysNothing => Ok(Vec::new()),
            Asked::Fails => Err(Error::new(ErrorCode::Unavailable, "not now")),
            Asked::Panics => panic!("no queue"),
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Option<Error>>, Error> {
        self.inner.settle(settlements).await
    }

    async fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> Result<Vec<Option<Error>>, Error> {
        self.inner.touch(reservations, visibility).await
    }

    async fn len(&self) -> Result<u64, Error> {
        self.inner.len().await
    }

    async fn clear(&self) -> Result<u64, Error> {
        self.inner.clear().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

/// A busy loop would ask many times while another worker on the same thread handles one job after
/// another.
#[actix_rt::test]
async fn s02_a_queue_without_jobs_is_not_asked_in_a_circle() {
    for asked in [Asked::Waits, Asked::SaysNothing, Asked::Fails, Asked::Panics] {
        let wakeful = start();
        let inner = TopicQueue::new(wakeful.clone(), "idle");
        let queue = Arc::new(Counted { inner, asked, times: AtomicUsize::new(0) });
        let options = HandlerOptions { wait: LONG, ..patient() };
        let mut idle = work::start(Arc::clone(&queue), "idle", echoes(), options).unwrap();
        let busy = wakeful.handle("busy", echoes(), patient()).unwrap();
        for _ in 0..JOBS {
            let id = push(&wakeful, "busy", "x", PushOptions::default()).await;
            result(&wakeful, "busy", id).await.unwrap();
        }
        let times = queue.times.load(Ordering::SeqCst);
        assert!((1..JOBS / 10).contains(&times), "{asked:?}: asked {times} times");
        // A closed queue is the end, and not an empty answer.
        within(queue.close()).await.unwrap();
        assert_eq!(within(idle.ended()).await, Stopped { stuck: 0 });
        drop(busy);
        within(wakeful.stop()).await;
    }
}

#[actix_rt::test]
async fn s03_a_stop_ends_a_worker_that_waits_for_jobs() {
    let wakeful = start();
    within(wakeful.set_topic("t", TopicSettings::default())).await.unwrap();
    let options = HandlerOptions { wait: LONG, ..patient() };
    let worker = wakeful.handle("t", echoes(), options).unwrap();
    until("it waits", async || topic(&wakeful, "t").await.waiting_workers == 1).await;
    assert_eq!(within(worker.stop(LONG)).await, Stopped { stuck: 0 });
    until("nobody waits", async || topic(&wakeful, "t").await.waiting_workers == 0).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s04_one_stop_ends_every_part_and_what_is_not_set_is_not_used() {
    let (wakeful, storage) = (start(), Arc::new(MemoryStorage::default()));
    // A topic that was never created, a worker without a storage, and one with everything.
    let mut bare = wakeful.handle("bare", echoes(), HandlerOptions::default()).unwrap();
    let options = patient().with_storage(Arc::clone(&storage));
    let mut full = wakeful.handle("full", echoes(), options).unwrap();
    for name in ["bare", "full"] {
        let id = push(&wakeful, name, "x", PushOptions::default()).await;
        assert_eq!(result(&wakeful, name, id).await.unwrap(), "x");
    }
    within(wakeful.stop()).await;
    for worker in [&mut bare, &mut full] {
        assert_eq!(within(worker.ended()).await, Stopped { stuck: 0 });
    }
    drop((bare, full));
    until("the storage is let go", async || Arc::strong_count(&storage) == 1).await;
}

#[actix_rt::test]
async fn s08_a_panic_costs_one_attempt_and_the_worker_goes_on() {
    for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
        let wakeful = start();
        let handler = does(async |job, _| match &*job {
            "boom" => panic!("boom"),
            _ => Ok(job),
        });
        let options = HandlerOptions { thread, concurrency: 1, ..patient() };
        let worker = wakeful.handle("t", handler, options).unwrap();
        let boom = push(&wakeful, "t", "boom", retries(2)).await;
        let fine = push(&wakeful, "t", "fine", PushOptions::default()).await;
        assert_eq!(result(&wakeful, "t", fine).await.unwrap(), "fine");
        let error = result(&wakeful, "t", boom).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::JobDead);
        assert_eq!(job(&wakeful, boom).await.errors, ["panicked: boom"; 3]);
        assert_eq!(worker.stats().panics, 3);
        within(worker.stop(LONG)).await;
        within(wakeful.stop()).await;
    }
}

#[actix_rt::test]
async fn s09_a_handler_that_ignores_its_timeout_blocks_nobody() {
    let wakeful = start();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let handler = does(move |job, _| {
        let released = Arc::clone(&released);
        async move {
            match &*job {
                // Not awaited, so the thread is blocked. An error means that it is released.
                "blocks" => drop(released.lock().recv()),
                "hangs" => std::future::pending().await,
                _ => {}
            }
            Ok(job)
        }
    });
    let short = Duration::from_millis(50);
    let options = HandlerOptions {
        concurrency: 1,
        attempt_timeout: short,
        stuck_after: short,
        ..HandlerOptions::default()
    };
    let worker = wakeful.handle("t", handler, options).unwrap();
    for text in ["hangs", "blocks"] {
        let id = push(&wakeful, "t", text, retries(0)).await;
        let error = result(&wakeful, "t", id).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::JobDead);
        let errors = job(&wakeful, id).await.errors;
        assert!(errors[0].starts_with("timed out after 50ms"), "{errors:?}");
        // A slow machine may take longer than that even for this job.
        let next = push(&wakeful, "t", "x", retries(1_000)).await;
        assert_eq!(result(&wakeful, "t", next).await.unwrap(), "x");
    }
    assert_eq!(worker.stats().stuck, 1, "it is shown as long as it blocks");
    drop(release);
    until("its thread has come back", async || worker.stats().stuck == 0).await;
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}
