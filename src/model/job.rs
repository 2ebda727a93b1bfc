//! Jobs: what can be asked of the queue, and what it answers.
//!
//! A job is pushed to a topic, handed out to one worker after another, each time under a new
//! [epoch](Reservation::epoch), until one settles it for good or its budgets are used up.

use std::time::Duration;

use super::Blob;
use crate::error::Error;

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
    /// of them at once than [`TopicSettings::order_limit`].
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
    /// How often it has been handed out, this time included.
    pub epoch: u32,
}

/// A job that is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Finished by [`JobRequest::Cancel`] or [`JobRequest::ClearTopic`].
    Cancelled,
}

/// How a topic is run. [`TopicSettings::default`] is what a topic has that nobody has set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TopicSettings {
    /// Most jobs handed out at once; `None` for any number.
    pub concurrency: Option<u32>,
    /// How often jobs are handed out at most; `None` for any.
    pub rate: Option<Rate>,
    /// Most unfinished jobs; `None` for `queue.topic_jobs_max`.
    pub jobs_max: Option<u64>,
    /// Most bytes of unfinished jobs; `None` for `queue.topic_bytes_max`.
    pub bytes_max: Option<u64>,
    /// `None` for `queue.retry_max`.
    pub retry_max: Option<u32>,
    /// `None` for `queue.loss_max`.
    pub loss_max: Option<u32>,
    /// `None` for exponential, from `queue.backoff_base`, `_cap` and `_floor`.
    pub backoff: Option<Backoff>,
    /// Most jobs of one order key at once; `None` for 1, which keeps them in order.
    pub order_limit: Option<u32>,
    /// What the others of its order key do while a job waits for its next run.
    pub order_retry: OrderRetry,
}

/// How often jobs are handed out at most: a bucket of `burst` tokens that fills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// So many jobs, at least 1.
    pub jobs: u32,
    /// In so long, at least a millisecond.
    pub per: Duration,
    /// So many at once after a quiet time, at least 1.
    pub burst: u32,
}

/// What the others of its order key do while a job waits for its next run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OrderRetry {
    /// They wait too: order is kept.
    #[default]
    Block,
    /// They go on without it.
    Skip,
}

/// A job that is pushed again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Its name; setting another under the same name replaces it.
    pub name: Blob,
    /// When: `minute hour day month weekday`, with a field of seconds in front if there are six.
    pub cron: String,
    /// The IANA name of the zone whose clock counts, as in `Europe/Berlin`.
    pub timezone: String,
    /// What is pushed. Its delay counts from the time of the schedule.
    pub push: PushRequest,
}

/// What can be asked of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobRequest {
    /// Pushes jobs, all or none of them.
    Push {
        /// 1 to `queue.push_jobs_max`.
        jobs: Vec<PushRequest>,
        /// How long to wait for room in a topic that is [full](crate::ErrorCode::Full); zero: not
        /// at all.
        wait: Duration,
    },
    /// Asks for jobs to do. Answered with at least one, or none after `wait`.
    Reserve(ReserveRequest),
    /// Settles jobs, each by itself. Answered when what became of them is recorded.
    Settle(Vec<Settlement>),
    /// Holds on to jobs: the visibility timeout of each starts anew.
    Touch {
        /// Which.
        reservations: Vec<Reservation>,
        /// `None` for the one it was reserved with.
        visibility: Option<Duration>,
    },
    /// Tells how far a job is. Not recorded: lost with the server.
    Progress {
        /// Which.
        reservation: Reservation,
        /// What to show; at most `queue.progress_bytes_max` bytes.
        progress: Blob,
    },
    /// Asks which reservations of the caller (its connection) ended without it: cancelled, or not
    /// touched in time. Answered with at least one, or none after `wait`.
    Revoked {
        /// `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Tells of a job.
    Get(JobRef),
    /// Waits until a job is finished, and tells of it; after `wait`, of what it is then.
    Await {
        /// Which.
        job: JobRef,
        /// `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Tells what became of the jobs of a topic, in the order in which they finished. Answered with
    /// at least one, or none after `wait`.
    Outcomes {
        /// The topic.
        topic: Blob,
        /// Only those after this one; `None` for those to come.
        after: Option<OutcomeSeq>,
        /// At most so many; 0 for `queue.list_jobs_max`.
        limit: usize,
        /// `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Lists jobs of a topic that are in one state, in order of id; those that are done or
    /// cancelled in the order in which they became so.
    List {
        /// The topic.
        topic: Blob,
        /// The state.
        state: JobState,
        /// What the page before said; 0 for the first.
        after: u64,
        /// At most so many; 0 for `queue.list_jobs_max`.
        limit: usize,
    },
    /// Cancels a job, waiting or handed out. Its worker learns by [`Revoked`](Self::Revoked), or
    /// when it settles or touches it.
    Cancel(JobRef),
    /// Makes dead letters ready again, their budgets full again.
    Replay {
        /// Of this topic.
        topic: Blob,
        /// This one; `None` for the oldest, as many as one turn allows (`queue.slice_max`).
        id: Option<JobId>,
    },
    /// Says how a topic is run.
    SetTopic {
        /// The topic; made if need be.
        topic: Blob,
        /// How.
        settings: Box<TopicSettings>,
    },
    /// Stops or resumes the hand-out of a topic's jobs.
    PauseTopic {
        /// The topic; made if need be.
        topic: Blob,
        /// Whether it is to stop.
        paused: bool,
    },
    /// Cancels jobs of a topic that wait, the oldest first, as many as one turn allows
    /// (`queue.slice_max`).
    ClearTopic(Blob),
    /// Tells of a topic.
    Topic(Blob),
    /// Lists topics in order of name.
    Topics {
        /// Only names above this; empty for the first.
        after: Blob,
        /// At most so many; 0 for `queue.list_jobs_max`.
        limit: usize,
    },
    /// Sets a schedule.
    SetSchedule(Box<Schedule>),
    /// Ends the schedule of this name.
    RemoveSchedule(Blob),
    /// Lists schedules in order of name.
    Schedules,
}

/// Asks for jobs to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReserveRequest {
    /// Of this topic.
    pub topic: Blob,
    /// At most so many, 1 to `queue.credits_max`.
    pub credits: u32,
    /// How long to wait for the first; `None` for `queue.wait_default`, zero: not at all.
    pub wait: Option<Duration>,
    /// How long the jobs are held without a touch before they are somebody else's; `None` for
    /// `queue.visibility_default`.
    pub visibility: Option<Duration>,
}

/// What the queue answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobReply {
    /// To [`JobRequest::Push`]: one for each, in order.
    Pushed(Vec<Pushed>),
    /// To [`JobRequest::Reserve`].
    Reserved(Vec<ReservedJob>),
    /// To [`JobRequest::Settle`], [`JobRequest::Touch`] and [`JobRequest::Progress`]: one for each,
    /// in order; `None` is done, an error (as `StaleReservation`) has changed nothing.
    Settled(Vec<Option<Error>>),
    /// To [`JobRequest::Revoked`].
    Revoked(Vec<Reservation>),
    /// To [`JobRequest::Get`], [`JobRequest::Await`] and [`JobRequest::Cancel`].
    Job(Box<JobInfo>),
    /// To [`JobRequest::Outcomes`] and [`JobRequest::List`].
    Jobs(JobPage),
    /// To [`JobRequest::Replay`], [`JobRequest::ClearTopic`] and [`JobRequest::RemoveSchedule`].
    Changed {
        /// How many jobs, or schedules, were changed.
        count: u64,
        /// Whether there are more, for another request.
        more: bool,
    },
    /// To [`JobRequest::SetTopic`], [`JobRequest::PauseTopic`] and [`JobRequest::Topic`].
    Topic(Box<TopicInfo>),
    /// To [`JobRequest::Topics`].
    Topics {
        /// In order of name.
        topics: Vec<TopicInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// To [`JobRequest::SetSchedule`] and [`JobRequest::Schedules`].
    Schedules(Vec<ScheduleInfo>),
}

/// A push that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The job; another's if its index was taken.
    pub id: JobId,
    /// Where that job is.
    pub state: JobState,
    /// Whether the index was taken, so that nothing was pushed.
    pub existing: bool,
}

/// Jobs, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobPage {
    /// Without their payloads.
    pub jobs: Vec<JobInfo>,
    /// What to ask for after these: an id, or of outcomes the number of one.
    pub after: u64,
    /// Whether there may be more by now.
    pub more: bool,
}

/// What there is to tell of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How often it was handed out.
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
    /// Its place among all outcomes, once it is finished.
    pub outcome: Option<OutcomeSeq>,
}

/// What there is to tell of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Blob,
    /// As set.
    pub settings: TopicSettings,
    /// Whether nothing is handed out.
    pub paused: bool,
    /// Jobs to be handed out, those that wait for their order key included.
    pub ready: u64,
    /// Jobs to be ready later.
    pub delayed: u64,
    /// Jobs handed out.
    pub reserved: u64,
    /// Dead letters kept.
    pub dead: u64,
    /// Bytes of its unfinished jobs.
    pub bytes: u64,
    /// Jobs pushed, ever.
    pub pushed_total: u64,
    /// Jobs done, ever.
    pub done_total: u64,
    /// Jobs that became dead letters, ever, less those replayed.
    pub dead_total: u64,
    /// Jobs cancelled or cleared, ever.
    pub cancelled_total: u64,
    /// Dead letters given up for room or age, ever.
    pub evicted_total: u64,
    /// How long the oldest ready job has been so.
    pub oldest: Duration,
    /// Pushed in the last ten seconds.
    pub pushed_recent: u64,
    /// Finished in the last ten seconds.
    pub finished_recent: u64,
    /// Workers that wait for jobs.
    pub waiting_workers: u64,
}

/// What there is to tell of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleInfo {
    /// As set.
    pub schedule: Schedule,
    /// When it pushes next; `None` if not within `queue.schedule_ahead_max`, and so never again.
    pub next: Option<UnixMillis>,
    /// How often it has pushed.
    pub pushed: u64,
    /// How often it could not, as its topic was full.
    pub missed: u64,
}

impl PushRequest {
    /// A job as the topic has it.
    pub fn new(topic: impl Into<Blob>, payload: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), options: PushOptions::default() }
    }
}

impl ReserveRequest {
    /// One job at a time, waiting as long as `queue.wait_default`.
    pub fn new(topic: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), credits: 1, wait: None, visibility: None }
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

impl JobRequest {
    /// Whether its answer may take as long as the caller allows.
    pub fn parks(&self) -> bool {
        match self {
            Self::Push { wait, .. } => !wait.is_zero(),
            Self::Reserve(reserve) => reserve.wait != Some(Duration::ZERO),
            Self::Revoked { wait } | Self::Await { wait, .. } | Self::Outcomes { wait, .. } => {
                *wait != Some(Duration::ZERO)
            }
            _ => false,
        }
    }

    /// Whether it settles or holds on to what was handed out, which a service that stops still
    /// takes.
    pub fn concludes(&self) -> bool {
        matches!(self, Self::Settle(_) | Self::Touch { .. } | Self::Progress { .. })
    }

    /// Whether it changes nothing: it may be sent again.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Get(_)
                | Self::Await { .. }
                | Self::Outcomes { .. }
                | Self::List { .. }
                | Self::Topic(_)
                | Self::Topics { .. }
                | Self::Schedules
        )
    }
}
