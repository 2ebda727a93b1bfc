//! [`Error`], the only error that callers see: a stable code for programs, a message for people, and
//! details for programs.

use std::fmt;

/// The reason why an operation was refused, or its outcome is unknown.
///
/// Unless [`ErrorCode`] says otherwise for the code, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind of error; stable over versions, listed in `docs/protocol.md`.
    pub code: ErrorCode,
    /// An explanation for people, with the next step.
    pub message: String,
    /// Details for programs, depending on the kind of error.
    pub details: Details,
}

/// The kind of error. The numbers are part of the protocol and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorCode {
    /// An argument is invalid (an empty key, an empty range). Nothing changed.
    InvalidArgument = 1,
    /// A configured limit would be exceeded; [`Details::Limit`] names it. Nothing changed.
    LimitExceeded = 2,
    /// The requested revision is compacted; [`Details::Revisions`] has the oldest and the current one.
    Compacted = 3,
    /// The requested revision is in the future; [`Details::Revisions`] has the oldest and the current
    /// one.
    FutureRevision = 4,
    /// No lease has this id; it may have expired. Nothing changed.
    LeaseNotFound = 5,
    /// The requested lease id is taken. Nothing changed.
    LeaseExists = 6,
    /// A transaction changes one key twice. Nothing changed.
    DuplicateKey = 7,
    /// The idempotency key was used for a different request. Nothing changed.
    IdempotencyMismatch = 8,
    /// No watch, wait or stream has this id (it may have ended). Nothing changed.
    WatchNotFound = 9,
    /// The watch id is taken on this stream. Nothing changed.
    WatchExists = 10,
    /// An operator ended the watch; [`Details::Resume`] has the revision to resume from.
    EndedByOperator = 11,
    /// The deadline passed: either before the work began, so nothing changed, or before the answer
    /// came, so the outcome is unknown (the message says which).
    DeadlineExceeded = 12,
    /// The caller cancelled. Nothing changed unless the work had begun.
    Cancelled = 13,
    /// The service is stopping or the connection was lost; the outcome of a write in progress is
    /// unknown.
    Unavailable = 14,
    /// The peer violated the protocol: a malformed, truncated or trailing body, or a wrong kind.
    Protocol = 15,
    /// A frame is longer than `rpc.frame_bytes_max`; the connection closes. Nothing changed.
    FrameTooLarge = 16,
    /// The peer speaks another version or another protocol.
    UnsupportedVersion = 17,
    /// After a reconnect, the server has another store than before, or one that may have lost what it
    /// last showed: earlier revisions and reservations are invalid.
    StoreChanged = 18,
    /// No server answers at the address.
    Unreachable = 19,
    /// A defect in Wakeful; the outcome is unknown.
    Internal = 20,
    /// The journal could not be written or synced. The outcome of writes in progress is unknown until
    /// the store is opened again; nothing more is written before that.
    JournalFailed = 21,
    /// The disk is full, or `journal.disk_bytes_max` is reached, which [`Details::Limit`] then names.
    /// Nothing changed.
    NoSpace = 22,
    /// Another process has the data directory open. Nothing changed.
    DataDirLocked = 23,
    /// The data directory is damaged, or has a format that this version does not read; the message
    /// names file and offset. Nothing changed.
    Damaged = 24,
    /// The caller no longer holds the job under this epoch: the job was settled, cancelled, or not
    /// touched in time. Nothing changed.
    StaleReservation = 25,
    /// The topic cannot take more jobs; [`Details::Limit`] names the limit. Nothing changed.
    Full = 26,
    /// No job is known under this id or index: it was never pushed, or its outcome is no longer kept.
    JobNotFound = 27,
    /// No topic has this name. Nothing changed.
    TopicNotFound = 28,
    /// No schedule has this name. Nothing changed.
    ScheduleNotFound = 29,
    /// The job is finished, so it cannot be cancelled. Nothing changed.
    JobFinished = 30,
    /// The job whose result was requested is a dead letter; the message has its last error.
    JobDead = 31,
    /// The job whose result was requested was cancelled.
    JobCancelled = 32,
    /// No service with this name is offered. Nothing was called.
    ServiceNotFound = 33,
    /// The service has no method with this name. Nothing was called.
    MethodNotFound = 34,
    /// The method refused; the message is its own, and only the method knows whether anything changed.
    MethodFailed = 35,
    /// The method panicked; whether it changed anything is unknown.
    MethodPanicked = 36,
    /// TLS failed: one side does not trust the certificate of the other. Nothing was sent.
    TlsFailed = 37,
    /// The job is not finished, so its index cannot be freed. Nothing changed.
    JobUnfinished = 38,
    /// The topic has jobs or dead letters, or something would create it again: it cannot be deleted.
    /// Nothing changed.
    TopicInUse = 39,
    /// There are users, and the connection has not logged in, or its login is no longer valid. Nothing
    /// changed.
    NotLoggedIn = 40,
    /// There is no such user or token, or the password is wrong; the error does not say which.
    LoginFailed = 41,
    /// None of the user's roles grants the request. Nothing changed, and nothing was read.
    PermissionDenied = 42,
    /// No server with this name is behind the relay, or the server that answers has another name.
    /// Nothing changed.
    NoSuchServer = 50,
    /// The name of a link is in use by another user. Nothing changed.
    NameTaken = 51,
    /// The dialing end of a link did not authenticate. Nothing changed.
    LinkRefused = 52,
}

/// The details of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Details {
    /// No details beyond code and message.
    #[default]
    None,
    /// The limit that would be exceeded.
    Limit {
        /// The field of [`Config`](crate::Config), such as `store.key_bytes_max`.
        name: String,
        /// The limit's value, in the unit of its name (durations in milliseconds).
        value: u64,
    },
    /// The readable revisions.
    Revisions {
        /// The oldest revision that can still be read.
        oldest: u64,
        /// The newest revision.
        current: u64,
    },
    /// The point to continue from.
    Resume {
        /// The first revision that was not delivered and is still available.
        revision: u64,
    },
}

impl ErrorCode {
    /// Returns the code with this number; `None` for a number that this version does not know.
    pub fn from_u16(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| *known as u16 == code)
    }

    /// Every code, in order of number.
    pub const ALL: [ErrorCode; 45] = [
        Self::InvalidArgument,
        Self::LimitExceeded,
        Self::Compacted,
        Self::FutureRevision,
        Self::LeaseNotFound,
        Self::LeaseExists,
        Self::DuplicateKey,
        Self::IdempotencyMismatch,
        Self::WatchNotFound,
        Self::WatchExists,
        Self::EndedByOperator,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Unavailable,
        Self::Protocol,
        Self::FrameTooLarge,
        Self::UnsupportedVersion,
        Self::StoreChanged,
        Self::Unreachable,
        Self::Internal,
        Self::JournalFailed,
        Self::NoSpace,
        Self::DataDirLocked,
        Self::Damaged,
        Self::StaleReservation,
        Self::Full,
        Self::JobNotFound,
        Self::TopicNotFound,
        Self::ScheduleNotFound,
        Self::JobFinished,
        Self::JobDead,
        Self::JobCancelled,
        Self::ServiceNotFound,
        Self::MethodNotFound,
        Self::MethodFailed,
        Self::MethodPanicked,
        Self::TlsFailed,
        Self::JobUnfinished,
        Self::TopicInUse,
        Self::NotLoggedIn,
        Self::LoginFailed,
        Self::PermissionDenied,
        Self::NoSuchServer,
        Self::NameTaken,
        Self::LinkRefused,
    ];

    /// Returns whether the same request may succeed later (after a pause).
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::DeadlineExceeded
                | Self::Unreachable
                | Self::NoSpace
                | Self::Full
                | Self::NoSuchServer
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Error {
    /// Returns an error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Details::None }
    }

    /// Returns the error of a method that has no better code: `MethodFailed`.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::MethodFailed, message)
    }

    /// Returns the same error with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// Returns whether this is a refusal because of the limit with this name, such as
    /// `store.key_bytes_max`.
    pub fn is_limit(&self, name: &str) -> bool {
        matches!(&self.details, Details::Limit { name: limit, .. } if limit == name)
    }

    /// Returns whether the same request may succeed later (after a pause).
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }
}
