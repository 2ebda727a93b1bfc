//! A [`JobHandler`] as a method: a job that is called instead of queued.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MethodContext, Service};
use crate::duration;
use crate::error::{Error, ErrorCode};
use crate::model::{Blob, Payload, Reservation, ReservedJob};
use crate::work::{Cancelled, JobContext, JobError, JobHandler};

impl Service {
    /// Adds the method `name`, which runs `handler` with its argument as the job: a worker can thus
    /// be called with a job, for example over a link, rather than asking a queue for it. The
    /// services of a queue do not apply: nothing is stored, and only the caller can retry a failed
    /// job.
    ///
    /// The handler's context has no id and no epoch (both are 0), the method as its topic, and
    /// ignores progress notes. A failure is `MethodFailed`; a delay (a retry with a pause, or a
    /// snooze) is `Unavailable`, which callers may retry.
    pub fn handler<H>(self, name: impl Into<String>, handler: H) -> Self
    where
        H: JobHandler<Job: DeserializeOwned, Output: Serialize>,
    {
        let handler = Arc::new(handler);
        self.raw(name, move |argument, cx| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handle(&*handler, argument, &cx).await })
        })
    }
}

async fn handle<H>(handler: &H, argument: Payload, cx: &MethodContext) -> Result<Payload, Error>
where
    H: JobHandler<Job: DeserializeOwned, Output: Serialize>,
{
    let job = argument.decode().map_err(|error| super::service::invalid_argument(cx, &error))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let reserved = ReservedJob {
        pushed: duration::millis(since),
        ..ReservedJob::new(
            Reservation { id: 0, epoch: 0 },
            cx.method(),
            Blob::from(argument.bytes().to_vec()),
        )
    };
    let context = JobContext::called(reserved, cx.deadline());
    let _end = NotifyOnDrop(context.clone());
    let output = handler.handle(job, &context).await.map_err(error)?;
    argument.answer(&output)
}

/// Notifies tasks that the handler started elsewhere that the result is no longer awaited.
struct NotifyOnDrop(JobContext);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let late = self.0.deadline().is_some_and(|deadline| deadline <= Instant::now());
        self.0.cancel(if late { Cancelled::TimedOut } else { Cancelled::Revoked });
    }
}

fn error(error: JobError) -> Error {
    let later = |message| Error::new(ErrorCode::Unavailable, message);
    match error {
        JobError::Fail { error } | JobError::Retry { after: None, error } => Error::failed(error),
        JobError::Retry { after: Some(after), error } => {
            later(format!("{error}; call again in {}", duration::show(after)))
        }
        JobError::Snooze { after } => {
            later(format!("it is too early; call again in {}", duration::show(after)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::calls::Methods;
    use crate::{Config, Wakeful};

    struct Halve;

    impl JobHandler for Halve {
        type Job = u32;
        type Output = (u32, String);

        async fn handle(&self, job: u32, cx: &JobContext) -> Result<Self::Output, JobError> {
            match job {
                0 => Err(JobError::snooze(Duration::from_secs(5))),
                1 => panic!("one cannot be halved"),
                odd if odd % 2 == 1 => Err(JobError::fail(format!("{odd} is odd"))),
                even => {
                    cx.progress("half way").await?;
                    Ok((even / 2, String::from_utf8_lossy(cx.topic()).into_owned()))
                }
            }
        }
    }

    #[actix_rt::test]
    async fn l9_a_handler_is_called_with_a_job() {
        let wakeful = Wakeful::start(Config::new()).unwrap();
        wakeful.register(Service::new("Numbers").handler("Halve", Halve)).unwrap();
        let done: (u32, String) = wakeful.invoke("Numbers.Halve", &8_u32).await.unwrap();
        assert_eq!(done, (4, "Numbers.Halve".to_owned()));
        for (job, code, words) in [
            (3_u32, ErrorCode::MethodFailed, "3 is odd"),
            (0, ErrorCode::Unavailable, "call again in 5s"),
            (1, ErrorCode::MethodPanicked, "Numbers.Halve panicked"),
        ] {
            let refusal = wakeful.invoke::<(u32, String)>("Numbers.Halve", &job).await.unwrap_err();
            assert_eq!(refusal.code, code);
            assert!(refusal.message.contains(words), "{refusal}");
        }
        let unfit = wakeful.invoke::<(u32, String)>("Numbers.Halve", "eight").await.unwrap_err();
        assert_eq!(unfit.code, ErrorCode::InvalidArgument);
        wakeful.stop().await;
    }
}
