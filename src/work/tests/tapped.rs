//! [`Tapped`]: a queue whose settlements can be read, and which fails on request.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Blob, Pushed, Reservation, ReservedJob, Settlement, Verdict};
use crate::work::{Bounds, MemoryQueue, NewJob, Next, Queue};
use crate::{Error, ErrorCode};

pub(super) struct Tapped {
    pub(super) inner: MemoryQueue,
    settled: Mutex<Vec<Settlement>>,
    pub(super) touched: Mutex<Vec<Reservation>>,
    /// See [`most_asked`](Self::most_asked).
    most_asked: Mutex<u32>,
    /// Errors that the next calls return.
    pub(super) next_errors: Mutex<VecDeque<Error>>,
    pub(super) settle_errors: Mutex<VecDeque<Error>>,
    /// Answers to single settlements.
    pub(super) refusals: Mutex<VecDeque<Error>>,
    revoked: Mutex<Vec<Reservation>>,
    revoking: Notify,
    pub(super) notes: Mutex<Vec<Blob>>,
}

impl Tapped {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            inner: MemoryQueue::new(bounds),
            settled: Mutex::default(),
            touched: Mutex::default(),
            most_asked: Mutex::default(),
            next_errors: Mutex::default(),
            settle_errors: Mutex::default(),
            refusals: Mutex::default(),
            revoked: Mutex::default(),
            revoking: Notify::new(),
            notes: Mutex::default(),
        }
    }

    /// Pushes texts.
    pub(super) async fn add(&self, texts: &[&str]) -> Vec<Pushed> {
        let topic = super::topic();
        let job = |text: &&str| NewJob::new(topic.encode(&(*text).to_owned()).unwrap());
        self.inner.push(texts.iter().map(job).collect()).await.unwrap()
    }

    /// Returns true if every pushed job is held by a worker.
    pub(super) fn is_taken(&self) -> bool {
        let waiting = futures_util::FutureExt::now_or_never(self.inner.len());
        waiting == Some(Ok(0)) && self.inner.unfinished() > 0
    }

    /// Revokes these reservations.
    pub(super) fn revoke(&self, reservations: impl IntoIterator<Item = Reservation>) {
        self.revoked.lock().extend(reservations);
        self.revoking.notify_one();
    }

    /// Returns the largest number of jobs that one request asked for since the last refused one.
    pub(super) fn most_asked(&self) -> u32 {
        *self.most_asked.lock()
    }

    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        self.settled.lock().iter().map(|settlement| settlement.verdict.clone()).collect()
    }

    /// Waits for `count` accepted settlements.
    pub(super) async fn settled(&self, count: usize) -> Vec<Verdict> {
        super::until("jobs are settled", || self.settled.lock().len() >= count).await;
        self.verdicts()
    }

    /// Returns the error of the only settlement.
    pub(super) async fn error(&self) -> String {
        match &self.settled(1).await[..] {
            [Verdict::Retry { error, .. } | Verdict::Fail { error }] => error.clone(),
            other => panic!("not one failure: {other:?}"),
        }
    }
}

impl Queue for Tapped {
    async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<Pushed>, Error> {
        self.inner.push(jobs).await
    }

    async fn next(&self, next: Next) -> Result<Vec<ReservedJob>, Error> {
        let error = self.next_errors.lock().pop_front();
        match error {
            Some(error) => {
                *self.most_asked.lock() = 0;
                Err(error)
            }
            None => {
                let most = (*self.most_asked.lock()).max(next.credits);
                *self.most_asked.lock() = most;
                self.inner.next(next).await
            }
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Option<Error>>, Error> {
        if let Some(error) = self.settle_errors.lock().pop_front() {
            return Err(error);
        }
        let mut answers = Vec::new();
        for settlement in settlements {
            let refusal = self.refusals.lock().pop_front();
            let answer = match refusal {
                Some(error) => Some(error),
                None => self.inner.settle(vec![settlement.clone()]).await?.pop().flatten(),
            };
            if answer.is_none() {
                self.settled.lock().push(settlement);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> Result<Vec<Option<Error>>, Error> {
        self.touched.lock().extend(&reservations);
        self.inner.touch(reservations, visibility).await
    }

    async fn revoked(&self) -> Result<Vec<Reservation>, Error> {
        self.revoking.notified().await;
        Ok(std::mem::take(&mut *self.revoked.lock()))
    }

    async fn progress(&self, _: Reservation, note: Blob) -> Result<(), Error> {
        self.notes.lock().push(note);
        Ok(())
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

pub(super) fn unavailable() -> Error {
    Error::new(ErrorCode::Unavailable, "not now")
}
