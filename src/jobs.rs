//! [`Jobs`]: what can be done with the queue of a Wakeful, in this process or over the wire.

use std::future::Future;
use std::time::Duration;

use crate::error::{Error, ErrorCode};
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobRequest, JobState, OutcomeSeq, PushOptions,
    PushRequest, Pushed, Reply, Request, Reservation, ReserveRequest, ReservedJob, Schedule,
    ScheduleInfo, Settlement, TopicInfo, TopicSettings,
};
use crate::operations::{Operations, unexpected};

/// What can be done with the queue: the same on [`Wakeful`](crate::Wakeful) and on
/// [`Client`](crate::Client). Payloads and results are bytes here; a
/// [`Topic`](crate::work::Topic) gives them types.
///
/// Errors of every method: those of [`Operations`], and those its [`JobRequest`] names.
/// Cancel: dropping a future gives up the answer. Jobs that were reserved for it go back to the
/// head of their topic, without cost.
pub trait Jobs: Operations {
    /// Does one request to the queue.
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
    /// Errors: `Full` if its topic, or the queue, has no room; `LimitExceeded` if it is too large;
    /// `InvalidArgument` if it makes no sense. Nothing was pushed.
    fn push(
        &self,
        topic: impl Into<Blob> + Send,
        payload: impl Into<Blob> + Send,
        options: PushOptions,
    ) -> impl Future<Output = Result<Pushed, Error>> + Send {
        let request = PushRequest { topic: topic.into(), payload: payload.into(), options };
        async {
            let pushed = self.push_all(vec![request], Duration::ZERO).await?;
            pushed.into_iter().next().ok_or_else(unfit)
        }
    }

    /// Pushes jobs, all or none of them, waiting up to `wait` for room.
    ///
    /// Errors: as [`push`](Self::push).
    fn push_all(
        &self,
        jobs: Vec<PushRequest>,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Pushed>, Error>> + Send {
        async move {
            match self.job(JobRequest::Push { jobs, wait }).await? {
                JobReply::Pushed(pushed) => Ok(pushed),
                _ => Err(unfit()),
            }
        }
    }

    /// Asks for jobs to do; none after the wait.
    fn reserve(
        &self,
        request: ReserveRequest,
    ) -> impl Future<Output = Result<Vec<ReservedJob>, Error>> + Send {
        async {
            match self.job(JobRequest::Reserve(request)).await? {
                JobReply::Reserved(jobs) => Ok(jobs),
                _ => Err(unfit()),
            }
        }
    }

    /// Settles jobs, each by itself; one answer for each, in order.
    fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        async { settled(self.job(JobRequest::Settle(settlements)).await?) }
    }

    /// Holds on to jobs: the visibility timeout of each starts anew; one answer for each.
    fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Option<Duration>,
    ) -> impl Future<Output = Result<Vec<Option<Error>>, Error>> + Send {
        async move { settled(self.job(JobRequest::Touch { reservations, visibility }).await?) }
    }

    /// Makes reservations of a connection that was lost, or of before a restart of the server, those of
    /// this connection, with a whole visibility timeout each; one answer for each, in order: whether it
    /// is not lost.
    ///
    /// A [`Client`](crate::Client) does so by itself when it reconnects; this is for whoever kept them
    /// longer than its client lived. Errors: `InvalidArgument` in process, where a job ends with its
    /// worker.
    fn resume(
        &self,
        reservations: Vec<Reservation>,
    ) -> impl Future<Output = Result<Vec<bool>, Error>> + Send {
        async {
            match self.job(JobRequest::Resume(reservations)).await? {
                JobReply::Resumed(topics) => Ok(topics.iter().map(Option::is_some).collect()),
                _ => Err(unfit()),
            }
        }
    }

    /// Tells how far a job is.
    ///
    /// Errors: `StaleReservation` if the caller does not hold it any more.
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

    /// Which reservations of the caller ended without it; none after the wait.
    fn revoked(
        &self,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send {
        async move {
            match self.job(JobRequest::Revoked { wait }).await? {
                JobReply::Revoked(reservations) => Ok(reservations),
                _ => Err(unfit()),
            }
        }
    }

    /// Tells of a job.
    ///
    /// Errors: `JobNotFound`.
    fn get_job(&self, job: JobRef) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async { info(self.job(JobRequest::Get(job)).await?) }
    }

    /// Waits until a job is finished; after `wait` it tells of what it is then.
    ///
    /// Errors: `JobNotFound`.
    fn await_job(
        &self,
        job: JobRef,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async move { info(self.job(JobRequest::Await { job, wait }).await?) }
    }

    /// What became of jobs of a topic after the outcome `after` (`None`: from now on), at most
    /// `limit` (0 for a page); none after the wait.
    ///
    /// Errors: `TopicNotFound`; `Compacted` if outcomes after `after` are not kept any more;
    /// `FutureRevision` if `after` is still to come.
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

    /// Lists jobs of a topic in one state, with ids above `after`, at most `limit` (0 for a page).
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

    /// Cancels a job, waiting or handed out; tells what it was.
    ///
    /// Errors: `JobNotFound`; `JobFinished`.
    fn cancel_job(&self, job: JobRef) -> impl Future<Output = Result<JobInfo, Error>> + Send {
        async { info(self.job(JobRequest::Cancel(job)).await?) }
    }

    /// Makes a dead letter ready again; with `None` all of the topic. Tells how many.
    ///
    /// Errors: `JobNotFound` if the one asked for is no dead letter of the topic. Cancel: of all,
    /// some are replayed.
    fn replay(
        &self,
        topic: impl Into<Blob> + Send,
        id: Option<JobId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::Replay { topic: topic.clone(), id }).await }
    }

    /// Deletes a dead letter for good; with `None` all of the topic. Returns how many.
    ///
    /// What became of the job is kept as long as other outcomes are, and its index for as long as it
    /// is taken. Errors: `JobNotFound` if the one asked for is no dead letter of the topic. Cancel: of
    /// all, some are deleted.
    fn delete_dead(
        &self,
        topic: impl Into<Blob> + Send,
        id: Option<JobId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::DeleteDead { topic: topic.clone(), id }).await }
    }

    /// Frees the index of a finished job, so that the next push of it makes a new job. Returns
    /// whether it was taken.
    ///
    /// Errors: `TopicNotFound`; `JobUnfinished` while a job that is not finished has it.
    fn free_index(
        &self,
        topic: impl Into<Blob> + Send,
        index: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        let request = JobRequest::FreeIndex { topic: topic.into(), index: index.into() };
        async {
            match self.job(request).await? {
                JobReply::Changed { count, .. } => Ok(count > 0),
                _ => Err(unfit()),
            }
        }
    }

    /// Cancels all jobs of a topic that wait; tells how many.
    ///
    /// Cancel: some are cleared.
    fn clear_topic(
        &self,
        topic: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let topic = topic.into();
        async move { self.repeat(|| JobRequest::ClearTopic(topic.clone())).await }
    }

    /// Deletes a topic with its settings, its counts and the indexes of its finished jobs; with `force`
    /// after its jobs that wait and its dead letters. Returns how many those were.
    ///
    /// Errors: `TopicNotFound`; `TopicInUse` while it has unfinished jobs or dead letters, with
    /// `force` jobs that run, and while a schedule or a request that waits would make it again.
    /// Cancel, and an error after others made use of it meanwhile: some of its indexes are free, and
    /// with `force` some of its jobs gone.
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
                let JobReply::Changed { count, more } = reply else { return Err(unfit()) };
                changed += count;
                if !more {
                    return Ok(changed);
                }
            }
        }
    }

    /// Says how a topic is run.
    fn set_topic(
        &self,
        topic: impl Into<Blob> + Send,
        settings: TopicSettings,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::SetTopic { topic: topic.into(), settings: Box::new(settings) };
        async { topic_info(self.job(request).await?) }
    }

    /// Stops or resumes the hand-out of a topic's jobs.
    fn pause_topic(
        &self,
        topic: impl Into<Blob> + Send,
        paused: bool,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::PauseTopic { topic: topic.into(), paused };
        async { topic_info(self.job(request).await?) }
    }

    /// Tells of a topic.
    ///
    /// Errors: `TopicNotFound`.
    fn topic_info(
        &self,
        topic: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<TopicInfo, Error>> + Send {
        let request = JobRequest::Topic(topic.into());
        async { topic_info(self.job(request).await?) }
    }

    /// Tells of every topic, in order of name.
    fn topics(&self) -> impl Future<Output = Result<Vec<TopicInfo>, Error>> + Send {
        async {
            let mut all: Vec<TopicInfo> = Vec::new();
            loop {
                let after = all.last().map(|topic| topic.name.clone()).unwrap_or_default();
                let reply = self.job(JobRequest::Topics { after, limit: 0 }).await?;
                let JobReply::Topics { topics, more } = reply else { return Err(unfit()) };
                let none = topics.is_empty();
                all.extend(topics);
                if !more || none {
                    return Ok(all);
                }
            }
        }
    }

    /// Sets a schedule; tells when it pushes next.
    ///
    /// Errors: `InvalidArgument` if its cron expression, its zone or its push makes no sense.
    fn set_schedule(
        &self,
        schedule: Schedule,
    ) -> impl Future<Output = Result<ScheduleInfo, Error>> + Send {
        async {
            let schedules =
                schedules(self.job(JobRequest::SetSchedule(Box::new(schedule))).await?)?;
            schedules.into_iter().next().ok_or_else(unfit)
        }
    }

    /// Ends a schedule.
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
                _ => Err(unfit()),
            }
        }
    }

    /// Tells of every schedule, in order of name.
    fn schedules(&self) -> impl Future<Output = Result<Vec<ScheduleInfo>, Error>> + Send {
        async { schedules(self.job(JobRequest::Schedules).await?) }
    }
}

impl<T: Operations> Jobs for T {}

fn settled(reply: JobReply) -> Result<Vec<Option<Error>>, Error> {
    match reply {
        JobReply::Settled(answers) => Ok(answers),
        _ => Err(unfit()),
    }
}

fn info(reply: JobReply) -> Result<JobInfo, Error> {
    match reply {
        JobReply::Job(info) => Ok(*info),
        _ => Err(unfit()),
    }
}

fn page(reply: JobReply) -> Result<JobPage, Error> {
    match reply {
        JobReply::Jobs(page) => Ok(page),
        _ => Err(unfit()),
    }
}

fn topic_info(reply: JobReply) -> Result<TopicInfo, Error> {
    match reply {
        JobReply::Topic(info) => Ok(*info),
        _ => Err(unfit()),
    }
}

fn schedules(reply: JobReply) -> Result<Vec<ScheduleInfo>, Error> {
    match reply {
        JobReply::Schedules(schedules) => Ok(schedules),
        _ => Err(unfit()),
    }
}

fn unfit() -> Error {
    Error::new(ErrorCode::Internal, "the reply of the queue does not fit the request")
}
