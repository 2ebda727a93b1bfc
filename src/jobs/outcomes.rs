//! [`Outcome`]: the outcome of a job, and the stream of outcomes.

use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::stream;

use super::{Jobs, Schema, Topic};
use crate::error::Error;
use crate::model::{JobInfo, OutcomeSeq};

/// The outcome of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<O> {
    /// The number of the outcome among all outcomes, after which a stream can resume.
    pub number: OutcomeSeq,
    /// The result; `JobDead`, `JobCancelled`, or `Internal` if the result does not decode.
    pub result: Result<O, Error>,
    /// The details of the job, without its payload.
    pub job: JobInfo,
}

/// The position of the stream.
struct OutcomePosition {
    after: Option<OutcomeSeq>,
    page: VecDeque<JobInfo>,
    failed: bool,
}

pub(super) fn of<'a, J: 'a, O: Send + 'a, S: Schema<O>, T: Jobs>(
    topic: Topic<J, O, S>,
    jobs: &'a T,
    after: Option<OutcomeSeq>,
) -> impl Stream<Item = Result<Outcome<O>, Error>> + Send + Unpin + use<'a, J, O, S, T> {
    let place = OutcomePosition { after, page: VecDeque::new(), failed: false };
    Box::pin(stream::unfold((topic, place), move |(topic, mut place)| async move {
        if place.failed {
            return None;
        }
        loop {
            while let Some(job) = place.page.pop_front() {
                let (Some(result), Some(number)) = (topic.read(&job), job.outcome) else {
                    continue;
                };
                return Some((Ok(Outcome { number, result, job }), (topic, place)));
            }
            match jobs.outcomes(topic.name().clone(), place.after, 0, None).await {
                Ok(page) => {
                    place.after = Some(page.after);
                    place.page = page.jobs.into();
                }
                Err(error) => {
                    place.failed = true;
                    return Some((Err(error), (topic, place)));
                }
            }
        }
    }))
}
