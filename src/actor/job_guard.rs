//! What the queue judges of a request that names jobs by their ids.

use crate::auth::{Access, Action, Need};
use crate::error::Error;
use crate::model::{JobId, JobRef, JobRequest};
use crate::queue::{self, QueueError};

/// Whether a job may not be looked at. One that is unknown here may.
pub(super) fn hides_job(queue: &queue::State, access: &Access, id: JobId) -> bool {
    queue.topic_of(id).is_some_and(|topic| !access.sees_topic(topic))
}

/// Why the queue refuses a request that names jobs by their ids, if it does. A job that is unknown
/// here is refused by others, or its answer is.
pub(super) fn refuses_job(
    queue: &queue::State,
    access: Option<&Access>,
    request: &JobRequest,
) -> Option<Error> {
    let access = access?;
    let works = |id: JobId| queue.topic_of(id).is_none_or(|topic| access.has(Action::Work, topic));
    let permitted = match request {
        JobRequest::Settle(settlements) => settlements.iter().all(|it| works(it.reservation.id)),
        JobRequest::Touch { reservations, .. } => reservations.iter().all(|it| works(it.id)),
        JobRequest::Progress { reservation, .. } => works(reservation.id),
        JobRequest::Get(JobRef::Id(id)) | JobRequest::Await { job: JobRef::Id(id), .. } => {
            let hidden = hides_job(queue, access, *id);
            return hidden.then(|| QueueError::not_found(&JobRef::Id(*id)).into());
        }
        JobRequest::Cancel(JobRef::Id(id)) => {
            let owned = queue.topic_of(*id).is_none_or(|topic| access.has(Action::Push, topic));
            return (!owned).then(|| QueueError::not_found(&JobRef::Id(*id)).into());
        }
        _ => true,
    };
    (!permitted).then(|| Need::On(Action::Work).into())
}
