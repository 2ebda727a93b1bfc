//! Other programs that talk to a server, with the options, errors and exit codes of `wakeful`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, FromArgMatches};

use super::{Common, UsageError, stderr};
#[cfg(feature = "tls")]
use crate::ClientTls;
use crate::Error;
use crate::auth::Credentials;
use crate::cli::failure::{Exit, Failure};

/// The server to talk to, and how.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerTarget {
    /// The address of the server.
    pub addr: String,
    /// The user to log in as.
    pub credentials: Option<Credentials>,
    /// Whether to speak TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<ClientTls>,
    /// Whether to print JSON.
    pub json: bool,
}

/// Reads `arguments`, the program's name first, as options of `command` (those in `A`, and those that
/// every command of `wakeful` has), runs the program, and returns the exit code of the process.
pub fn run<A: Args>(
    command: clap::Command,
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(A, &ServerTarget) -> Result<(), Error>,
) -> ExitCode {
    stderr::take_panics();
    let given: Vec<OsString> = arguments.into_iter().collect();
    let exit = match read(command, &given) {
        Ok((args, target)) => match run(args, &target).map_err(Failure::from) {
            Ok(()) => ExitCode::from(Exit::Done.code()),
            Err(failure) => {
                failure.print(target.json);
                ExitCode::from(failure.exit().code())
            }
        },
        Err(refusal) => refusal.tell(given.iter().any(|argument| argument == "--json")),
    };
    stderr::finish();
    exit
}

/// Writes to standard error without waiting for its reader.
pub fn write_stderr(bytes: &[u8]) {
    stderr::write(bytes);
}

fn read<A: Args>(
    command: clap::Command,
    given: &[OsString],
) -> Result<(A, ServerTarget), UsageError> {
    let own = A::augment_args(command);
    let (about, long) = (own.get_about().cloned(), own.get_long_about().cloned());
    let mut command = Common::augment_args(own).about(about.unwrap_or_default());
    command = command.long_about(long.unwrap_or_default());
    let matches = command.try_get_matches_from_mut(given).map_err(UsageError::Clap)?;
    let unfit = |error: clap::Error| UsageError::Clap(error);
    let mut common = Common::from_arg_matches(&matches).map_err(unfit)?;
    let args = A::from_arg_matches(&matches).map_err(unfit)?;
    common.login.note(&matches);
    crate::address::check(&common.addr).map_err(|error| UsageError::Failure(error.into()))?;
    let target = ServerTarget {
        credentials: common.login.credentials().map_err(UsageError::Failure)?,
        #[cfg(feature = "tls")]
        tls: common.tls.client().map_err(|error| UsageError::Failure(error.into()))?,
        json: common.json,
        addr: common.addr,
    };
    Ok((args, target))
}
