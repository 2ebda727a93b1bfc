//! [`LogArgs`]: what is logged, and how.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug, trace, or as RUST_LOG, which also is the default
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    log: String,
    /// How to log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

impl LogArgs {
    /// Logs to standard error from now on.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| Failure::usage(format!("--log {}: {error}", self.log)))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        let started = match self.log_format {
            LogFormat::Human => {
                use std::io::IsTerminal;
                log.with_ansi(io::stderr().is_terminal()).try_init()
            }
            LogFormat::Json => log.json().try_init(),
        };
        started.map_err(|error| Failure::told(Exit::Failed, "Internal", error.to_string()))
    }
}
