//! [`JobHandler`]: the processing of a job, and [`JobError`], its possible failures.

use std::future::Future;
use std::time::Duration;

use super::JobContext;
use crate::model::Verdict;

/// Processes the jobs of a topic; in this process or, unchanged, on another machine.
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
    /// The type of jobs.
    type Job: Send + 'static;
    /// The type of results.
    type Output: Send + 'static;

    /// Processes one job, possibly for the second time: a worker may have been lost before it could
    /// report the result.
    ///
    /// A panic counts as a failure of this job only. Cancel: the future is dropped when its time is
    /// over, when the job was cancelled or lost to another worker, and when the worker stops
    /// without a grace period; [`JobContext::cancelled`] notifies the tasks it has started.
    fn handle(
        &self,
        job: Self::Job,
        cx: &JobContext,
    ) -> impl Future<Output = Result<Self::Output, JobError>> + Send;
}

/// The reason why a job is not done. `?` turns any error into [`Retry`](Self::Retry).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobError {
    /// The job failed: it runs again if retries are left, otherwise it becomes a dead letter.
    Retry {
        /// The delay before the next run; `None` for that of its backoff.
        after: Option<Duration>,
        /// The error message.
        error: String,
    },
    /// The job failed permanently and becomes a dead letter.
    Fail {
        /// The error message.
        error: String,
    },
    /// The job must run later, at no cost.
    Snooze {
        /// The delay before the next run.
        after: Duration,
    },
}

impl JobError {
    /// Returns a failure, with another run after the job's backoff.
    pub fn retry(error: impl Into<String>) -> Self {
        Self::Retry { after: None, error: error.into() }
    }

    /// Returns a failure, with another run after `after`.
    pub fn retry_after(after: Duration, error: impl Into<String>) -> Self {
        Self::Retry { after: Some(after), error: error.into() }
    }

    /// Returns a permanent failure.
    pub fn fail(error: impl Into<String>) -> Self {
        Self::Fail { error: error.into() }
    }

    /// Returns a delay of `after` without a failure.
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

/// Includes the sources, each after a colon. To allow this, [`JobError`] is not a
/// `std::error::Error`.
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
