//! Refusals of the store and of its waits and watches.

use std::time::Duration;

use crate::error::{Details, Error, ErrorCode};
use crate::fair::{ClientId, FairShares};
use crate::model::{Blob, LeaseId, Revision};

/// The reason why the store, or a wait or watch on it, refuses a request. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{what}: the limit {name} is {value}{unit}; nothing was changed")]
    Limit { name: &'static str, value: u64, unit: &'static str, what: &'static str },
    #[error(
        "revision {asked} is compacted: the oldest readable is {oldest}, the current {current}"
    )]
    Compacted { asked: Revision, oldest: Revision, current: Revision },
    #[error(
        "revision {asked} is in the future: the oldest readable is {oldest}, the current {current}"
    )]
    Future { asked: Revision, oldest: Revision, current: Revision },
    #[error("no lease {0}: it was never granted, was revoked or has expired")]
    LeaseNotFound(LeaseId),
    #[error("lease {0} exists already; grant with id 0 to have one picked")]
    LeaseExists(LeaseId),
    #[error("the transaction changes key {0} twice; nothing was changed")]
    DuplicateKey(Blob),
    #[error("the idempotency key was used for a different request; nothing was changed")]
    IdempotencyMismatch,
    #[error("no watch, wait or stream {0}: it may have ended")]
    WatchNotFound(u64),
    #[error("watch id {0} is taken on this stream")]
    WatchExists(u64),
    #[error("ended by an operator; resume from revision {resume}")]
    EndedByOperator { resume: Revision },
    #[error(
        "overtaken by compaction: events were compacted before they were read; resume from \
         revision {resume}, or with a snapshot"
    )]
    Overtaken { resume: Revision },
    #[error("the deadline passed before the work began; nothing was changed")]
    DeadlineExceeded,
    #[error("cancelled")]
    Cancelled,
    #[error("not permitted: no role of the user grants `watch` on it any more")]
    Denied,
    #[error("the service is stopping")]
    Stopping { resume: Option<Revision> },
}

impl StoreError {
    /// Returns the refusal of a request beyond the limit `name`, which has this value.
    pub(crate) fn limit(name: &'static str, value: usize, what: &'static str) -> Self {
        Self::Limit { name, value: value as u64, unit: "", what }
    }

    /// Checks that `client` may hold one more of what `shares` counts, of at most `max` in all; `full`
    /// is the message of the refusal if all of it is in use.
    pub(crate) fn share(
        shares: &FairShares<ClientId>,
        client: ClientId,
        name: &'static str,
        max: usize,
        full: &'static str,
    ) -> Result<(), Self> {
        let checked = shares.check(client, 1, max as u64);
        checked.map_err(|excess| Self::limit(name, max, excess.what(full)))
    }

    /// Returns the refusal for a lease with more keys than one record of the journal can end.
    pub(super) fn too_much_for_a_lease(max: usize) -> Self {
        let what = "the keys of a lease have too many bytes to be deleted at once";
        Self::limit("store.revision_bytes_max", max, what)
    }

    /// Returns the refusal of a duration beyond the limit `name`.
    pub(crate) fn limit_ms(name: &'static str, limit: Duration, what: &'static str) -> Self {
        let value = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self::Limit { name, value, unit: " ms", what }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let (code, details) = match error {
            StoreError::InvalidArgument(_) => (ErrorCode::InvalidArgument, Details::None),
            StoreError::Limit { name, value, .. } => {
                (ErrorCode::LimitExceeded, Details::Limit { name: name.to_owned(), value })
            }
            StoreError::Compacted { oldest, current, .. } => {
                (ErrorCode::Compacted, Details::Revisions { oldest, current })
            }
            StoreError::Future { oldest, current, .. } => {
                (ErrorCode::FutureRevision, Details::Revisions { oldest, current })
            }
            StoreError::LeaseNotFound(_) => (ErrorCode::LeaseNotFound, Details::None),
            StoreError::LeaseExists(_) => (ErrorCode::LeaseExists, Details::None),
            StoreError::DuplicateKey(_) => (ErrorCode::DuplicateKey, Details::None),
            StoreError::IdempotencyMismatch => (ErrorCode::IdempotencyMismatch, Details::None),
            StoreError::WatchNotFound(_) => (ErrorCode::WatchNotFound, Details::None),
            StoreError::WatchExists(_) => (ErrorCode::WatchExists, Details::None),
            StoreError::EndedByOperator { resume } => {
                (ErrorCode::EndedByOperator, Details::Resume { revision: resume })
            }
            StoreError::Overtaken { resume } => {
                (ErrorCode::Compacted, Details::Resume { revision: resume })
            }
            StoreError::DeadlineExceeded => (ErrorCode::DeadlineExceeded, Details::None),
            StoreError::Cancelled => (ErrorCode::Cancelled, Details::None),
            StoreError::Denied => (ErrorCode::PermissionDenied, Details::None),
            StoreError::Stopping { resume } => (
                ErrorCode::Unavailable,
                resume.map_or(Details::None, |revision| Details::Resume { revision }),
            ),
        };
        Error::new(code, message).with_details(details)
    }
}
