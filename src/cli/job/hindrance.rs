//! [`Hindrance`]: why a command could not be run, which is no fault of its job.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::cli::failure::{Exit, Failure};

/// Why a command could not be run, or its output not be read. Its job goes back, at no cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hindrance {
    pub(super) message: String,
    /// How a worker exits that cannot run any command; `None` for what passes by itself.
    exit: Option<Exit>,
}

impl Hindrance {
    /// `command` could not be started.
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

    /// The working directory of the worker is gone.
    pub(super) fn without_directory() -> Self {
        let message = "cannot run the command: the working directory was removed".to_owned();
        Self { message, exit: Some(Exit::NotExecutable) }
    }

    /// A command ran, and what became of it cannot be known.
    pub(super) fn watching(what: &str, error: &io::Error) -> Self {
        Self { message: format!("cannot {what}: {error}"), exit: None }
    }

    /// Why the worker ends; `None` if it may try again.
    pub(super) fn failure(&self) -> Option<Failure> {
        let message = || format!("{}; its job went back to the topic, at no cost", self.message);
        self.exit.map(|exit| Failure::told(exit, "CannotRun", message()))
    }
}

/// Whether the same start may succeed a little later: for want of processes, memory or descriptors, or
/// while the file is being written.
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

/// Whether there is a file that `command` names, by its path or in the search path.
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
        Hindrance::starting(command.as_ref(), &errno.into()).failure().map(|failure| failure.exit())
    }

    #[test]
    fn what_passes_does_not_end_the_worker() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY] {
            assert_eq!(exit("sh", errno), None, "{errno}");
        }
        assert_eq!(exit("./typo", Errno::NOENT), Some(Exit::CommandNotFound));
        assert_eq!(exit("typo-nowhere", Errno::NOENT), Some(Exit::CommandNotFound));
        assert_eq!(exit("/dev/null/x", Errno::NOTDIR), Some(Exit::CommandNotFound));
        // Each exists, so what is missing is what would run it.
        assert_eq!(exit("/bin/sh", Errno::NOENT), Some(Exit::NotExecutable));
        assert_eq!(exit("sh", Errno::NOENT), Some(Exit::NotExecutable));
        assert_eq!(exit("/etc/passwd", Errno::ACCESS), Some(Exit::NotExecutable));
        assert_eq!(exit("sh", Errno::NOEXEC), Some(Exit::NotExecutable));
    }
}
