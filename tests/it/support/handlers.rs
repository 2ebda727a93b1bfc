//! Jobs with text payloads, and handlers made of functions.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use wakeful::{
    Backoff, Error, HandlerOptions, JobContext, JobError, JobHandler, JobId, JobInfo, JobRef, Jobs,
    PushOptions, Topic, TopicInfo,
};

use super::{TIMEOUT, within};

/// A duration that does not pass during a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

type Handled = BoxFuture<'static, Result<String, JobError>>;

/// A handler made of a function.
pub(crate) struct Does<F>(F);

impl<F: Fn(String, JobContext) -> Handled + Send + Sync + 'static> JobHandler for Does<F> {
    type Job = String;
    type Output = String;

    async fn handle(&self, job: String, cx: &JobContext) -> Result<String, JobError> {
        (self.0)(job, cx.clone()).await
    }
}

pub(crate) fn does<F, Fut>(
    handle: F,
) -> Does<impl Fn(String, JobContext) -> Handled + Send + Sync + 'static>
where
    F: Fn(String, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, JobError>> + Send + 'static,
{
    Does(move |job, cx| handle(job, cx).boxed())
}

/// Returns a handler whose result is its job.
pub(crate) fn echoes() -> impl JobHandler<Job = String, Output = String> {
    does(async |job, _| Ok(job))
}

pub(crate) fn texts(name: &str) -> Topic<String, String> {
    Topic::new(name)
}

/// Returns options with timeouts so long that a slow machine fails no attempt.
pub(crate) fn patient() -> HandlerOptions {
    HandlerOptions { attempt_timeout: LONG, visibility: LONG, ..HandlerOptions::default() }
}

/// A gate that is closed until permits are added.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Adds permits.
    pub(crate) fn open(&self, count: usize) {
        self.0.add_permits(count);
    }

    /// Waits for a permit.
    pub(crate) async fn pass(&self) {
        self.0.acquire().await.expect("it is never closed for good").forget();
    }
}

pub(crate) async fn push(jobs: &impl Jobs, topic: &str, text: &str, options: PushOptions) -> JobId {
    within(texts(topic).push(jobs, &text.to_owned(), options)).await.unwrap()
}

/// Returns the result of a job, once it has finished.
pub(crate) async fn result(jobs: &impl Jobs, topic: &str, id: JobId) -> Result<String, Error> {
    within(texts(topic).result(jobs, id).wait(TIMEOUT)).await
}

pub(crate) async fn job(jobs: &impl Jobs, id: JobId) -> JobInfo {
    within(jobs.get_job(JobRef::Id(id))).await.unwrap()
}

pub(crate) async fn topic(jobs: &impl Jobs, name: &str) -> TopicInfo {
    within(jobs.topic_info(name)).await.unwrap()
}

/// Returns options with this number of retries, without a pause.
pub(crate) fn retries(retry_max: u32) -> PushOptions {
    let backoff = Some(Backoff::Constant(Duration::ZERO));
    PushOptions { retry_max: Some(retry_max), backoff, ..PushOptions::default() }
}
