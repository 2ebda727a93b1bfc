//! Every implementation passes the suite, and defective ones fail.

use std::sync::Arc;
use std::time::Duration;

use crate::work::conformance;
use crate::work::{
    Bounds, MemoryQueue, MemoryStorage, NewJob, Next, Queue, ResultKey, Storage, StoredResult,
};
use crate::{Error, JobId, Pushed, Reservation, ReservedJob, Settlement};

#[actix_rt::test]
async fn a_memory_queue_keeps_every_rule() {
    let kept = conformance::queue(async || MemoryQueue::new(Bounds::default())).await;
    assert_eq!(kept, Ok(()));
}

#[actix_rt::test]
async fn a_memory_storage_keeps_every_rule() {
    let kept = conformance::storage(async || Arc::new(MemoryStorage::default())).await;
    assert_eq!(kept, Ok(()));
}

#[test]
fn a_memory_storage_gives_up_the_oldest_past_its_bounds() {
    let storage = MemoryStorage::new(2, 10);
    let put = |id: JobId, output: &str| {
        let result = StoredResult { id, epoch: 1, index: None, output: output.into(), failures: 0 };
        futures_util::FutureExt::now_or_never(storage.put(vec![result])).unwrap().unwrap();
    };
    let ids = || {
        let all = futures_util::FutureExt::now_or_never(storage.range(0, 10)).unwrap().unwrap();
        all.into_iter().map(|result| result.id).collect::<Vec<_>>()
    };
    put(1, "a");
    put(2, "b");
    put(3, "c");
    assert_eq!(ids(), [2, 3]);
    put(4, "ten bytes.");
    assert_eq!(ids(), [4]);
}

/// A queue with a defect.
struct Defective {
    inner: MemoryQueue,
    defect: Defect,
}

#[derive(Clone, Copy)]
enum Defect {
    /// Like Faktory: accepts any acknowledgement of a job, whatever its epoch.
    TakesAnyone,
    HandsOutTooMany,
    CountsWhatIsHeld,
    ForgetsToWake,
}

impl Queue for Defective {
    async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<Pushed>, Error> {
        self.inner.push(jobs).await
    }

    async fn next(&self, mut next: Next) -> Result<Vec<ReservedJob>, Error> {
        match self.defect {
            Defect::HandsOutTooMany => next.credits += 1,
            Defect::ForgetsToWake => next.wait = Duration::ZERO,
            _ => {}
        }
        self.inner.next(next).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Option<Error>>, Error> {
        let mut answers = self.inner.settle(settlements).await?;
        if matches!(self.defect, Defect::TakesAnyone) {
            answers.fill(None);
        }
        Ok(answers)
    }

    async fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> Result<Vec<Option<Error>>, Error> {
        self.inner.touch(reservations, visibility).await
    }

    async fn len(&self) -> Result<u64, Error> {
        match self.defect {
            Defect::CountsWhatIsHeld => Ok(self.inner.unfinished() as u64),
            _ => self.inner.len().await,
        }
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

/// Returns the rule that a queue with this defect violates.
async fn broken(defect: Defect) -> &'static str {
    let make = async || Defective { inner: MemoryQueue::new(Bounds::default()), defect };
    conformance::queue(make).await.unwrap_err().rule
}

#[actix_rt::test]
async fn a_broken_queue_is_told_which_rule_it_breaks() {
    assert_eq!(broken(Defect::TakesAnyone).await, "a_job_that_is_done_does_not_come_again");
    assert_eq!(broken(Defect::HandsOutTooMany).await, "no_more_come_than_are_asked_for");
    assert_eq!(broken(Defect::CountsWhatIsHeld).await, "len_counts_what_waits");
    assert_eq!(broken(Defect::ForgetsToWake).await, "a_push_wakes_who_waits");
}

/// A storage with a defect.
struct Careless(MemoryStorage, Carelessness);

#[derive(Clone, Copy)]
enum Carelessness {
    /// Finds a result by the very same handle only, not by an equal one.
    ForgetsIndexes,
    TakesAnyEpoch,
}

impl Storage for Careless {
    async fn put(&self, mut results: Vec<StoredResult>) -> Result<Vec<Option<Error>>, Error> {
        for result in &mut results {
            match self.1 {
                Carelessness::ForgetsIndexes => result.index = None,
                Carelessness::TakesAnyEpoch => {
                    self.0.remove(ResultKey::Id(result.id)).await?;
                }
            }
        }
        self.0.put(results).await
    }

    async fn get(&self, key: ResultKey) -> Result<Option<StoredResult>, Error> {
        self.0.get(key).await
    }

    async fn remove(&self, key: ResultKey) -> Result<bool, Error> {
        self.0.remove(key).await
    }

    async fn range(&self, after: JobId, limit: usize) -> Result<Vec<StoredResult>, Error> {
        self.0.range(after, limit).await
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
}

#[actix_rt::test]
async fn a_broken_storage_is_told_which_rule_it_breaks() {
    for (carelessness, rule) in [
        (Carelessness::ForgetsIndexes, "what_is_put_is_got_by_id_and_by_index"),
        (Carelessness::TakesAnyEpoch, "an_older_hand_out_does_not_replace_a_result"),
    ] {
        let make = async || Careless(MemoryStorage::default(), carelessness);
        assert_eq!(conformance::storage(make).await.unwrap_err().rule, rule);
    }
}
