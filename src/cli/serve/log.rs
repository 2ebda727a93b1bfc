//! [`LogArgs`]: the content and format of the log; [`ServerLog`], whose filter can be reloaded.

use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::cli::failure::{Exit, Failure};
use crate::cli::stderr::{self, LogWriter};

#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// Log filter: error, warn, info, debug, trace
    ///
    /// The syntax is that of RUST_LOG, which applies if this is not set. `info,wakeful::request=debug`
    /// logs each request
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = filter)]
    log: String,
    /// Log format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

/// The running log.
pub(crate) struct ServerLog {
    filter: String,
    format: LogFormat,
    set: Box<dyn Fn(EnvFilter) -> Result<(), String>>,
}

impl LogArgs {
    /// Starts logging to standard error.
    pub(crate) fn start(&self) -> Result<ServerLog, Failure> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| Failure::usage(format!("--log {}: {error}", self.log)))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| LogWriter);
        let no = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::told(Exit::Failed, "Internal", error.to_string())
        };
        let set: Box<dyn Fn(EnvFilter) -> Result<(), String>> = match self.log_format {
            LogFormat::Human => {
                let log = log.fmt_fields(debug_fn(field).delimited(" "));
                let log = log.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
                let handle = log.reload_handle();
                log.try_init().map_err(no)?;
                Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
            }
            LogFormat::Json => {
                let log = log.json().with_current_span(false).with_filter_reloading();
                let handle = log.reload_handle();
                log.try_init().map_err(no)?;
                Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
            }
        };
        stderr::report_to_log();
        Ok(ServerLog { filter: self.log.clone(), format: self.log_format, set })
    }
}

impl ServerLog {
    /// Applies what can change: the filter of events. Returns what changed, and what did not.
    pub(super) fn reload(&mut self, args: &LogArgs) -> Result<Vec<String>, String> {
        let mut told = Vec::new();
        if args.log != self.filter {
            (self.set)(EnvFilter::try_new(&args.log).map_err(|error| error.to_string())?)?;
            told.push(format!("log: `{}` is now `{}`", self.filter, args.log));
            self.filter.clone_from(&args.log);
        }
        if args.log_format != self.format {
            told.push("log-format: takes effect at the next start".to_owned());
        }
        Ok(told)
    }
}

/// Checks a filter and returns its text.
fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Writes one field on a line for people. Text from clients (names, keys in errors) must neither
/// begin a line of its own nor control the terminal.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaped(writer), "{value:?}")
}

/// Writes control characters as in a Rust literal.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(is_unsafe) {
            return self.0.write_str(text);
        }
        for c in text.chars() {
            if is_unsafe(c) {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Returns true for control characters, and for those that change the writing direction or end a
/// line for some readers.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_logged_begins_a_line_or_commands_the_terminal() {
        let mut line = String::new();
        write!(Escaped(&mut line), "a\nb\r\u{1b}[31m\u{9b}2J\u{202e}\u{2028}ü").unwrap();
        assert_eq!(line, r"a\nb\r\u{1b}[31m\u{9b}2J\u{202e}\u{2028}ü");
    }
}
