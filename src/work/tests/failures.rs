//! Events that cost a job one attempt, and other jobs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;

use super::{LONG, does, hangs, options, queue, until, within, work};
use crate::work::{HandlerOptions, MemoryStorage, NewJob, Queue, ResultKey, Storage, StoredResult};
use crate::{Blob, Error, ErrorCode, JobId, PushOptions, Reservation, Verdict};

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

#[actix_rt::test]
async fn j18_a_panic_loses_only_its_own_attempt() {
    let queue = queue();
    let handler = does(async |job, _| match &*job {
        "at once" => panic!("at once"),
        "later" => {
            tokio::task::yield_now().await;
            panic!("later {}", 1)
        }
        _ => Ok(job),
    });
    let worker = work(&queue, handler, HandlerOptions { concurrency: 1, ..options() });
    queue.add(&["at once", "later", "x"]).await;
    let retry = |error: &str| Verdict::Retry { after: None, error: error.to_owned() };
    let verdicts = queue.settled(3).await;
    assert_eq!(verdicts[..2], [retry("panicked: at once"), retry("panicked: later 1")]);
    assert!(matches!(verdicts[2], Verdict::Done { .. }));
    assert_eq!(worker.stats().panics, 2);
    assert_eq!(within(worker.stop(LONG)).await.stuck, 0);
}

#[actix_rt::test]
async fn j18_what_panics_when_it_is_dropped_harms_nobody() {
    let queue = queue();
    let (told, mut tells) = unbounded_channel();
    let handler = does(move |job, _| {
        let told = told.clone();
        async move {
            if job == "bomb" {
                let _bomb = Bomb;
                told.send(()).unwrap();
                std::future::pending::<()>().await;
            }
            Ok(job)
        }
    });
    let cancel_grace = Duration::from_millis(10);
    let worker =
        work(&queue, handler, HandlerOptions { concurrency: 1, cancel_grace, ..options() });
    let pushed = queue.add(&["bomb", "x"]).await;
    assert_eq!(within(tells.recv()).await, Some(()), "it has begun");
    queue.revoke([Reservation { id: pushed[0].id, epoch: 1 }]);
    assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn j5_a_timeout_is_a_failure() {
    let queue = queue();
    let attempt_timeout = Duration::from_millis(10);
    let worker = work(&queue, hangs(), HandlerOptions { attempt_timeout, ..options() });
    queue.add(&["x"]).await;
    assert_eq!(queue.error().await, "timed out after 10ms");
    assert_eq!((worker.stats().timed_out, worker.stats().failed), (1, 1));
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn a_queue_that_panics_does_not_end_its_worker() {
    struct Panics(Arc<super::Tapped>, AtomicUsize);

    impl Queue for Panics {
        async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<crate::Pushed>, Error> {
            self.0.push(jobs).await
        }

        async fn next(&self, next: crate::work::Next) -> Result<Vec<crate::ReservedJob>, Error> {
            assert!(self.1.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
            self.0.next(next).await
        }

        async fn settle(
            &self,
            settlements: Vec<crate::Settlement>,
        ) -> Result<Vec<Option<Error>>, Error> {
            self.0.settle(settlements).await
        }

        async fn touch(
            &self,
            reservations: Vec<crate::Reservation>,
            visibility: Duration,
        ) -> Result<Vec<Option<Error>>, Error> {
            self.0.touch(reservations, visibility).await
        }

        async fn len(&self) -> Result<u64, Error> {
            self.0.len().await
        }

        async fn clear(&self) -> Result<u64, Error> {
            self.0.clear().await
        }

        async fn close(&self) -> Result<(), Error> {
            self.0.close().await
        }

        fn is_closed(&self) -> bool {
            self.0.is_closed()
        }
    }

    let queue = queue();
    queue.add(&["x"]).await;
    let panics = Panics(Arc::clone(&queue), AtomicUsize::new(0));
    let handler = does(async |job, _| Ok(job));
    let worker = crate::work::start(panics, super::topic(), handler, options()).unwrap();
    assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
    within(worker.stop(LONG)).await;
}

/// Refuses a number of puts, the first by a panic, then accepts one per permit.
pub(super) struct Refuses {
    pub(super) inner: MemoryStorage,
    pub(super) refusals: AtomicUsize,
    pub(super) gate: Semaphore,
}

impl Storage for Refuses {
    async fn put(&self, results: Vec<StoredResult>) -> Result<Vec<Option<Error>>, Error> {
        self.gate.acquire().await.unwrap().forget();
        let left = self.refusals.load(Ordering::SeqCst);
        self.refusals.store(left.saturating_sub(1), Ordering::SeqCst);
        match left {
            0 => self.inner.put(results).await,
            1 => Ok(vec![Some(Error::new(ErrorCode::NoSpace, "full")); results.len()]),
            2 => Err(Error::new(ErrorCode::Unavailable, "gone")),
            _ => panic!("broken"),
        }
    }

    async fn get(&self, key: ResultKey) -> Result<Option<StoredResult>, Error> {
        self.inner.get(key).await
    }

    async fn remove(&self, key: ResultKey) -> Result<bool, Error> {
        self.inner.remove(key).await
    }

    async fn range(&self, after: JobId, limit: usize) -> Result<Vec<StoredResult>, Error> {
        self.inner.range(after, limit).await
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
}

#[actix_rt::test]
async fn j4_a_job_is_done_only_when_its_result_is_recorded() {
    let queue = queue();
    let storage = Arc::new(Refuses {
        inner: MemoryStorage::default(),
        refusals: AtomicUsize::new(3),
        gate: Semaphore::new(4),
    });
    let handler = does(async |job, _| Ok(job));
    let worker = work(&queue, handler, options().with_storage(Arc::clone(&storage)));
    let payload = super::topic().encode(&"x".to_owned()).unwrap();
    let options = PushOptions {
        index: Some(Blob::from("an index")),
        retry_max: Some(3),
        ..PushOptions::default()
    };
    queue.push(vec![NewJob { payload: payload.clone(), options }]).await.unwrap();
    let verdicts = queue.settled(4).await;
    let failed = |error: &str| {
        let error = format!("recording failed: {error}");
        Verdict::Retry { after: None, error }
    };
    assert_eq!(
        verdicts,
        [
            failed("the storage panicked: broken"),
            failed("gone"),
            failed("full"),
            Verdict::Done { output: payload.clone() },
        ]
    );
    let stored = storage.get(ResultKey::Index(Blob::from("an index"))).await.unwrap();
    let index = Some(Blob::from("an index"));
    assert_eq!(stored, Some(StoredResult { id: 1, epoch: 4, index, output: payload, failures: 3 }));
    until("it is counted", || worker.stats().done == 1).await;
    assert_eq!(worker.stats().failed, 3);
    assert_eq!(within(worker.stop(LONG)).await.stuck, 0);
}

#[actix_rt::test]
async fn j5_a_result_that_the_queue_refuses_is_a_failure() {
    let queue = queue();
    queue.refusals.lock().push_back(Error::new(ErrorCode::LimitExceeded, "too large"));
    queue.add(&["x"]).await;
    let worker = work(&queue, does(async |job, _| Ok(job)), options());
    assert_eq!(queue.error().await, "recording failed: too large");
    within(worker.stop(LONG)).await;
}
