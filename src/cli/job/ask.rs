//! One request to the queue, and one answer about one reservation.

use crate::cli::failure::Failure;
use crate::{Error, ErrorCode, JobReply, JobRequest, Jobs, Operations};

/// Returns the single answer about one reservation.
pub(super) fn settled(answers: Vec<Option<Error>>) -> Result<(), Failure> {
    match answers.into_iter().next() {
        Some(None) => Ok(()),
        Some(Some(error)) => Err(error.into()),
        None => Err(unexpected_reply().into()),
    }
}

/// Returns the number of changed jobs, and whether there are more.
pub(super) async fn changed(
    jobs: &impl Operations,
    request: JobRequest,
) -> Result<(u64, bool), Error> {
    match jobs.job(request).await? {
        JobReply::Changed { count, more } => Ok((count, more)),
        _ => Err(unexpected_reply()),
    }
}

/// Returns the error for a reply that does not belong to the request.
pub(super) fn unexpected_reply() -> Error {
    Error::new(ErrorCode::Internal, "the reply of the queue does not match the request")
}
