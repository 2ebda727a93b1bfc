//! [`JobHandler`]: what is done with a job, and [`JobError`], how it may end otherwise.

use std::future::Future;
use std::time::Duration;

use super::JobContext;
use crate::model::Verdict;

/// Does the jobs of a topic; in this process or, unchanged, on another machine.
///
/// ```
/// use wakeful::{JobContext, JobError, JobHandler};
///
/// struct Shout;
///
/// impl JobHandler for Shout {
///     type Job = String;
///     type Output = String;
///
///     async fn handle(&self, job: String, _: &JobContext) -> Result<String, JobError> {
///         let loudness: usize = job.split(' ').next().unwrap_or("").parse()?;
///         Ok("A".repeat(loudness))
///     }
/// }
/// ```
pub trait JobHandler: Send + Sync + 'static {
    /// What it is given.
    type Job: Send + 'static;
    /// What it makes of it.
    type Output: Send + 'static;

    /// Does one job, perhaps for the second time: a worker that did it may have been lost before it
    /// could say so.
    ///
    /// A panic counts as a failure of this job and of nothing else. Cancel: the future is dropped
    /// when its time is over, when the job was cancelled or lost to another worker, and when the
    /// worker stops without patience; [`JobContext::cancelled`] tells whoever it has started.
    fn handle(
        &self,
        job: Self::Job,
        cx: &JobContext,
    ) -> impl Future<Output = Result<Self::Output, JobError>> + Send;
}

/// Why a job is not done. Any error is turned into [`Retry`](Self::Retry) by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobError {
    /// It failed: another run if there is one left, else a dead letter.
    Retry {
        /// When; `None` as its backoff has it.
        after: Option<Duration>,
        /// Why.
        error: String,
    },
    /// It failed, and will always: a dead letter.
    Fail {
        /// Why.
        error: String,
    },
    /// It is too early: another run later, which costs nothing.
    Snooze {
        /// How much later.
        after: Duration,
    },
}

impl JobError {
    /// A failure, with another run as the job's backoff has it.
    pub fn retry(error: impl Into<String>) -> Self {
        Self::Retry { after: None, error: error.into() }
    }

    /// A failure, with another run after `after`.
    pub fn retry_after(after: Duration, error: impl Into<String>) -> Self {
        Self::Retry { after: Some(after), error: error.into() }
    }

    /// A failure for good.
    pub fn fail(error: impl Into<String>) -> Self {
        Self::Fail { error: error.into() }
    }

    /// Not now, but after `after`.
    pub fn snooze(after: Duration) -> Self {
        Self::Snooze { after }
    }

    pub(super) fn into_verdict(self) -> Verdict {
        match self {
            Self::Retry { after, error } => Verdict::Retry { after, error },
            Self::Fail { error } => Verdict::Fail { error },
            Self::Snooze { after } => Verdict::Snooze { after },
        }
    }
}

/// With its sources, each after a colon. For this, [`JobError`] itself is no `std::error::Error`.
impl<E: std::error::Error> From<E> for JobError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::retry(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no photo")]
    struct NoPhoto(#[source] std::num::ParseIntError);

    #[test]
    fn any_error_is_a_retry_that_tells_its_causes() {
        let fails = || -> Result<u8, JobError> { Ok("x".parse::<u8>().map_err(NoPhoto)?) };
        let expected = JobError::retry("no photo: invalid digit found in string");
        assert_eq!(fails(), Err(expected));
    }
}
