//! What can be asked of the queue, and what it answers.

use std::time::Duration;

use super::facts::DiskUse;
use super::{
    Blob, JobId, JobInfo, JobRef, JobState, OutcomeSeq, PushRequest, Reservation, ReservedJob,
    Schedule, ScheduleInfo, Settlement, TopicInfo, TopicSettings,
};
use crate::error::Error;

/// What can be asked of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// Resumes reservations of a lost connection, or of before a restart of the server: those that
    /// are not lost are the connection's from now on, and the visibility timeout of each starts anew.
    /// Whoever asks, be it without a reservation, announces that it resumes: what is handed out to
    /// its connection from then on stays reserved for `queue.resume_grace` when that is lost.
    Resume(Vec<Reservation>),
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
        /// Only those after this one; `None` for those to come. One that is still to come itself is
        /// refused as [`FutureRevision`](crate::ErrorCode::FutureRevision).
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
    /// Deletes dead letters for good. Their outcomes stay, and their indexes for as long as they are
    /// taken.
    DeleteDead {
        /// Of this topic.
        topic: Blob,
        /// This one; `None` for the oldest, as many as one turn allows (`queue.slice_max`).
        id: Option<JobId>,
    },
    /// Frees the index of a finished job, so that the next push of it makes a new job. Answered with
    /// a count of 0 if it was free; refused as [`JobUnfinished`](crate::ErrorCode::JobUnfinished)
    /// while a job that is not finished has it.
    FreeIndex {
        /// The topic.
        topic: Blob,
        /// The index.
        index: Blob,
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
    /// Deletes a topic with its settings, its counts and the indexes of its finished jobs. Refused as
    /// [`TopicInUse`](crate::ErrorCode::TopicInUse) while it has unfinished jobs or dead letters, and
    /// while a schedule or a request that waits would make it again.
    DeleteTopic {
        /// The topic.
        topic: Blob,
        /// Clears jobs that wait and deletes dead letters first. Those, and indexes of finished jobs,
        /// go as many as one turn allows (`queue.slice_max`): the topic is deleted when the answer
        /// says that there are no more.
        force: bool,
    },
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
#[non_exhaustive]
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
    /// To [`JobRequest::Resume`]: one for each, in order; the topic of a job that is the
    /// connection's again, `None` for one that is lost.
    Resumed(Vec<Option<Blob>>),
    /// To [`JobRequest::Get`], [`JobRequest::Await`] and [`JobRequest::Cancel`].
    Job(Box<JobInfo>),
    /// To [`JobRequest::Outcomes`] and [`JobRequest::List`].
    Jobs(JobPage),
    /// To [`JobRequest::Replay`], [`JobRequest::DeleteDead`], [`JobRequest::FreeIndex`],
    /// [`JobRequest::ClearTopic`], [`JobRequest::DeleteTopic`] and [`JobRequest::RemoveSchedule`].
    Changed {
        /// How many jobs, indexes or schedules were changed.
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
#[non_exhaustive]
pub struct Pushed {
    /// The job; another's if its index was taken.
    pub id: JobId,
    /// Where that job is.
    pub state: JobState,
    /// Whether the index was taken, so that nothing was pushed.
    pub existing: bool,
}

impl Pushed {
    /// Makes the answer to a push that made the job `id`.
    pub fn new(id: JobId, state: JobState) -> Self {
        Self { id, state, existing: false }
    }
}

/// Jobs, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobPage {
    /// Without their payloads.
    pub jobs: Vec<JobInfo>,
    /// What to ask for after these: an id, or of outcomes the number of one.
    pub after: u64,
    /// Whether there may be more by now.
    pub more: bool,
}

impl ReserveRequest {
    /// One job at a time, waiting as long as `queue.wait_default`.
    pub fn new(topic: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), credits: 1, wait: None, visibility: None }
    }
}

/// Bytes of log that a job takes beside its topic and payload, roughly.
const OTHER_BYTES: u64 = 256;

impl PushRequest {
    /// Returns about how many bytes of log it takes.
    pub(crate) fn log_bytes(&self) -> u64 {
        OTHER_BYTES + (self.topic.len() + self.payload.len()) as u64
    }
}

impl JobRequest {
    /// Returns whether the answer may take as long as the caller allows.
    pub fn parks(&self) -> bool {
        self.wait() != Some(Duration::ZERO)
    }

    /// Returns how long the request may wait for its answer; `None` for the server's default.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Push { wait, .. } => Some(*wait),
            Self::Reserve(reserve) => reserve.wait,
            Self::Revoked { wait } | Self::Await { wait, .. } | Self::Outcomes { wait, .. } => {
                *wait
            }
            Self::Settle(_)
            | Self::Touch { .. }
            | Self::Progress { .. }
            | Self::Resume(_)
            | Self::Get(_)
            | Self::List { .. }
            | Self::Cancel(_)
            | Self::Replay { .. }
            | Self::DeleteDead { .. }
            | Self::FreeIndex { .. }
            | Self::SetTopic { .. }
            | Self::PauseTopic { .. }
            | Self::ClearTopic(_)
            | Self::DeleteTopic { .. }
            | Self::Topic(_)
            | Self::Topics { .. }
            | Self::SetSchedule(_)
            | Self::RemoveSchedule(_)
            | Self::Schedules => Some(Duration::ZERO),
        }
    }

    /// Returns about how many bytes of log the request takes, if it may make what is kept larger.
    pub(crate) fn log_bytes(&self) -> u64 {
        match self {
            Self::Push { jobs, .. } => jobs.iter().map(PushRequest::log_bytes).sum(),
            Self::SetSchedule(schedule) => schedule.push.log_bytes(),
            _ => OTHER_BYTES,
        }
    }

    /// Has its answer wait for `left` at most; `default` is how long it waits if it does not say.
    pub(crate) fn wait_at_most(&mut self, left: Duration, default: Duration) {
        match self {
            Self::Push { wait, .. } => *wait = left.min(*wait),
            Self::Reserve(ReserveRequest { wait, .. })
            | Self::Revoked { wait }
            | Self::Await { wait, .. }
            | Self::Outcomes { wait, .. } => *wait = Some(left.min(wait.unwrap_or(default))),
            _ => {}
        }
    }

    /// Returns whether the request settles or holds on to jobs that were handed out, which a service
    /// that stops still takes.
    pub fn concludes(&self) -> bool {
        self.facts().disk == DiskUse::Conclusion
    }

    /// Returns whether the request changes nothing, so that it may be sent again.
    pub fn only_reads(&self) -> bool {
        self.facts().disk == DiskUse::Nothing
    }
}
