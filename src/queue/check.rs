//! Checks of requests for validity and against the limits.

use std::time::Duration;

use super::{QueueError, QueueState, micros};
use crate::fair::ClientId;
use crate::model::{Backoff, Blob, PushOptions, PushRequest, TopicSettings, Unique};
use crate::time::Micros;

/// The text of a refusal when no more requests may wait.
pub(super) const TOO_MANY_WAIT: &str = "too many requests wait already";

impl QueueState {
    pub(super) fn check_push(&self, push: &PushRequest) -> Result<(), QueueError> {
        self.check_name("topic", &push.topic)?;
        let (max, bytes) = (self.config.payload_bytes_max, push.payload.len());
        let what = "the payload is too large; store it elsewhere and push its location";
        QueueError::limit("queue.payload_bytes_max", max, bytes, what)?;
        let PushOptions { index, unique, order_key, delay, backoff, .. } = &push.options;
        for (what, name) in [("index", index), ("order key", order_key)] {
            if let Some(name) = name {
                self.check_name(what, name)?;
            }
        }
        if let Unique::Finished(after) = unique {
            self.check_delay(*after)?;
        }
        self.check_delay(*delay)?;
        backoff.as_ref().map_or(Ok(()), |backoff| self.check_backoff(backoff))
    }

    pub(super) fn check_name(&self, what: &str, name: &Blob) -> Result<(), QueueError> {
        if name.is_empty() {
            return QueueError::invalid(format!("the {what} is empty; name it"));
        }
        let max = self.config.name_bytes_max;
        QueueError::limit("queue.name_bytes_max", max, name.len(), "the name is too long")
    }

    pub(super) fn check_settings(&self, settings: &TopicSettings) -> Result<(), QueueError> {
        if let Some(rate) = settings.rate
            && (rate.jobs == 0 || rate.burst == 0 || rate.per < Duration::from_millis(1))
        {
            return QueueError::invalid(
                "a rate is at least 1 job and 1 of burst in at least 1 ms; to stop a topic, pause it",
            );
        }
        if settings.concurrency == Some(0) || settings.order_limit == Some(0) {
            return QueueError::invalid(
                "concurrency and order limit are at least 1; to stop a topic, pause it",
            );
        }
        if let Some(rate) = settings.rate {
            self.check_delay(rate.per)?;
        }
        settings.backoff.as_ref().map_or(Ok(()), |backoff| self.check_backoff(backoff))
    }

    fn check_backoff(&self, backoff: &Backoff) -> Result<(), QueueError> {
        match backoff {
            Backoff::Constant(pause) => self.check_delay(*pause),
            Backoff::Exponential { base, cap, floor } => {
                [base, cap, floor].into_iter().try_for_each(|it| self.check_delay(*it))
            }
            Backoff::List(pauses) if pauses.is_empty() => {
                QueueError::invalid("a list of delays needs at least one")
            }
            Backoff::List(pauses) => {
                let (max, count) = (self.config.backoff_pauses_max, pauses.len());
                let what = "too many delays; the last one repeats";
                QueueError::limit("queue.backoff_pauses_max", max, count, what)?;
                pauses.iter().try_for_each(|it| self.check_delay(*it))
            }
        }
    }

    pub(super) fn check_delay(&self, delay: Duration) -> Result<(), QueueError> {
        self.check_duration("queue.delay_max", self.config.delay_max, delay)
    }

    pub(super) fn check_visibility(&self, visibility: Duration) -> Result<Micros, QueueError> {
        if visibility < Duration::from_millis(1) {
            return QueueError::invalid("a visibility timeout is at least 1 ms");
        }
        self.check_duration("queue.visibility_max", self.config.visibility_max, visibility)?;
        Ok(micros(visibility))
    }

    pub(crate) fn check_wait(&self, wait: Option<Duration>) -> Result<Duration, QueueError> {
        let wait = wait.unwrap_or(self.config.wait_default.min(self.config.wait_max));
        self.check_duration("queue.wait_max", self.config.wait_max, wait)?;
        Ok(wait)
    }

    fn check_duration(
        &self,
        name: &'static str,
        max: Duration,
        duration: Duration,
    ) -> Result<(), QueueError> {
        if duration <= max {
            return Ok(());
        }
        let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        Err(QueueError::Limit { name, max, what: "the time is too long (the limit is in ms)" })
    }

    pub(crate) fn check_count(&self, count: usize) -> Result<(), QueueError> {
        let what = "too many at once; ask in several requests";
        QueueError::limit("queue.push_jobs_max", self.config.push_jobs_max, count, what)
    }

    /// Checks that one more request may wait.
    pub(super) fn check_parked(&self, client: ClientId) -> Result<(), QueueError> {
        let (waiting, max) = (&self.parked.waiting, self.config.parked_max);
        QueueError::share(waiting, client, 1, "queue.parked_max", max, TOO_MANY_WAIT)
    }
}
