//! [`QueueError`]: the refusals of the queue. A refused request has changed nothing.

use crate::error::{Details, Error, ErrorCode};
use crate::fair::{ClientId, FairShares};
use crate::model::{Blob, JobId, JobRef, Reservation};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("{0}")]
    Invalid(String),
    #[error("{what}: the limit {name} is {max}; nothing was changed")]
    Limit { name: &'static str, max: u64, what: &'static str },
    /// A limit of a topic, or of the queue as a whole, is reached.
    #[error("{} is full: {name} is {max}; push with a wait for room, or when jobs are done", place(.topic))]
    Full { topic: Option<Blob>, name: &'static str, max: u64 },
    #[error(
        "`{cron}` does not come within the next {days} days, the limit of a search \
         (queue.schedule_ahead_max); use a date that exists"
    )]
    Never { cron: String, days: u64, max_ms: u64 },
    #[error(
        "job {} is no longer held under epoch {}: it was settled, cancelled, or not touched in time",
        .0.id, .0.epoch
    )]
    Stale(Reservation),
    #[error("no job is known {0}; it was never pushed, or its outcome is no longer kept")]
    JobNotFound(String),
    #[error("there is no topic `{0}`; `topics` lists them")]
    TopicNotFound(Blob),
    #[error("there is no schedule `{0}`; `schedules` lists them")]
    ScheduleNotFound(Blob),
    #[error("topic {topic} has no dead letter with the id {id}; `job dead` lists those it has")]
    NotDead { topic: Blob, id: JobId },
    #[error("job {0} is finished; only one that waits or runs can be cancelled")]
    JobFinished(JobId),
    #[error("job {0} is not finished; cancel it to free its index")]
    JobUnfinished(JobId),
    #[error("topic {topic} is in use: {by}; {advice}; nothing was changed")]
    TopicInUse { topic: Blob, by: String, advice: &'static str },
    #[error("outcomes before number {first} are no longer kept; go on after {}", first - 1)]
    OutcomesGone { first: u64 },
    #[error(
        "outcome {after} is still to come, the newest is {newest}; leave the number out to go on from \
         there"
    )]
    FutureOutcome { after: u64, oldest: u64, newest: u64 },
    #[error("the result was not recorded, so the job runs again: {0}")]
    NotRecorded(String),
    #[error("the service is stopping; nothing was changed")]
    Stopping,
    #[error("the deadline passed before the request was begun; nothing was changed")]
    DeadlineExceeded,
    #[error("cancelled by the caller")]
    Cancelled,
}

/// Returns the name of what is full.
fn place(topic: &Option<Blob>) -> String {
    topic.as_ref().map_or("the queue".to_owned(), |topic| format!("topic {topic}"))
}

impl QueueError {
    pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self::Invalid(message.into()))
    }

    /// Checks that `value` is at most `max`.
    pub(super) fn limit(
        name: &'static str,
        max: usize,
        value: usize,
        what: &'static str,
    ) -> Result<(), Self> {
        if value <= max {
            return Ok(());
        }
        Err(Self::Limit { name, max: max as u64, what })
    }

    /// Checks that `client` may hold `more` of what `shares` counts, of at most `max` in all; `full` is
    /// the message of the refusal if all of it is in use.
    pub(super) fn share(
        shares: &FairShares<ClientId>,
        client: ClientId,
        more: usize,
        name: &'static str,
        max: usize,
        full: &'static str,
    ) -> Result<(), Self> {
        let max = max as u64;
        let checked = shares.check(client, more as u64, max);
        checked.map_err(|excess| Self::Limit { name, max, what: excess.what(full) })
    }

    pub(crate) fn not_found(job: &JobRef) -> Self {
        Self::JobNotFound(match job {
            JobRef::Id(id) => format!("by the id {id}"),
            JobRef::Index { topic, index } => format!("by the index `{index}` in topic {topic}"),
        })
    }
}

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        let message = error.to_string();
        let (code, details) = match error {
            QueueError::Invalid(_) => (ErrorCode::InvalidArgument, Details::None),
            QueueError::Limit { name, max, .. } => {
                (ErrorCode::LimitExceeded, Details::Limit { name: name.to_owned(), value: max })
            }
            QueueError::Full { name, max, .. } => {
                (ErrorCode::Full, Details::Limit { name: name.to_owned(), value: max })
            }
            QueueError::Never { max_ms, .. } => {
                let name = "queue.schedule_ahead_max".to_owned();
                (ErrorCode::InvalidArgument, Details::Limit { name, value: max_ms })
            }
            QueueError::Stale(_) => (ErrorCode::StaleReservation, Details::None),
            QueueError::JobNotFound(_) | QueueError::NotDead { .. } => {
                (ErrorCode::JobNotFound, Details::None)
            }
            QueueError::TopicNotFound(_) => (ErrorCode::TopicNotFound, Details::None),
            QueueError::ScheduleNotFound(_) => (ErrorCode::ScheduleNotFound, Details::None),
            QueueError::JobFinished(_) => (ErrorCode::JobFinished, Details::None),
            QueueError::JobUnfinished(_) => (ErrorCode::JobUnfinished, Details::None),
            QueueError::TopicInUse { .. } => (ErrorCode::TopicInUse, Details::None),
            QueueError::OutcomesGone { first } => {
                (ErrorCode::Compacted, Details::Resume { revision: first - 1 })
            }
            QueueError::FutureOutcome { oldest, newest, .. } => {
                (ErrorCode::FutureRevision, Details::Revisions { oldest, current: newest })
            }
            QueueError::NotRecorded(_) | QueueError::Stopping => {
                (ErrorCode::Unavailable, Details::None)
            }
            QueueError::DeadlineExceeded => (ErrorCode::DeadlineExceeded, Details::None),
            QueueError::Cancelled => (ErrorCode::Cancelled, Details::None),
        };
        Self::new(code, message).with_details(details)
    }
}
