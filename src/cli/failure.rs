//! [`Exit`] and [`Failure`]: how a command ends, and its error message.

use std::io;
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use clap::builder::Styles;
use serde::Serialize;

use super::output::notice;
use crate::{Details, Error, ErrorCode, Revision};

/// The exit status of the process. The numbers are a promise to scripts; see [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Usage,
    NotFound,
    Timeout,
    Unreachable,
    /// The data directory is damaged, or of another format.
    Damaged,
    /// Another process uses the data directory.
    Locked,
    /// The journal could not be written.
    JournalFailed,
    /// The command to run for jobs exists, but cannot be executed.
    NotExecutable,
    /// The command to run for jobs does not exist.
    CommandNotFound,
    /// Ended by SIGHUP.
    HungUp,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGQUIT.
    Quit,
    /// Ended as by SIGPIPE: the reader of standard output closed it.
    ReaderGone,
    /// Ended by SIGTERM.
    Terminated,
    /// The exit code of the command that was run for a job.
    Command(u8),
}

impl Exit {
    /// Returns the exit code of the process.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Timeout => 4,
            Self::Unreachable => 5,
            Self::Damaged => 6,
            Self::Locked => 7,
            Self::JournalFailed => 8,
            // The shell's convention; a signal is 128 plus its number.
            Self::NotExecutable => 126,
            Self::CommandNotFound => 127,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Quit => 131,
            Self::ReaderGone => 141,
            Self::Terminated => 143,
            Self::Command(code) => code,
        }
    }
}

/// Shown at the end of `wakeful --help`. One line per entry: clap wraps them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    error; the awaited job is a dead letter or was cancelled
  2    usage: an argument is wrong
  3    not found: key, lease, watcher, job, topic, schedule, service or method; \
nothing deleted; `txn` ran its failure list
  4    timeout
  5    cannot reach the server
  6    the data directory is damaged, or of another format
  7    another process uses the data directory
  8    the journal could not be written or synced
  126  `job work`: the command cannot be executed
  127  `job work`: the command does not exist
  130  interrupted by Ctrl-C before the answer; SIGTERM: 143
  141  `job work`: the reader of standard output closed it

Commands that run until they are stopped (`serve`, `watch`, `lease keep-alive`, `job work`, \
`job outcomes`) exit with 0 after Ctrl-C or SIGTERM; `serve` with 130 or 143 after a second one. \
Commands that only print, such as `watch`, exit with 0 when their reader closes standard output. \
`job work --once` exits as the command of its job did; 129 and 131 stand for SIGHUP and SIGQUIT.

Errors go to standard error; with --json as {\"error\":{\"code\":..,\"message\":..}}.";

/// The reason why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of standard output closed it, so no message can be delivered.
    ClosedPipe,
    /// A failure with a message.
    Told {
        exit: Exit,
        /// The name of an [`ErrorCode`], or one of the command line's own codes.
        code: String,
        /// The cause, and the next step.
        message: String,
        details: Details,
    },
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::told(Exit::Usage, "Usage", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::told(Exit::NotFound, "NotFound", message)
    }

    pub(crate) fn told(exit: Exit, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Told { exit, code: code.into(), message: message.into(), details: Details::None }
    }

    /// Returns the failure to read or write `what`.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::told(Exit::Failed, "Io", format!("{what}: {error}"))
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ClosedPipe => Exit::Done,
            Self::Told { exit, .. } => *exit,
        }
    }

    /// Returns the message.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::ClosedPipe => "the reader closed standard output",
            Self::Told { message, .. } => message,
        }
    }

    /// Names the file at `path` in the message as the user named it.
    pub(crate) fn about(mut self, path: impl AsRef<Path>, name: &str) -> Self {
        if let Self::Told { message, .. } = &mut self {
            *message = message.replace(&path.as_ref().display().to_string(), name);
        }
        self
    }

    /// Writes the failure to standard error, coloured like clap's own errors: on a terminal with
    /// colours, unless NO_COLOR is set.
    pub(crate) fn print(&self, json: bool) {
        let Some(line) = self.line(json) else { return };
        let coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        match line.strip_prefix("error:") {
            Some(rest) if coloured && !json => {
                let styles = Styles::styled();
                let style = styles.get_error();
                notice(format_args!("{style}error:{style:#}{rest}"));
            }
            _ => notice(line),
        }
    }

    /// Returns the line for standard error; `None` if there is no message.
    pub(crate) fn line(&self, json: bool) -> Option<String> {
        let Self::Told { code, message, details, .. } = self else { return None };
        if !json {
            return Some(format!("error: {message}"));
        }
        let details = match *details {
            Details::None => None,
            Details::Limit { ref name, value } => Some(DetailsJson::Limit { limit: name, value }),
            Details::Revisions { oldest, current } => {
                Some(DetailsJson::Revisions { oldest, current })
            }
            Details::Resume { revision } => Some(DetailsJson::Resume { resume: revision }),
        };
        let object = FailureJson { error: ErrorJson { code, message, details } };
        // Infallible: the object has only string keys and no value that fails.
        serde_json::to_string(&object).ok()
    }
}

/// A failure in JSON.
#[derive(Serialize)]
struct FailureJson<'a> {
    error: ErrorJson<'a>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(flatten)]
    details: Option<DetailsJson<'a>>,
}

/// The [`Details`] of an error in JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum DetailsJson<'a> {
    Limit { limit: &'a str, value: u64 },
    Revisions { oldest: Revision, current: Revision },
    Resume { resume: Revision },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.code {
            ErrorCode::InvalidArgument => Exit::Usage,
            ErrorCode::LeaseNotFound
            | ErrorCode::WatchNotFound
            | ErrorCode::JobNotFound
            | ErrorCode::TopicNotFound
            | ErrorCode::ScheduleNotFound
            | ErrorCode::ServiceNotFound
            | ErrorCode::MethodNotFound => Exit::NotFound,
            ErrorCode::DeadlineExceeded => Exit::Timeout,
            ErrorCode::Unreachable | ErrorCode::Unavailable | ErrorCode::TlsFailed => {
                Exit::Unreachable
            }
            ErrorCode::Damaged => Exit::Damaged,
            ErrorCode::DataDirLocked => Exit::Locked,
            ErrorCode::JournalFailed => Exit::JournalFailed,
            _ => Exit::Failed,
        };
        Self::Told {
            exit,
            code: error.code.to_string(),
            message: error.message,
            details: error.details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_end_with_their_exit() {
        for (code, exit) in [
            (ErrorCode::InvalidArgument, Exit::Usage),
            (ErrorCode::LimitExceeded, Exit::Failed),
            (ErrorCode::LeaseNotFound, Exit::NotFound),
            (ErrorCode::JobNotFound, Exit::NotFound),
            (ErrorCode::TopicNotFound, Exit::NotFound),
            (ErrorCode::ScheduleNotFound, Exit::NotFound),
            (ErrorCode::ServiceNotFound, Exit::NotFound),
            (ErrorCode::MethodNotFound, Exit::NotFound),
            (ErrorCode::MethodFailed, Exit::Failed),
            (ErrorCode::JobDead, Exit::Failed),
            (ErrorCode::JobCancelled, Exit::Failed),
            (ErrorCode::JobFinished, Exit::Failed),
            (ErrorCode::JobUnfinished, Exit::Failed),
            (ErrorCode::TopicInUse, Exit::Failed),
            (ErrorCode::StaleReservation, Exit::Failed),
            (ErrorCode::Full, Exit::Failed),
            (ErrorCode::DeadlineExceeded, Exit::Timeout),
            (ErrorCode::Unreachable, Exit::Unreachable),
            (ErrorCode::Unavailable, Exit::Unreachable),
            (ErrorCode::TlsFailed, Exit::Unreachable),
            (ErrorCode::Internal, Exit::Failed),
            (ErrorCode::Damaged, Exit::Damaged),
            (ErrorCode::DataDirLocked, Exit::Locked),
            (ErrorCode::JournalFailed, Exit::JournalFailed),
        ] {
            assert_eq!(Failure::from(Error::new(code, "x")).exit(), exit, "{code}");
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::from(
            Error::new(ErrorCode::Compacted, "revision 2 is compacted")
                .with_details(Details::Revisions { oldest: 5, current: 9 }),
        );
        assert_eq!(failure.line(false).unwrap(), "error: revision 2 is compacted");
        assert_eq!(
            failure.line(true).unwrap(),
            r#"{"error":{"code":"Compacted","message":"revision 2 is compacted","oldest":5,"current":9}}"#
        );
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let failure = Failure::io("x", &io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.line(false)), (Exit::Done, None));
    }
}
