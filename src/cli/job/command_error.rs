//! [`CommandError`]: the reason why a command could not be run, through no fault of its job.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::cli::failure::{Exit, Failure};

/// The reason why a command could not be run or its output not read. The job goes back at no cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandError {
    pub(super) message: String,
    /// The exit status of a worker that cannot run any command; `None` for a passing condition.
    exit: Option<Exit>,
}

impl CommandError {
    /// Returns the reason why `command` could not be started.
    pub(super) fn starting(command: &OsStr, error: &io::Error) -> Self {
        let name = Path::new(command).display();
        let (exit, hint) = match Errno::from_io_error(error) {
            Some(errno) if passes(errno) => (None, ""),
            Some(Errno::NOENT) if exists(command) => {
                (Some(Exit::NotExecutable), "; its interpreter is missing: see its first line")
            }
            Some(Errno::NOENT | Errno::NOTDIR) => (Some(Exit::CommandNotFound), ""),
            _ => (Some(Exit::NotExecutable), ""),
        };
        Self { message: format!("cannot run {name}: {error}{hint}"), exit }
    }

    /// Returns the reason for a removed working directory.
    pub(super) fn without_directory() -> Self {
        let message = "cannot run the command: the working directory was removed".to_owned();
        Self { message, exit: Some(Exit::NotExecutable) }
    }

    /// Returns the reason for a command that ran with an unknown result.
    pub(super) fn watching(what: &str, error: &io::Error) -> Self {
        Self { message: format!("cannot {what}: {error}"), exit: None }
    }

    /// Returns the failure that ends the worker; `None` if it may try again.
    pub(super) fn failure(&self) -> Option<Failure> {
        let message = || format!("{}; its job went back to the topic, at no cost", self.message);
        self.exit.map(|exit| Failure::told(exit, "CannotRun", message()))
    }
}

/// Returns true if the same start may succeed a little later: a lack of processes, memory or
/// descriptors, or a file still being written.
fn passes(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN
            | Errno::NOMEM
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::TXTBSY
            | Errno::INTR
            | Errno::PIPE
    )
}

/// Returns true if `command` names an existing file, by its path or in the search path.
fn exists(command: &OsStr) -> bool {
    let path = Path::new(command);
    if path.components().count() > 1 {
        return path.exists();
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search).any(|dir| dir.join(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(command: &str, errno: Errno) -> Option<Exit> {
        CommandError::starting(command.as_ref(), &errno.into())
            .failure()
            .map(|failure| failure.exit())
    }

    #[test]
    fn what_passes_does_not_end_the_worker() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY] {
            assert_eq!(exit("sh", errno), None, "{errno}");
        }
        assert_eq!(exit("./typo", Errno::NOENT), Some(Exit::CommandNotFound));
        assert_eq!(exit("typo-nowhere", Errno::NOENT), Some(Exit::CommandNotFound));
        assert_eq!(exit("/dev/null/x", Errno::NOTDIR), Some(Exit::CommandNotFound));
        // Each exists, so its interpreter is missing.
        assert_eq!(exit("/bin/sh", Errno::NOENT), Some(Exit::NotExecutable));
        assert_eq!(exit("sh", Errno::NOENT), Some(Exit::NotExecutable));
        assert_eq!(exit("/etc/passwd", Errno::ACCESS), Some(Exit::NotExecutable));
        assert_eq!(exit("sh", Errno::NOEXEC), Some(Exit::NotExecutable));
    }
}
