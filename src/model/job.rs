//! Jobs: what is pushed, handed out and settled, and what there is to tell of it.
//!
//! A job is pushed to a topic, handed out to one worker after another, each time under a new
//! [epoch](Reservation::epoch), until one settles it for good or its budgets are used up.

use std::time::Duration;

use super::Blob;

/// Names a job: from 1 in the order of pushes, never given twice.
pub type JobId = u64;

/// Number of an outcome in the order in which jobs finished, from 1.
pub type OutcomeSeq = u64;

/// Time of day: milliseconds since 1970-01-01 UTC.
pub type UnixMillis = u64;

/// A job to push. [`new`](Self::new) leaves everything but topic and payload to the topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PushRequest {
    /// The topic; made by its first push. 1 to `queue.name_bytes_max` bytes.
    pub topic: Blob,
    /// What the handler gets; at most `queue.payload_bytes_max` bytes.
    pub payload: Blob,
    /// How it is to be done.
    pub options: PushOptions,
}

/// How a job is to be done; what is not said here is as the topic has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PushOptions {
    /// The caller's name for the job, unique in the topic for as long as `unique` says: a push
    /// that finds it taken adds nothing and gets the job that has it.
    pub index: Option<Blob>,
    /// How long the index is taken.
    pub unique: Unique,
    /// Jobs of a topic with the same order key are done in the order of their pushes, and no more
    /// of them at once than [`TopicSettings::order_limit`](super::TopicSettings::order_limit).
    pub order_key: Option<Blob>,
    /// A job goes before those of lower priority that were pushed up to `queue.priority_step` for
    /// each step of the difference before it; so none waits for ever. Not within an order key.
    pub priority: u8,
    /// Not to be handed out before so long from now.
    pub delay: Duration,
    /// How many failures are followed by another run: 0 is one run, then a dead letter.
    pub retry_max: Option<u32>,
    /// How many losses (of a worker, its connection, the server) are followed by another run.
    pub loss_max: Option<u32>,
    /// How long after a failure the next run is.
    pub backoff: Option<Backoff>,
}

/// For how long a job keeps its index to itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Unique {
    /// Until it is handed out for the first time.
    Waiting,
    /// Until it is done, dead or cancelled.
    #[default]
    Unfinished,
    /// Until so long after that.
    Finished(Duration),
}

/// How long after a failure the next run is. Durations from 0 to `queue.delay_max`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// Always so long.
    Constant(Duration),
    /// Drawn evenly between `floor` and `base` doubled with each failure after the first, but no
    /// more than `cap`: full jitter. Source: AWS Architecture Blog, *Exponential Backoff And
    /// Jitter*.
    Exponential {
        /// The longest pause after the first failure.
        base: Duration,
        /// The longest pause after any.
        cap: Duration,
        /// The shortest.
        floor: Duration,
    },
    /// After the first failure the first, and so on; after the last always the last. Not empty.
    List(Vec<Duration>),
}

/// One hand-out of a job. Whoever holds it may settle the job; everyone else is refused with
/// [`StaleReservation`](crate::ErrorCode::StaleReservation). It fences outside effects too: of two
/// with the same id, the one with the lower epoch has lost its right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reservation {
    /// The job.
    pub id: JobId,
    /// One more than at the hand-out before; more than that after an end behind which hand-outs may be
    /// lost.
    pub epoch: u32,
}

/// A job that is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReservedJob {
    /// The right to settle it.
    pub reservation: Reservation,
    /// Its topic.
    pub topic: Blob,
    /// As it was pushed.
    pub payload: Blob,
    /// As it was pushed.
    pub index: Option<Blob>,
    /// As it was pushed.
    pub order_key: Option<Blob>,
    /// Failures so far.
    pub failures: u32,
    /// Losses so far.
    pub losses: u32,
    /// When it was pushed.
    pub pushed: UnixMillis,
}

impl ReservedJob {
    /// Makes a job without an index and an order key that was not handed out before.
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

/// What becomes of a job that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// Which hand-out.
    pub reservation: Reservation,
    /// What becomes of the job.
    pub verdict: Verdict,
}

/// What becomes of a job that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Done {
        /// Kept as its result; at most `queue.output_bytes_max` bytes.
        output: Blob,
    },
    /// It failed: another run if there is one left, else a dead letter.
    Retry {
        /// When; `None` as its backoff has it, zero for at once.
        after: Option<Duration>,
        /// Why; cut off at `queue.error_bytes_max`.
        error: String,
    },
    /// It failed for good: a dead letter.
    Fail {
        /// Why; cut off at `queue.error_bytes_max`.
        error: String,
    },
    /// Another run later; costs nothing.
    Snooze {
        /// How much later.
        after: Duration,
    },
    /// Not done, through no fault of the job (the worker stops): back to the head; costs nothing.
    Release,
}

/// Cuts a text off where it is longer than `bytes_max`, between characters.
pub(crate) fn cut_off(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

impl Verdict {
    /// Cuts the error off where it is longer than `bytes_max`.
    pub(crate) fn cut_error(&mut self, bytes_max: usize) {
        if let Self::Retry { error, .. } | Self::Fail { error } = self {
            cut_off(error, bytes_max);
        }
    }

    /// Bytes of its output, or of its error.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Done { output } => output.len(),
            Self::Retry { error, .. } | Self::Fail { error } => error.len(),
            Self::Snooze { .. } | Self::Release => 0,
        }
    }
}

/// Which job is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobRef {
    /// The one with this id.
    Id(JobId),
    /// The newest with this index in this topic.
    Index {
        /// The topic.
        topic: Blob,
        /// The index.
        index: Blob,
    },
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JobState {
    /// To be handed out as soon as a worker, its topic and its order key allow.
    Ready,
    /// To be ready later.
    Delayed,
    /// Handed out.
    Reserved,
    /// Finished, with a result.
    Done,
    /// Finished, as a dead letter: a budget is used up, or it failed for good.
    Dead,
    /// Finished by [`Cancel`](super::JobRequest::Cancel) or [`ClearTopic`](super::JobRequest::ClearTopic).
    Cancelled,
}

/// What there is to tell of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its id.
    pub id: JobId,
    /// Its topic.
    pub topic: Blob,
    /// Where it is.
    pub state: JobState,
    /// As it was pushed; only where one job was asked for, and until it is done or cancelled.
    pub payload: Option<Blob>,
    /// As it was pushed.
    pub index: Option<Blob>,
    /// As it was pushed.
    pub order_key: Option<Blob>,
    /// As it was pushed.
    pub priority: u8,
    /// The highest under which it may have been handed out; 0 for never.
    pub epoch: u32,
    /// Failures that count against `retry_max`.
    pub failures: u32,
    /// Losses that count against `loss_max`.
    pub losses: u32,
    /// How many failures are followed by another run.
    pub retry_max: u32,
    /// When it was pushed.
    pub pushed: UnixMillis,
    /// When it will be ready, if it is delayed.
    pub due: Option<UnixMillis>,
    /// When it was handed out last.
    pub started: Option<UnixMillis>,
    /// When it finished.
    pub finished: Option<UnixMillis>,
    /// What its worker last said.
    pub progress: Option<Blob>,
    /// Its last errors, oldest first; of a dead letter the last is the reason.
    pub errors: Vec<String>,
    /// Its result, once it is done.
    pub output: Option<Blob>,
    /// Its place among all outcomes, once it is finished; not told of a dead letter that is still kept
    /// as one.
    pub outcome: Option<OutcomeSeq>,
}

impl JobInfo {
    /// Makes a job of which nothing else is known.
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
    /// A job as the topic has it.
    pub fn new(topic: impl Into<Blob>, payload: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), options: PushOptions::default() }
    }
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Delayed, Self::Reserved, Self::Done, Self::Dead, Self::Cancelled];

    /// Whether nothing more comes of it by itself.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}
