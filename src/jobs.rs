//! [`Jobs`]: the operations on the queue of a Wakeful, in this process or over the wire.
//!
//! [`Topic`] gives the bytes of a topic's jobs and results types, by a [`Schema`].
//! [`work`](crate::work) handles jobs.

mod outcomes;
pub(crate) mod schema;
mod topic;

use std::future::Future;
use std::time::Duration;

pub use outcomes::Outcome;
pub use schema::{Bincode, Json, Raw, Schema, SchemaError};
pub use topic::{JobResult, Topic};

use crate::error::{Error, ErrorCode};
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobRequest, JobState, OutcomeSeq, PushOptions,
    PushRequest, Pushed, Reply, Request, Reservation, ReserveRequest, ReservedJob, Schedule,
    ScheduleInfo, Settlement, TopicInfo, TopicSettings,
};
use crate::operations::{Operations, unexpected};

/// The operations on the queue: the same on [`Wakeful`](crate::Wakeful) and on
/// [`Client`](crate::Client). Payloads and results are bytes here; a [`Topic`] gives them
/// types.
///
/// Errors of every method: those of [`Operations`], and those named by its [`JobRequest`].
/// Cancel: dropping a future gives up the answer. Jobs that were reserved for it go back to the
/// head of their topic at no cost.
pub trait Jobs: Operations {
    /// Sends one request to the queue.
    fn job(&self, request: JobRequest) -> impl Future<Output = Result<JobReply, Error>> + Send {
        async {
            match self.call(Request::Job(request)).await? {
                Reply::Job(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Pushes a job.
    ///
    /// Errors: `Full` if its topic, or the queue, has no capacity; `LimitExceeded` if it is too large;
    /// `InvalidArgument` if it is invalid. Nothing was pushed.
    fn push(
        &self,
        topic: impl Into<Blob> + Send,
        payload: impl Into<Blob> + Send,
        options: PushOptions,
    ) -> impl Future<Output = Result<Pushed, Error>> + Send {
        let request = PushRequest { topic: topic.into(), payload: payload.into(), options };
        async {
            let pushed = self.push_all(vec![request], Duration::ZERO).await?;
            pushed.into_iter().next().ok_or_else(unexpected_reply)
        }
    }

    /// Pushes jobs, all or none of them, waiting up to `wait` for capacity.
    ///
    /// Errors: those of [`push`](Self::push).
    fn push_all(
        &self,
        jobs: Vec<PushRequest>,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Pushed>, Error>> + Send {
        async move {
            match self.job(JobRequest::Push { jobs, wait }).await? {
                JobReply::Pushed(pushed) => Ok(pushed),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Reserves jobs; returns none after the wait.
    fn reserve(
        &self,
        request: ReserveRequest,
    ) -> impl Future<Output = Result<Vec<ReservedJob>, Error>> + Send {
        async {
            match self.job(JobRequest::Reserve(request)).await? {
                JobReply::Reserved(jobs) => Ok(jobs),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Settles jobs, each independently; returns one answer per job, in order.
    fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        async { settled(self.job(JobRequest::Settle(settlements)).await?) }
    }

    /// Extends reservations: the visibility timeout of each restarts; returns one answer per job.
    fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Option<Duration>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        async move { settled(self.job(JobRequest::Touch { reservations, visibility }).await?) }
    }

    /// Transfers reservations of a lost connection, or from before a restart of the server, to this
    /// connection, each with a full visibility timeout; returns one answer per reservation, in
    /// order: whether it is still valid.
    ///
    /// A [`Client`](crate::Client) does so by itself when it reconnects; this is for reservations
    /// that outlive their client. Errors: `InvalidArgument` in process, where a job ends with its
    /// worker.
    fn resume(
        &self,
        reservations: Vec<Reservation>,
    ) -> impl Future<Output = Result<Vec<bool>, Error>> + Send {
        async {
            match self.job(JobRequest::Resume(reservations)).await? {
                JobReply::Resumed(topics) => Ok(topics.iter().map(Option::is_some).collect()),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Reports the progress of a job.
    ///
    /// Errors: `StaleReservation` if the caller no longer holds it.
    fn progress(
        &self,
        reservation: Reservation,
        progress: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let request = JobRequest::Progress { reservation, progress: progress.into() };
        async {
            match settled(self.job(request).await?)?.into_iter().next() {
                Some(Some(error)) => Err(error),
                _ => Ok(()),
            }
        }
    }

    /// Returns the caller's reservations that ended without its action; none after the wait.
    fn revoked(
        &self,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send {
        async move {
            match self.job(JobRequest::Revoked { wait }).await? {
                JobReply::Revoked(reservations) => Ok(reservations),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Returns a job.
    ///
    /// Errors: `JobNotFound`.
    fn get_job(&self, job: JobRef) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async { info(self.job(JobRequest::Get(job)).await?) }
    }

    /// Waits until a job is finished; if it is still running after `wait`, returns its current
    /// state.
    ///
    /// Errors: `JobNotFound`.
    fn await_job(
        &self,
        job: JobRef,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async move { info(self.job(JobRequest::Await { job, wait }).await?) }
    }

    /// Returns the outcomes of a topic's jobs after the outcome `after` (`None`: from now on), up
    /// to `limit` (0 means a page); none after the wait.
    ///
    /// Errors: `TopicNotFound`; `Compacted` if outcomes after `after` are no longer kept;
    /// `FutureRevision` if `after` is in the future.
    fn outcomes(
        &self,
        topic: impl Into<Blob> + Send,
        after: Option<OutcomeSeq>,
        limit: usize,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<JobPage, Error>> + Send {
        let topic = topic.into();
        async move { page(self.job(JobRequest::Outcomes { topic, after, limit, wait }).await?) }
    }

    /// Lists jobs of a topic in one state, with ids above `after`, up to `limit` (0 means a page).
    fn list_jobs(
        &self,
        topic: impl Into<Blob> + Send,
        state: JobState,
        after: JobId,
        limit: usize,
    ) -> impl Future<Output = Result<JobPage, Error>> + Send {
        let topic = topic.into();
        async move { page(self.job(JobRequest::List { topic, state, after, limit }).await?) }
    }

    /// Cancels a job, waiting or reserved; returns its last state.
    ///
    /// Errors: `JobNotFound`; `JobFinished`.
    fn cancel_job(&self, job: JobRef) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async { info(self.job(JobRequest::Cancel(job)).await?) }
    }

    /// Makes a dead letter ready again; with `None`, all of the topic. Returns their number.
    ///
    /// Errors: `JobNotFound` if the given job is not a dead letter of the topic. Cancel: with
    /// `None`, some are replayed.
    fn replay(
        &self,
        topic: impl Into<Blob> + Send,
        id: Option<JobId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::Replay { topic: topic.clone(), id }).await }
    }

    /// Permanently deletes a dead letter; with `None`, all of the topic. Returns their number.
    ///
    /// The outcome of the job is kept as long as other outcomes are, and its index for as long as
    /// it is taken. Errors: `JobNotFound` if the given job is not a dead letter of the topic.
    /// Cancel: with `None`, some are deleted.
    fn delete_dead(
        &self,
        topic: impl Into<Blob> + Send,
        id: Option<JobId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::DeleteDead { topic: topic.clone(), id }).await }
    }

    /// Frees the index of a finished job, so that its next push makes a new job. Returns whether it
    /// was taken.
    ///
    /// Errors: `TopicNotFound`; `JobUnfinished` while an unfinished job has it.
    fn free_index(
        &self,
        topic: impl Into<Blob> + Send,
        index: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        let request = JobRequest::FreeIndex { topic: topic.into(), index: index.into() };
        async {
            match self.job(request).await? {
                JobReply::Changed { count, .. } => Ok(count > 0),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Cancels all waiting jobs of a topic; returns their number.
    ///
    /// Cancel: some are cancelled.
    fn clear_topic(
        &self,
        topic: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::ClearTopic(topic.clone())).await }
    }

    /// Deletes a topic with its settings, its counts and the indexes of its finished jobs; with
    /// `force`, first its waiting jobs and its dead letters. Returns the number of those.
    ///
    /// Errors: `TopicNotFound`; `TopicInUse` while it has unfinished jobs or dead letters, with
    /// `force` while jobs are reserved, and while a schedule or a waiting request would create it
    /// again. Cancel, and an error after others used the topic in the meantime: some of its indexes
    /// are free, and with `force` some of its jobs are gone.
    fn delete_topic(
        &self,
        topic: impl Into<Blob> + Send,
        force: bool,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::DeleteTopic { topic: topic.clone(), force }).await }
    }

    #[doc(hidden)]
    fn repeat(
        &self,
        request: impl Fn() -> JobRequest + Send,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        async move {
            let mut changed = 0;
            loop {
                let reply = self.job(request()).await?;
                let JobReply::Changed { count, more } = reply else {
                    return Err(unexpected_reply());
                };
                changed += count;
                if !more {
                    return Ok(changed);
                }
            }
        }
    }

    /// Sets the settings of a topic.
    fn set_topic(
        &self,
        topic: impl Into<Blob> + Send,
        settings: TopicSettings,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::SetTopic { topic: topic.into(), settings: Box::new(settings) };
        async { topic_info(self.job(request).await?) }
    }

    /// Pauses or resumes the hand-out of a topic's jobs.
    fn pause_topic(
        &self,
        topic: impl Into<Blob> + Send,
        paused: bool,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::PauseTopic { topic: topic.into(), paused };
        async { topic_info(self.job(request).await?) }
    }

    /// Returns a topic.
    ///
    /// Errors: `TopicNotFound`.
    fn topic_info(
        &self,
        topic: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::Topic(topic.into());
        async { topic_info(self.job(request).await?) }
    }

    /// Returns every topic, in order of name.
    fn topics(&self) -> impl Future<Output = Result<Vec<TopicInfo>, Error>> + Send {
        async {
            let mut all: Vec<TopicInfo> = Vec::new();
            loop {
                let after = all.last().map(|topic| topic.name.clone()).unwrap_or_default();
                let reply = self.job(JobRequest::Topics { after, limit: 0 }).await?;
                let JobReply::Topics { topics, more } = reply else {
                    return Err(unexpected_reply());
                };
                let none = topics.is_empty();
                all.extend(topics);
                if !more || none {
                    return Ok(all);
                }
            }
        }
    }

    /// Sets a schedule; returns the time of its next push.
    ///
    /// Errors: `InvalidArgument` if its cron expression, its zone or its push is invalid.
    fn set_schedule(
        &self,
        schedule: Schedule,
    ) -> impl Future<Output = Result<ScheduleInfo, Error>> + Send {
        async {
            let schedules =
                schedules(self.job(JobRequest::SetSchedule(Box::new(schedule))).await?)?;
            schedules.into_iter().next().ok_or_else(unexpected_reply)
        }
    }

    /// Removes a schedule.
    ///
    /// Errors: `ScheduleNotFound`.
    fn remove_schedule(
        &self,
        name: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let name = name.into();
        async {
            match self.job(JobRequest::RemoveSchedule(name)).await? {
                JobReply::Changed { .. } => Ok(()),
                _ => Err(unexpected_reply()),
            }
        }
    }

    /// Returns every schedule, in order of name.
    fn schedules(&self) -> impl Future<Output = Result<Vec<ScheduleInfo>, Error>> + Send {
        async { schedules(self.job(JobRequest::Schedules).await?) }
    }
}

impl<T: Operations> Jobs for T {}

fn settled(reply: JobReply) -> Result<Vec<Option<Error>>, Error> {
    match reply {
        JobReply::Settled(answers) => Ok(answers),
        _ => Err(unexpected_reply()),
    }
}

fn info(reply: JobReply) -> Result<JobInfo, Error> {
    match reply {
        JobReply::Job(info) => Ok(*info),
        _ => Err(unexpected_reply()),
    }
}

fn page(reply: JobReply) -> Result<JobPage, Error> {
    match reply {
        JobReply::Jobs(page) => Ok(page),
        _ => Err(unexpected_reply()),
    }
}

fn topic_info(reply: JobReply) -> Result<TopicInfo, Error> {
    match reply {
        JobReply::Topic(info) => Ok(*info),
        _ => Err(unexpected_reply()),
    }
}

fn schedules(reply: JobReply) -> Result<Vec<ScheduleInfo>, Error> {
    match reply {
        JobReply::Schedules(schedules) => Ok(schedules),
        _ => Err(unexpected_reply()),
    }
}

fn unexpected_reply() -> Error {
    Error::new(ErrorCode::Internal, "the reply of the queue does not match the request")
}
