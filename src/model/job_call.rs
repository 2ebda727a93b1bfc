//! Requests to the queue and their replies.

use std::time::Duration;

use super::facts::DiskUse;
use super::{
    Blob, JobId, JobInfo, JobRef, JobState, OutcomeSeq, PushRequest, Reservation, ReservedJob,
    Schedule, ScheduleInfo, Settlement, TopicInfo, TopicSettings,
};
use crate::error::Error;

/// A request to the queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobRequest {
    /// Pushes jobs, all of them or none.
    Push {
        /// The jobs: 1 to `queue.push_jobs_max`.
        jobs: Vec<PushRequest>,
        /// How long to wait for space in a topic that is [full](crate::ErrorCode::Full); zero for not
        /// at all.
        wait: Duration,
    },
    /// Reserves jobs. The answer has at least one job, or none after `wait`.
    Reserve(ReserveRequest),
    /// Settles jobs, each on its own. The answer comes when the verdicts are recorded.
    Settle(Vec<Settlement>),
    /// Keeps jobs: restarts the visibility timeout of each.
    Touch {
        /// The reservations to keep.
        reservations: Vec<Reservation>,
        /// The visibility timeout; `None` for the one that the job was reserved with.
        visibility: Option<Duration>,
    },
    /// Reports the progress of a job. Not recorded, so it is lost with the server.
    Progress {
        /// The reservation of the job.
        reservation: Reservation,
        /// The progress to show; up to `queue.progress_bytes_max` bytes.
        progress: Blob,
    },
    /// Resumes reservations of a lost connection, or from before a restart of the server: those that
    /// are not lost now belong to this connection, and the visibility timeout of each restarts. The
    /// request, even one without reservations, also announces that this client resumes: when its
    /// connection is lost, jobs that were handed out to it stay reserved for `queue.resume_grace`.
    Resume(Vec<Reservation>),
    /// Asks which reservations of this connection ended without it: cancelled, or not touched in time.
    /// The answer has at least one reservation, or none after `wait`.
    Revoked {
        /// How long to wait; `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Describes a job.
    Get(JobRef),
    /// Waits until a job is finished and describes it; if it is still running after `wait`, describes
    /// its current state.
    Await {
        /// The job.
        job: JobRef,
        /// How long to wait; `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Returns the outcomes of a topic's jobs, in the order in which they finished. The answer has at
    /// least one outcome, or none after `wait`.
    Outcomes {
        /// The topic.
        topic: Blob,
        /// Return only outcomes after this one; `None` for outcomes to come. A number that is still to
        /// come is refused as [`FutureRevision`](crate::ErrorCode::FutureRevision).
        after: Option<OutcomeSeq>,
        /// Page size; 0 for `queue.list_jobs_max`.
        limit: usize,
        /// How long to wait; `None` for `queue.wait_default`.
        wait: Option<Duration>,
    },
    /// Lists the jobs of a topic in one state, in order of id; those done or cancelled are listed in
    /// the order in which they finished.
    List {
        /// The topic.
        topic: Blob,
        /// The state.
        state: JobState,
        /// The `after` of the previous page; 0 for the first page.
        after: u64,
        /// Page size; 0 for `queue.list_jobs_max`.
        limit: usize,
    },
    /// Cancels a job that waits or is handed out. Its worker learns of it from
    /// [`Revoked`](Self::Revoked), or when it settles or touches the job.
    Cancel(JobRef),
    /// Makes dead letters ready again, with full budgets.
    Replay {
        /// The topic.
        topic: Blob,
        /// The dead letter; `None` for the oldest, up to the number that one turn allows
        /// (`queue.slice_max`).
        id: Option<JobId>,
    },
    /// Deletes dead letters for good. Their outcomes stay, and their indexes for as long as they are
    /// taken.
    DeleteDead {
        /// The topic.
        topic: Blob,
        /// The dead letter; `None` for the oldest, up to the number that one turn allows
        /// (`queue.slice_max`).
        id: Option<JobId>,
    },
    /// Frees the index of a finished job, so that the next push with this index makes a new job. The
    /// answer is a count of 0 if the index was free. Refused as
    /// [`JobUnfinished`](crate::ErrorCode::JobUnfinished) while an unfinished job holds the index.
    FreeIndex {
        /// The topic.
        topic: Blob,
        /// The index.
        index: Blob,
    },
    /// Replaces the settings of a topic.
    SetTopic {
        /// The topic, created if necessary.
        topic: Blob,
        /// The settings.
        settings: Box<TopicSettings>,
    },
    /// Pauses or resumes the hand-out of a topic's jobs.
    PauseTopic {
        /// The topic, created if necessary.
        topic: Blob,
        /// True to pause, false to resume.
        paused: bool,
    },
    /// Cancels waiting jobs of a topic, oldest first, up to the number that one turn allows
    /// (`queue.slice_max`).
    ClearTopic(Blob),
    /// Deletes a topic with its settings, counts and the indexes of its finished jobs. Refused as
    /// [`TopicInUse`](crate::ErrorCode::TopicInUse) while it has unfinished jobs or dead letters, and
    /// while a schedule or a waiting request would create it again.
    DeleteTopic {
        /// The topic.
        topic: Blob,
        /// First clears waiting jobs and deletes dead letters. These, and indexes of finished jobs, are
        /// removed up to the number that one turn allows (`queue.slice_max`): the topic is deleted when
        /// the answer reports that there are no more.
        force: bool,
    },
    /// Describes a topic.
    Topic(Blob),
    /// Lists topics in order of name.
    Topics {
        /// Return only names above this one; empty for the first page.
        after: Blob,
        /// Page size; 0 for `queue.list_jobs_max`.
        limit: usize,
    },
    /// Sets a schedule.
    SetSchedule(Box<Schedule>),
    /// Removes the schedule with this name.
    RemoveSchedule(Blob),
    /// Lists schedules in order of name.
    Schedules,
}

/// A request for jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReserveRequest {
    /// The topic.
    pub topic: Blob,
    /// The most jobs to return, 1 to `queue.credits_max`.
    pub credits: u32,
    /// How long to wait for the first job; `None` for `queue.wait_default`, zero for not at all.
    pub wait: Option<Duration>,
    /// How long the jobs are held without a touch before they are handed out again; `None` for
    /// `queue.visibility_default`.
    pub visibility: Option<Duration>,
}

/// A reply of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobReply {
    /// Answers [`JobRequest::Push`]: one entry per job, in order.
    Pushed(Vec<Pushed>),
    /// Answers [`JobRequest::Reserve`].
    Reserved(Vec<ReservedJob>),
    /// Answers [`JobRequest::Settle`], [`JobRequest::Touch`] and [`JobRequest::Progress`]: one
    /// entry per job, in order. `None` means done; an error (such as `StaleReservation`) means that
    /// nothing changed.
    Settled(Vec<Option<Error>>),
    /// Answers [`JobRequest::Revoked`].
    Revoked(Vec<Reservation>),
    /// Answers [`JobRequest::Resume`]: one entry per reservation, in order: the topic of a job that
    /// belongs to the connection again, `None` for a lost one.
    Resumed(Vec<Option<Blob>>),
    /// Answers [`JobRequest::Get`], [`JobRequest::Await`] and [`JobRequest::Cancel`].
    Job(Box<JobInfo>),
    /// Answers [`JobRequest::Outcomes`] and [`JobRequest::List`].
    Jobs(JobPage),
    /// Answers [`JobRequest::Replay`], [`JobRequest::DeleteDead`], [`JobRequest::FreeIndex`],
    /// [`JobRequest::ClearTopic`], [`JobRequest::DeleteTopic`] and [`JobRequest::RemoveSchedule`].
    Changed {
        /// The number of jobs, indexes or schedules that changed.
        count: u64,
        /// Whether there are more, for another request.
        more: bool,
    },
    /// Answers [`JobRequest::SetTopic`], [`JobRequest::PauseTopic`] and [`JobRequest::Topic`].
    Topic(Box<TopicInfo>),
    /// Answers [`JobRequest::Topics`].
    Topics {
        /// In order of name.
        topics: Vec<TopicInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// Answers [`JobRequest::SetSchedule`] and [`JobRequest::Schedules`].
    Schedules(Vec<ScheduleInfo>),
}

/// An accepted push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The job; the one that holds the index if it was taken.
    pub id: JobId,
    /// The state of that job.
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

/// A page of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobPage {
    /// The jobs, without their payloads.
    pub jobs: Vec<JobInfo>,
    /// The `after` of the request for the next page: an id, or the number of an outcome.
    pub after: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl ReserveRequest {
    /// Asks for one job at a time and waits for `queue.wait_default`.
    pub fn new(topic: impl Into<Blob>) -> Self {
        Self { topic: topic.into(), credits: 1, wait: None, visibility: None }
    }
}

/// Approximate bytes of log per job in addition to topic and payload.
const OTHER_BYTES: u64 = 256;

impl PushRequest {
    /// Returns the approximate bytes of log that the job takes.
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

    /// Returns the approximate bytes of log that the request takes if it may make the stored data
    /// larger.
    pub(crate) fn log_bytes(&self) -> u64 {
        match self {
            Self::Push { jobs, .. } => jobs.iter().map(PushRequest::log_bytes).sum(),
            Self::SetSchedule(schedule) => schedule.push.log_bytes(),
            Self::Reserve(_)
            | Self::Revoked { .. }
            | Self::Await { .. }
            | Self::Outcomes { .. }
            | Self::Settle(_)
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
            | Self::RemoveSchedule(_)
            | Self::Schedules => OTHER_BYTES,
        }
    }

    /// Limits the wait of the request to `left`; `default` is its wait if it states none.
    pub(crate) fn wait_at_most(&mut self, left: Duration, default: Duration) {
        match self {
            Self::Push { wait, .. } => *wait = left.min(*wait),
            Self::Reserve(ReserveRequest { wait, .. })
            | Self::Revoked { wait }
            | Self::Await { wait, .. }
            | Self::Outcomes { wait, .. } => *wait = Some(left.min(wait.unwrap_or(default))),
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
            | Self::Schedules => {}
        }
    }

    /// Returns whether the request settles or keeps jobs that were handed out; a stopping service still
    /// accepts such requests.
    pub fn concludes(&self) -> bool {
        self.facts().disk == DiskUse::Conclusion
    }

    /// Returns whether the request changes nothing, so that it may be resent.
    pub fn only_reads(&self) -> bool {
        self.facts().disk == DiskUse::Nothing
    }
}
