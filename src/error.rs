//! The one error every caller sees: a stable code to branch on, a sentence to read, facts to use.

use std::fmt;

/// Why an operation was refused or its outcome is unknown.
///
/// Unless [`ErrorCode`] says otherwise for the code, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of refusal; stable over versions, listed in `docs/protocol.md`.
    pub code: ErrorCode,
    /// What happened and what to do next, for people.
    pub message: String,
    /// Facts for programs, by kind of refusal.
    pub details: Details,
}

/// What kind of refusal. The numbers are part of the protocol and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorCode {
    /// An argument has no meaning (an empty key, an empty range). Nothing changed.
    InvalidArgument = 1,
    /// A configured limit would be passed; [`Details::Limit`] names it. Nothing changed.
    LimitExceeded = 2,
    /// The revision asked for is compacted; [`Details::Revisions`] has the oldest and current.
    Compacted = 3,
    /// The revision asked for is in the future; [`Details::Revisions`] has the oldest and current.
    FutureRevision = 4,
    /// No lease has this id; it may have expired. Nothing changed.
    LeaseNotFound = 5,
    /// The lease id asked for is taken. Nothing changed.
    LeaseExists = 6,
    /// A transaction changes one key twice. Nothing changed.
    DuplicateKey = 7,
    /// The idempotency key was used for a different request. Nothing changed.
    IdempotencyMismatch = 8,
    /// No watch, wait or stream has this id (it may have ended). Nothing changed.
    WatchNotFound = 9,
    /// The watch id is taken on this stream. Nothing changed.
    WatchExists = 10,
    /// An operator ended the watch; [`Details::Resume`] says where to resume.
    EndedByOperator = 11,
    /// The deadline passed before the work began, so nothing changed, or before its answer came:
    /// then the outcome is unknown (the message says which).
    DeadlineExceeded = 12,
    /// The caller cancelled. Nothing changed unless the work had begun.
    Cancelled = 13,
    /// The service is stopping or the connection was lost; when a write was under way its outcome
    /// is unknown.
    Unavailable = 14,
    /// The peer broke the protocol: a malformed, truncated or trailing body, a wrong kind.
    Protocol = 15,
    /// A frame is longer than `rpc.frame_bytes_max`; the connection closes. Nothing changed.
    FrameTooLarge = 16,
    /// The peer speaks another version, or another protocol altogether.
    UnsupportedVersion = 17,
    /// After a reconnect the server holds another store than before, or one that may have lost what it last
    /// showed: revisions and reservations of before do not count.
    StoreChanged = 18,
    /// No server answers at the address.
    Unreachable = 19,
    /// A defect in Wakeful; the outcome is unknown.
    Internal = 20,
    /// The journal could not be written or synced. The outcome of writes under way is unknown until
    /// the store is opened again; nothing more is written before that.
    JournalFailed = 21,
    /// There is no room on the disk, or none left by `journal.disk_bytes_max`, which
    /// [`Details::Limit`] names then. Nothing changed.
    NoSpace = 22,
    /// Another process has the data directory open. Nothing changed.
    DataDirLocked = 23,
    /// The data directory holds damage, or a format that is not this version's; the message names
    /// file and offset. Nothing changed.
    Damaged = 24,
    /// The caller no longer holds the job under this epoch: it was settled, cancelled, or not
    /// touched in time and is somebody else's. Nothing changed.
    StaleReservation = 25,
    /// The topic has no room for more jobs; [`Details::Limit`] names the limit. Nothing changed.
    Full = 26,
    /// No job is known by this id or index: it was never pushed, or its outcome is no longer kept.
    JobNotFound = 27,
    /// No topic has this name. Nothing changed.
    TopicNotFound = 28,
    /// No schedule has this name. Nothing changed.
    ScheduleNotFound = 29,
    /// The job is finished, so that it cannot be cancelled. Nothing changed.
    JobFinished = 30,
    /// The job whose result was asked for is a dead letter; the message says why.
    JobDead = 31,
    /// The job whose result was asked for was cancelled.
    JobCancelled = 32,
    /// No service of this name is offered. Nothing was called.
    ServiceNotFound = 33,
    /// The service has no method of this name. Nothing was called.
    MethodNotFound = 34,
    /// The method refused; the message is its own, and whether anything changed is its affair.
    MethodFailed = 35,
    /// The method panicked; whether it did anything is unknown.
    MethodPanicked = 36,
    /// No connection by TLS: one side does not trust the certificate of the other. Nothing was asked.
    TlsFailed = 37,
    /// The job is not finished, so that its index cannot be freed. Nothing changed.
    JobUnfinished = 38,
    /// The topic has jobs or dead letters, or somebody would make it again: it cannot be deleted.
    /// Nothing changed.
    TopicInUse = 39,
    /// There are users, and the connection has not logged in, or its login is not valid any more.
    /// Nothing changed.
    NotLoggedIn = 40,
    /// No such user or token, or a wrong password: which of these is not said.
    LoginFailed = 41,
    /// None of the user's roles grants it. Nothing changed, and nothing was looked at.
    PermissionDenied = 42,
    /// No server of this name is behind the relay, or what answers has another name. Nothing
    /// changed.
    NoSuchServer = 50,
    /// The name of a link is in use by somebody else. Nothing changed.
    NameTaken = 51,
    /// Whoever dialed a link did not show that it may. Nothing changed.
    LinkRefused = 52,
}

/// Facts that go with an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Details {
    /// Nothing beyond code and message.
    #[default]
    None,
    /// The limit that would have been passed.
    Limit {
        /// The field of [`Config`](crate::Config), as in `store.key_bytes_max`.
        name: String,
        /// Its value, in the unit of its name (durations in milliseconds).
        value: u64,
    },
    /// What is readable.
    Revisions {
        /// Oldest revision that can still be read.
        oldest: u64,
        /// Newest revision.
        current: u64,
    },
    /// Where to go on.
    Resume {
        /// First revision not yet delivered that can still be had.
        revision: u64,
    },
}

impl ErrorCode {
    /// The code with this number; `None` for a number this version does not know.
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

    /// Whether the same request may succeed later without a change (after a pause).
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
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Details::None }
    }

    /// What a method refuses with that has no better code: `MethodFailed`.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::MethodFailed, message)
    }

    /// The same error with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// Whether it is a refusal because of the limit of this name, as in `store.key_bytes_max`.
    pub fn is_limit(&self, name: &str) -> bool {
        matches!(&self.details, Details::Limit { name: limit, .. } if limit == name)
    }

    /// Whether the same request may succeed later without a change (after a pause).
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }
}
