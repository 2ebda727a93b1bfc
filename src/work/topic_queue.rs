//! [`TopicQueue`]: a topic of a Wakeful, in this process or over the wire, as a [`Queue`].

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

use super::{NewJob, Next, Queue};
use crate::error::{Error, ErrorCode};
use crate::jobs::Jobs;
use crate::model::{
    Blob, PushRequest, Pushed, Reservation, ReserveRequest, ReservedJob, Settlement,
};

/// A topic of a Wakeful, in memory or with a journal, in this process or of a
/// [`Client`](crate::Client).
pub struct TopicQueue<T> {
    jobs: T,
    topic: Blob,
    closed: watch::Sender<bool>,
    /// Returns true if the service has ended for good.
    gone: fn(&T) -> bool,
}

impl<T: Jobs> TopicQueue<T> {
    /// Returns the topic of this name, which its first push creates.
    pub fn new(jobs: T, topic: impl Into<Blob>) -> Self {
        Self { jobs, topic: topic.into(), closed: watch::Sender::new(false), gone: |_| false }
    }

    /// Returns the same queue, which also counts as closed when `gone` returns true.
    pub(crate) fn until(self, gone: fn(&T) -> bool) -> Self {
        Self { gone, ..self }
    }

    fn check_open(&self) -> Result<(), Error> {
        if *self.closed.borrow() { Err(closed()) } else { Ok(()) }
    }
}

impl<T: Jobs + Send + 'static> Queue for TopicQueue<T> {
    async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<Pushed>, Error> {
        self.check_open()?;
        let request = |job: NewJob| PushRequest {
            topic: self.topic.clone(),
            payload: job.payload,
            options: job.options,
        };
        self.jobs.push_all(jobs.into_iter().map(request).collect(), Duration::ZERO).await
    }

    async fn next(&self, next: Next) -> Result<Vec<ReservedJob>, Error> {
        let Next { credits, wait, visibility } = next;
        let topic = self.topic.clone();
        let (wait, visibility) = (Some(wait), Some(visibility));
        let mut closing = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|closed| *closed) => Err(closed()),
            jobs = self.jobs.reserve(ReserveRequest { topic, credits, wait, visibility }) => jobs,
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Option<Error>>, Error> {
        self.jobs.settle(settlements).await
    }

    async fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> Result<Vec<Option<Error>>, Error> {
        self.jobs.touch(reservations, Some(visibility)).await
    }

    async fn revoked(&self) -> Result<Vec<Reservation>, Error> {
        self.jobs.revoked(None).await
    }

    async fn progress(&self, reservation: Reservation, note: Blob) -> Result<(), Error> {
        self.jobs.progress(reservation, note).await
    }

    async fn len(&self) -> Result<u64, Error> {
        match self.jobs.topic_info(self.topic.clone()).await {
            Ok(info) => Ok(info.ready + info.delayed),
            Err(error) if error.code == ErrorCode::TopicNotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    async fn clear(&self) -> Result<u64, Error> {
        self.jobs.clear_topic(self.topic.clone()).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.send_replace(true);
        Ok(())
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow() || (self.gone)(&self.jobs)
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorCode::Unavailable, "the queue is closed")
}

impl<T> fmt::Debug for TopicQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicQueue").field(&self.topic).finish()
    }
}
