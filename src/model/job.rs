//! Jobs: as pushed, as handed out, as settled, and as reported.
//!
//! A job is pushed to a topic and handed out to one worker after another, each time with a new
//! [epoch](Reservation::epoch), until a worker settles it for good or its budgets are used up.

use std::time::Duration;

use super::Blob;

/// Identifies a job: counts from 1 in the order of pushes and is never reused.
pub type JobId = u64;

/// Number of an outcome, from 1, in the order in which jobs finished.
pub type OutcomeSeq = u64;

/// Time of day: milliseconds since 1970-01-01 UTC.
pub type UnixMillis = u64;

/// A job to push. [`new`](Self::new) leaves everything except topic and payload to the topic's
/// settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PushRequest {
    /// The topic, created by its first push. 1 to `queue.name_bytes_max` bytes.
    pub topic: Blob,
    /// The input of the handler; up to `queue.payload_bytes_max` bytes.
    pub payload: Blob,
    /// How to run the job.
    pub options: PushOptions,
}

/// How to run a job. Options that are not set come from the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PushOptions {
    /// The caller's name for the job, unique in the topic for the time that `unique` states: a push
    /// with an index that is taken adds nothing and returns the job that holds the index.
    pub index: Option<Blob>,
    /// How long the index is taken.
    pub unique: Unique,
    /// Jobs of a topic with the same order key run in the order of their pushes, at most
    /// [`TopicSettings::order_limit`](super::TopicSettings::order_limit) at once.
    pub order_key: Option<Blob>,
    /// A job goes before jobs of lower priority that were pushed up to `queue.priority_step` earlier
    /// for each step of difference, so none waits for ever. Has no effect within an order key.
    pub priority: u8,
    /// The shortest time before the job is handed out.
    pub delay: Duration,
    /// How many failures are followed by another run: with 0, the first failure makes a dead letter.
    pub retry_max: Option<u32>,
    /// How many losses (of a worker, its connection or the server) are followed by another run.
    pub loss_max: Option<u32>,
    /// The delay between a failure and the next run.
    pub backoff: Option<Backoff>,
}

/// How long a job holds its index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Unique {
    /// Until the job is handed out for the first time.
    Waiting,
    /// Until the job is done, dead or cancelled.
    #[default]
    Unfinished,
    /// For this long after the job finishes.
    Finished(Duration),
}

/// The delay between a failure and the next run. Durations from 0 to `queue.delay_max`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// The same delay every time.
    Constant(Duration),
    /// A random delay, uniform between `floor` and `base` doubled with each failure after the first,
    /// but at most `cap`: full jitter. Source: AWS Architecture Blog, *Exponential Backoff And Jitter*.
    Exponential {
        /// The longest delay after the first failure.
        base: Duration,
        /// The longest delay after any failure.
        cap: Duration,
        /// The shortest delay.
        floor: Duration,
    },
    /// The n-th entry follows the n-th failure; the last one repeats. Not empty.
    List(Vec<Duration>),
}

/// One hand-out of a job. Its holder may settle the job; everyone else is refused with
/// [`StaleReservation`](crate::ErrorCode::StaleReservation). A reservation also fences effects outside
/// of the queue: of two with the same id, the one with the lower epoch is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reservation {
    /// The job.
    pub id: JobId,
    /// One higher than at the previous hand-out; more than that after an unclean end, before which
    /// hand-outs may have been lost.
    pub epoch: u32,
}

/// A job that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReservedJob {
    /// The right to settle it.
    pub reservation: Reservation,
    /// The job's topic.
    pub topic: Blob,
    /// The payload, as pushed.
    pub payload: Blob,
    /// The index, as pushed.
    pub index: Option<Blob>,
    /// The order key, as pushed.
    pub order_key: Option<Blob>,
    /// Failures so far.
    pub failures: u32,
    /// Losses so far.
    pub losses: u32,
    /// Time of the push.
    pub pushed: UnixMillis,
}

impl ReservedJob {
    /// Creates a job without index and order key that is handed out for the first time.
    pub fn new(reservation: Reservation, topic: impl Into<Blob>, payload: impl Into<Blob>) -> Self {
        Self {
            reservation,
            topic: topic.into(),
            payload: payload.into(),
            index: None,
            order_key: None,
            failures: 0,
            losses: 0,
            pushed: 0,
        }
    }
}

/// The verdict on a job that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The hand-out that is settled.
    pub reservation: Reservation,
    /// The verdict on the job.
    pub verdict: Verdict,
}

/// The result of a job that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The job is done.
    Done {
        /// The job's result; up to `queue.output_bytes_max` bytes.
        output: Blob,
    },
    /// The job failed: it runs again if its budget allows, otherwise it becomes a dead letter.
    Retry {
        /// The delay before the next run; `None` for the job's backoff, zero for at once.
        after: Option<Duration>,
        /// The reason; cut off at `queue.error_bytes_max`.
        error: String,
    },
    /// The job failed for good and becomes a dead letter.
    Fail {
        /// The reason; cut off at `queue.error_bytes_max`.
        error: String,
    },
    /// The job runs again later; this uses up no budget.
    Snooze {
        /// The delay.
        after: Duration,
    },
    /// Not done, through no fault of the job (the worker stops): the job returns to the head of its
    /// topic; this uses up no budget.
    Release,
}

/// Cuts off a text that is longer than `bytes_max`, at a character boundary.
pub(crate) fn cut_off(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

impl Verdict {
    /// Cuts off an error that is longer than `bytes_max`.
    pub(crate) fn cut_error(&mut self, bytes_max: usize) {
        if let Self::Retry { error, .. } | Self::Fail { error } = self {
            cut_off(error, bytes_max);
        }
    }

    /// Returns the bytes of the output or of the error.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Done { output } => output.len(),
            Self::Retry { error, .. } | Self::Fail { error } => error.len(),
            Self::Snooze { .. } | Self::Release => 0,
        }
    }
}

/// Names a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobRef {
    /// The job with this id.
    Id(JobId),
    /// The newest job with this index in this topic.
    Index {
        /// The topic.
        topic: Blob,
        /// The index.
        index: Blob,
    },
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JobState {
    /// Waits to be handed out as soon as a worker, its topic and its order key allow.
    Ready,
    /// Becomes ready later.
    Delayed,
    /// Handed out.
    Reserved,
    /// Finished, with a result.
    Done,
    /// Finished as a dead letter: a budget is used up, or the job failed for good.
    Dead,
    /// Finished by [`Cancel`](super::JobRequest::Cancel) or [`ClearTopic`](super::JobRequest::ClearTopic).
    Cancelled,
}

/// A description of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// Id of the job.
    pub id: JobId,
    /// The job's topic.
    pub topic: Blob,
    /// The job's state.
    pub state: JobState,
    /// The payload, as pushed. Only in the answer about a single job, and until the job is done or
    /// cancelled.
    pub payload: Option<Blob>,
    /// The index, as pushed.
    pub index: Option<Blob>,
    /// The order key, as pushed.
    pub order_key: Option<Blob>,
    /// The priority, as pushed.
    pub priority: u8,
    /// The highest epoch with which the job may have been handed out; 0 for never.
    pub epoch: u32,
    /// Failures that count against `retry_max`.
    pub failures: u32,
    /// Losses that count against `loss_max`.
    pub losses: u32,
    /// How many failures are followed by another run.
    pub retry_max: u32,
    /// Time of the push.
    pub pushed: UnixMillis,
    /// When a delayed job becomes ready.
    pub due: Option<UnixMillis>,
    /// Time of the last hand-out.
    pub started: Option<UnixMillis>,
    /// When the job finished.
    pub finished: Option<UnixMillis>,
    /// The last progress that the worker reported.
    pub progress: Option<Blob>,
    /// The last errors, oldest first; the last error of a dead letter is its reason.
    pub errors: Vec<String>,
    /// The result of a job that is done.
    pub output: Option<Blob>,
    /// The number of the job's outcome once the job is finished; `None` for a dead letter that is still
    /// kept.
    pub outcome: Option<OutcomeSeq>,
}

impl JobInfo {
    /// Makes a description with nothing but these values.
    pub fn new(id: JobId, topic: impl Into<Blob>, state: JobState) -> Self {
        Self {
            id,
            topic: topic.into(),
            state,
            payload: None,
            index: None,
            order_key: None,
            priority: 0,
            epoch: 0,
            failures: 0,
            losses: 0,
            retry_max: 0,
            pushed: 0,
            due: None,
            started: None,
            finished: None,
            progress: None,
            errors: Vec::new(),
            output: None,
            outcome: None,
        }
    }
}

impl PushRequest {
    /// Makes a job with the options of its topic.
    pub fn new(topic: impl Into<Blob>, payload: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), options: PushOptions::default() }
    }
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Delayed, Self::Reserved, Self::Done, Self::Dead, Self::Cancelled];

    /// Returns whether the state is final unless a user acts.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}
