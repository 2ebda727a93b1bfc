//! [`JournalError`]: the errors of a journal.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::RecordSeq;
use super::format::VERSION;

/// An error of a journal; the message explains what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum JournalError {
    /// Another process has the journal open.
    #[error("{} is open in another process; stop that one or choose another directory", dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// Durable bytes are not what was written.
    #[error(
        "{} is damaged at byte {offset}: {what}; nothing was changed, restore a backup, or see `wakeful \
         journal repair --help`", file.display()
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// The position in the segment.
        offset: u64,
        /// The fault.
        what: String,
    },
    /// There was a journal, but its files are gone.
    #[error(
        "{0} held a store, and its files are gone; nothing was changed: restore a backup into it \
         (`wakeful restore FILE --data-dir {0}`), or remove {1} to begin a new store there",
        dir.display(), marker.display()
    )]
    Gone {
        /// The journal's directory.
        dir: PathBuf,
        /// The file that marks the directory.
        marker: PathBuf,
    },
    /// Not a log that this version can read.
    #[error("{} cannot be read: {what}", file.display())]
    Format {
        /// The segment.
        file: PathBuf,
        /// Whether it is foreign, older or newer, and what to do.
        what: String,
    },
    /// The operating system refused.
    #[error(
        "cannot {what} {}: {error}; check the disk and the permissions, then start again",
        file.display()
    )]
    Io {
        /// The action that failed.
        what: JournalOperation,
        /// The file.
        file: PathBuf,
        /// The operating system's message.
        error: String,
    },
    /// The disk is full.
    #[error("no space left to {what} {}; free some, then start again", file.display())]
    NoSpace {
        /// The action that failed.
        what: JournalOperation,
        /// The file.
        file: PathBuf,
    },
    /// The journal has reached its limit.
    #[error(
        "the journal takes all of journal.disk_bytes_max ({max} bytes); raise it, or delete and \
         compact"
    )]
    Quota {
        /// The limit.
        max: u64,
    },
    /// A write or a sync does not end.
    #[error(
        "the disk has not finished a write or a sync in time; acknowledged writes are safe, and the outcome \
         of those in progress is known when the store is opened again"
    )]
    Hangs,
    /// A repair would drop records that the snapshot needs.
    #[error(
        "{0} includes {seq} records, and the log would end before them; nothing was changed; \
         `wakeful restore {0} --data-dir NEW` makes a store of that snapshot alone", snapshot.display()
    )]
    Needed {
        /// The snapshot.
        snapshot: PathBuf,
        /// The last record in the snapshot.
        seq: RecordSeq,
    },
    /// The directory for a new journal already contains one.
    #[cfg(any(test, feature = "cli"))]
    #[error("{} already exists; choose another directory", file.display())]
    NotEmpty {
        /// A file of the existing journal.
        file: PathBuf,
    },
    /// A thread of the journal panicked.
    #[error("the thread {thread} panicked, which is a defect in Wakeful")]
    Panicked {
        /// The name of the thread.
        thread: &'static str,
    },
    /// The segment in use was removed.
    #[error(
        "{} was removed while in use, and the last writes are lost with it: stop the server, and restore a \
         backup", file.display()
    )]
    Removed {
        /// The segment.
        file: PathBuf,
    },
    /// The journal was closed during the operation.
    #[error("the journal was closed meanwhile")]
    Closed,
    /// A record is too large for any segment.
    #[error(
        "record {seq} of {bytes} bytes does not fit in a segment; raise journal.segment_bytes above \
         {limit} and start again"
    )]
    RecordTooLarge {
        /// The number of the record.
        seq: RecordSeq,
        /// The size of the record.
        bytes: u64,
        /// The largest size that fits.
        limit: u64,
    },
}

/// An action on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalOperation {
    MakeDir,
    List,
    Lock,
    Open,
    Make,
    Read,
    Write,
    Sync,
    Remove,
    Start,
}

impl fmt::Display for JournalOperation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::MakeDir => "make the directory",
            Self::List => "list",
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Make => "make",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Remove => "remove",
            Self::Start => "start a thread for",
        })
    }
}

impl JournalError {
    pub(super) fn io(what: JournalOperation, file: &Path, error: &io::Error) -> Self {
        let file = file.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { what, file }
            }
            _ => Self::Io { what, file, error: error.to_string() },
        }
    }

    pub(super) fn needed(dir: &Path, seq: RecordSeq) -> Self {
        Self::Needed { snapshot: super::snapshot::path(dir, seq), seq }
    }

    pub(super) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what: what.into() }
    }

    /// Returns the error for a format that this version cannot read.
    pub(super) fn version(file: &Path, version: u32) -> Self {
        let age = if version > VERSION { "newer" } else { "older" };
        let what = format!(
            "its format is {version}, {age} than the {VERSION} known here; use the Wakeful that \
             wrote it"
        );
        Self::format(file, what)
    }

    pub(super) fn format(file: &Path, what: impl Into<String>) -> Self {
        Self::Format { file: file.to_owned(), what: what.into() }
    }
}
