//! One request to the queue, and one answer about one reservation.

use crate::cli::failure::Failure;
use crate::{Error, ErrorCode, JobReply, JobRequest, Jobs, Operations};

/// The one answer about one reservation.
pub(super) fn settled(answers: Vec<Option<Error>>) -> Result<(), Failure> {
    match answers.into_iter().next() {
        Some(None) => Ok(()),
        Some(Some(error)) => Err(error.into()),
        None => Err(unfit().into()),
    }
}

/// How many were changed, and whether there are more.
pub(super) async fn changed(
    jobs: &impl Operations,
    request: JobRequest,
) -> Result<(u64, bool), Error> {
    match jobs.job(request).await? {
        JobReply::Changed { count, more } => Ok((count, more)),
        _ => Err(unfit()),
    }
}

/// A reply of another kind than the request's.
pub(super) fn unfit() -> Error {
    Error::new(ErrorCode::Internal, "the reply of the queue does not fit the request")
}
