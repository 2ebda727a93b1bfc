//! `wakeful serve`

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use tracing_subscriber::EnvFilter;

use super::failure::{Exit, Failure};
use super::output::{Output, notice};
use super::signal::Signals;
use crate::{Config, Durability, Wakeful};

/// Run a server
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first line on standard output is `listening on ADDR`, with the port it got if 0 was asked for;
logs go to standard error. Ctrl-C or SIGTERM stops it when the requests in flight have ended, at
most rpc.shutdown_grace later; a second one, at once.

A write is answered when a power cut cannot take it back (--durability fsync); the data is in
--data-dir, and there again at the next start. A directory that is damaged is not touched: the
server names file and offset and exits with 6; with 7 if another process has it; with 8 if the
disk fails while it runs.

Examples:
  wakeful serve
  wakeful serve --listen 0.0.0.0:7117
  wakeful serve --data-dir /var/lib/wakeful
  wakeful serve --durability memory        nothing touches the disk, all ends with the server
  wakeful serve --listen 127.0.0.1:0       a free port
  wakeful serve --limit store.keys_max=1000 --limit rpc.shutdown_grace=5s
  wakeful serve --limits                   every limit, with its default
  wakeful serve --log debug --log-format json 2> wakeful.log")]
pub(crate) struct ServeArgs {
    /// Where to listen; with port 0, on a free port [default: what --addr says]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the data is; made if it is not there
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
    /// What the answer to a write waits for: `fsync`, that the disk has it; `interval`, that the
    /// operating system has it, which is synced every journal.sync_interval; `memory`, nothing.
    /// A write may ask for more (`wakeful set --durability fsync`), except of `memory`
    #[arg(long, value_name = "LEVEL", value_enum, env = "WAKEFUL_DURABILITY", default_value_t = Level::Fsync)]
    durability: Level,
    /// Set a limit by its name; durations as 30s, bytes also as 8MiB. Can be given many times
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limit: Vec<String>,
    /// Print every limit as NAME=VALUE and exit
    #[arg(long)]
    limits: bool,
    /// What to log: error, warn, info, debug, trace, or as RUST_LOG, which also is the default
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    log: String,
    /// How to log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    Fsync,
    Interval,
    Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

impl ServeArgs {
    /// Serves until a signal. `addr` is where to listen unless --listen says otherwise.
    pub(crate) fn run(self, addr: &str, out: &mut Output) -> Result<Exit, Failure> {
        let config = self.config().map_err(Failure::usage)?;
        if self.limits {
            for (name, value) in config.entries() {
                if out.json() {
                    let value = value.to_string();
                    out.object(super::json::Object::new().text("name", name).text("value", &value));
                } else {
                    out.line(format_args!("{name}={value}"));
                }
            }
            out.flush_blocking()?;
            return Ok(Exit::Done);
        }
        self.start_log()?;
        let listen = self.listen.as_deref().unwrap_or(addr);
        let dir = (self.durability != Level::Memory).then_some(&*self.data_dir);
        actix_rt::System::new().block_on(serve(config, dir, listen, out))
    }

    fn config(&self) -> Result<Config, String> {
        let mut config = Config::new();
        for limit in &self.limit {
            let Some((name, value)) = limit.split_once('=') else {
                return Err(format!(
                    "--limit {limit}: write NAME=VALUE, as in store.keys_max=1000"
                ));
            };
            config.set(name, value).map_err(|refusal| format!("--limit {refusal}"))?;
        }
        match self.durability {
            Level::Fsync | Level::Memory => {}
            Level::Interval => config.journal.durability = Durability::Interval,
        }
        Ok(config)
    }

    fn start_log(&self) -> Result<(), Failure> {
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

async fn serve(
    config: Config,
    dir: Option<&Path>,
    listen: &str,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::io("signals", &error))?;
    let grace = config.rpc.shutdown_grace;
    let wakeful = match dir {
        Some(dir) => Wakeful::open(config, dir)?,
        None => Wakeful::start(config)?,
    };
    let addr = wakeful.listen(listen).await.map_err(|error| {
        // Not exit 5: it is this process that fails, not one that cannot be reached.
        let message = format!("{} (at {listen}); name another with --listen", error.message);
        Failure::told(Exit::Failed, error.code.to_string(), message)
    })?;
    if out.json() {
        out.object(super::json::Object::new().text("listening", &addr.to_string()));
    } else {
        out.line(format_args!("listening on {addr}"));
    }
    match out.flush().await {
        // Whoever started it need not read on.
        Ok(()) | Err(Failure::ClosedPipe) => {}
        Err(failure) => return Err(failure),
    }
    let failed = tokio::select! {
        _ = signals.next() => None,
        error = wakeful.failed() => Some(error),
    };
    tracing::info!(grace_ms = grace.as_millis(), "stopping; a second signal stops at once");
    tokio::select! {
        () = wakeful.stop() => {
            // The last sync may fail too.
            let failed = failed.or_else(|| wakeful.failed().now_or_never());
            failed.map_or(Ok(Exit::Done), |error| Err(error.into()))
        }
        // `stop` keeps to the grace itself; this is for the day it does not.
        () = tokio::time::sleep(grace + Duration::from_secs(5)) => {
            notice("error: stopping took too long; stopped at once");
            std::process::exit(Exit::Failed as i32)
        }
        exit = signals.next() => std::process::exit(exit as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(limit: &[&str]) -> ServeArgs {
        ServeArgs {
            listen: None,
            data_dir: "wakeful-data".into(),
            durability: Level::Fsync,
            limit: limit.iter().map(ToString::to_string).collect(),
            limits: false,
            log: "info".into(),
            log_format: LogFormat::Human,
        }
    }

    #[test]
    fn limits_set_the_config() {
        let config = args(&["store.keys_max=5", "rpc.shutdown_grace=5s"]).config().unwrap();
        assert_eq!(config.store.keys_max, 5);
        assert_eq!(config.rpc.shutdown_grace, Duration::from_secs(5));
    }

    #[test]
    fn wrong_limits_are_refused() {
        assert!(args(&["store.keys_max"]).config().unwrap_err().contains("NAME=VALUE"));
        assert!(args(&["keys_max=5"]).config().unwrap_err().contains("store.keys_max"));
        assert!(args(&["store.keys_max=x"]).config().unwrap_err().contains("whole number"));
    }
}
