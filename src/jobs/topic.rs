//! [`Topic`]: the name of a topic, and the types of its jobs and results.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::outcomes;
use super::{Bincode, Jobs, Outcome, Schema, SchemaError};
use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId, JobInfo, JobRef, JobState, OutcomeSeq, PushOptions};

/// A topic with jobs of type `J` and results of type `O`, encoded by schema `S`. Cheap to clone. A
/// plain name converts to it where a handler or worker determines the types.
///
/// ```
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use wakeful::{Config, PushOptions, Topic, Wakeful};
///
/// const THUMBNAILS: &str = "thumbnails";
/// let thumbnails: Topic<(String, u32), String> = Topic::new(THUMBNAILS);
/// # let wakeful = Wakeful::start(Config::new())?;
/// # async fn push(thumbnails: Topic<(String, u32), String>, wakeful: Wakeful) -> Result<(), wakeful::Error> {
/// let id = thumbnails.push(&wakeful, &("photo.jpg".into(), 64), PushOptions::default()).await?;
/// # Ok(())
/// # }
/// # wakeful.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Topic<J, O, S = Bincode> {
    name: Blob,
    schema: Arc<S>,
    types: PhantomData<fn(J) -> O>,
}

impl<J, O> Topic<J, O> {
    /// Returns the topic of this name, with payloads and results in [`Bincode`].
    pub fn new(name: impl Into<Blob>) -> Self {
        Self { name: name.into(), schema: Arc::new(Bincode), types: PhantomData }
    }
}

impl<J, O, S> Topic<J, O, S> {
    /// Returns the same topic, with payloads and results in `schema`.
    pub fn with_schema<T>(self, schema: T) -> Topic<J, O, T> {
        Topic { name: self.name, schema: Arc::new(schema), types: PhantomData }
    }

    /// Returns its name.
    pub fn name(&self) -> &Blob {
        &self.name
    }
}

impl<J, O, S: Schema<J>> Topic<J, O, S> {
    /// Pushes a job; returns its id, or that of the job that has its index.
    ///
    /// Errors: `InvalidArgument` if it does not encode; those of [`Jobs::push`].
    pub async fn push(
        &self,
        jobs: &impl Jobs,
        job: &J,
        options: PushOptions,
    ) -> Result<JobId, Error> {
        let payload = self.encode(job)?;
        Ok(jobs.push(self.name.clone(), payload, options).await?.id)
    }

    /// Encodes a job for a push.
    ///
    /// Errors: `InvalidArgument` if it does not encode.
    pub fn encode(&self, job: &J) -> Result<Blob, Error> {
        self.schema.encode(job).map_err(|error| {
            let message = format!("cannot encode the job: {error}");
            Error::new(ErrorCode::InvalidArgument, message)
        })
    }

    pub(crate) fn decode_job(&self, payload: &[u8]) -> Result<J, SchemaError> {
        self.schema.decode(payload)
    }
}

impl<J, O, S: Schema<O>> Topic<J, O, S> {
    /// Returns a handle to the result of a job, on which to [wait](JobResult::wait).
    pub fn result<'a, T: Jobs>(&self, jobs: &'a T, id: JobId) -> JobResult<'a, J, O, S, T> {
        JobResult { topic: self.clone(), jobs, job: JobRef::Id(id) }
    }

    /// Returns a handle to the result of the newest job with this index.
    pub fn result_of<'a, T: Jobs>(
        &self,
        jobs: &'a T,
        index: impl Into<Blob>,
    ) -> JobResult<'a, J, O, S, T> {
        let job = JobRef::Index { topic: self.name.clone(), index: index.into() };
        JobResult { topic: self.clone(), jobs, job }
    }

    /// Streams the outcomes of this topic's jobs, in the order in which they finish: those after
    /// the outcome of this number, which is the way to resume; with `None`, future ones. The stream
    /// ends after its first error.
    pub fn outcomes<'a, T: Jobs>(
        &self,
        jobs: &'a T,
        after: Option<OutcomeSeq>,
    ) -> impl futures_core::Stream<Item = Result<Outcome<O>, Error>> + Send + Unpin + use<'a, J, O, S, T>
    where
        J: 'a,
        O: Send + 'a,
    {
        outcomes::of(self.clone(), jobs, after)
    }

    /// Returns the result of a job; `None` while it is unfinished.
    ///
    /// Errors: `JobDead` with its last error, `JobCancelled`; `Internal` if its result does not
    /// decode.
    pub fn read(&self, job: &JobInfo) -> Option<Result<O, Error>> {
        match job.state {
            JobState::Done => Some(self.read_output(job.output.as_deref().unwrap_or_default())),
            JobState::Dead => {
                let error = job.errors.last().map_or("unknown reason", String::as_str);
                let message = format!("job {} is a dead letter: {error}", job.id);
                Some(Err(Error::new(ErrorCode::JobDead, message)))
            }
            JobState::Cancelled => {
                let message = format!("job {} was cancelled", job.id);
                Some(Err(Error::new(ErrorCode::JobCancelled, message)))
            }
            JobState::Ready | JobState::Delayed | JobState::Reserved => None,
        }
    }

    fn read_output(&self, output: &[u8]) -> Result<O, Error> {
        self.schema.decode(output).map_err(|error| {
            let message = format!("cannot decode the result: {error}");
            Error::new(ErrorCode::Internal, message)
        })
    }

    pub(crate) fn encode_output(&self, output: &O) -> Result<Blob, SchemaError> {
        self.schema.encode(output)
    }
}

/// A handle to the result of a job.
pub struct JobResult<'a, J, O, S, T> {
    topic: Topic<J, O, S>,
    jobs: &'a T,
    job: JobRef,
}

impl<J, O, S: Schema<O>, T: Jobs> JobResult<'_, J, O, S, T> {
    /// Waits up to `timeout` for the job to finish.
    ///
    /// Errors: `JobDead` with its last error; `JobCancelled`; `DeadlineExceeded` if it is still
    /// unfinished; `JobNotFound`; `Internal` if the result does not decode. Cancel: harmless.
    pub async fn wait(self, timeout: Duration) -> Result<O, Error> {
        let info = self.jobs.await_job(self.job, Some(timeout)).await?;
        self.topic.read(&info).unwrap_or_else(|| {
            let message = format!("job {} is not finished yet", info.id);
            Err(Error::new(ErrorCode::DeadlineExceeded, message))
        })
    }
}

impl<J, O, S> Clone for Topic<J, O, S> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), schema: Arc::clone(&self.schema), types: PhantomData }
    }
}

impl<J, O> From<&str> for Topic<J, O> {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl<J, O> From<String> for Topic<J, O> {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl<J, O, S> From<&Topic<J, O, S>> for Topic<J, O, S> {
    fn from(topic: &Topic<J, O, S>) -> Self {
        topic.clone()
    }
}

impl<J, O, S> fmt::Debug for Topic<J, O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

impl<J, O, S, T> fmt::Debug for JobResult<'_, J, O, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobResult").field(&self.job).finish()
    }
}
