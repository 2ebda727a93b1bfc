//! `wakeful serve`: one file per noun that it has flags for, each a struct that [`ServeArgs`]
//! flattens; `run` serves with what they say.

pub(crate) mod auth;
pub(crate) mod dial;
pub(crate) mod limits;
pub(crate) mod log;
mod manager;
mod ports;
mod reload;
mod run;
mod signals;
#[cfg(feature = "tls")]
mod tls;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;

use self::auth::AuthArgs;
use self::dial::DialArgs;
use self::limits::LimitArgs;
use self::log::LogArgs;
use self::ports::Ports;
use self::run::Start;
use super::Common;
use super::argument::address;
use super::descriptors;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::settings::Report;
use crate::{Config, Durability};

/// Shown at the end of its help.
pub(super) const HELP: &str = "\
The first line on standard output is `listening on ADDR`, with the port it got if 0 was asked for;
logs go to standard error. Ctrl-C or SIGTERM stops it when the requests in flight have ended, at
most rpc.shutdown_grace later; a second one, at once. SIGHUP reads the file of --config again.

Every option can also be set by the environment (`WAKEFUL_` and its name, as in WAKEFUL_DATA_DIR;
limits as in WAKEFUL_LIMIT_STORE_KEYS_MAX), and by a line of the file of --config: a flag goes before
the environment, and that before the file. `wakeful config` prints what comes of it.

A write is answered when a power cut cannot take it back (--durability fsync); the data is in
--data-dir, and there again at the next start. A directory that is damaged is not touched: the
server names file and offset and exits with 6; with 7 if another process has it; with 8 if the
disk fails while it runs.

Examples:
  wakeful serve
  wakeful serve --config /etc/wakeful/wakeful.toml
  wakeful serve --listen 0.0.0.0:7117
  wakeful serve --data-dir /var/lib/wakeful
  wakeful serve --auth /etc/wakeful/users.toml        log in first; see `wakeful user --help`
  wakeful serve --durability memory        nothing touches the disk, all ends with the server
  wakeful serve --listen 127.0.0.1:0       a free port
  wakeful serve --dial relay.example:7118 --dial-name home      behind `wakeful relay`
  wakeful serve --limit store.keys_max=1000 --limit rpc.shutdown_grace=5s
  wakeful serve --limits                   every limit, with its default
  wakeful serve --tls-listen 0.0.0.0:7118 --tls-cert server.pem --tls-key server.key
  wakeful serve --log debug --log-format json 2> wakeful.log";

// No doc comment: clap would show it as the help of whatever command has these options.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Read options from a TOML file: each line is one, as in `data-dir = "/var/lib/wakeful"`, and
    /// limits stand behind a line `[limits]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; with port 0, on a free port [default: what --addr says]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// Where the data is; made if it is not there
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
    /// What the answer to a write waits for: `fsync`, that the disk has it; `interval`, that the
    /// operating system has it, which is synced every journal.sync_interval; `memory`, nothing.
    /// A write may ask for more (`wakeful set --durability fsync`), except of `memory`
    #[arg(long, value_name = "LEVEL", value_enum, env = "WAKEFUL_DURABILITY", default_value_t = Level::Fsync)]
    durability: Level,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    dial: DialArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print every limit as NAME=VALUE and exit
    #[arg(long = "limits")]
    prints_limits: bool,
    #[command(flatten)]
    log: LogArgs,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: tls::TlsPortArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    Fsync,
    Interval,
    Memory,
}

impl ServeArgs {
    /// Serves until a signal. --addr is where to listen unless --listen says otherwise.
    pub(crate) fn run(
        self,
        common: &Common,
        given: Vec<OsString>,
        report: Report,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut config = self.config().map_err(Failure::usage)?;
        config.check()?;
        if self.prints_limits {
            limits::print(&config, out)?;
            return Ok(Exit::Done);
        }
        // First, as it wants to be alone.
        let passed = manager::passed_sockets()
            .map_err(|error| Failure::usage(format!("the sockets that were passed: {error}")))?;
        let log = self.log.start()?;
        descriptors::take_all();
        descriptors::fit(&mut config.rpc)?;
        let ports = self.ports(common, passed)?;
        let auth = self.auth.open(&config)?;
        let links = self.dial.links(common)?;
        let start = Start { args: self, config, auth, links, ports, log, given, report };
        actix_rt::System::new().block_on(run::run(start, out))
    }

    /// Where to listen; sockets that were passed are in the place of --listen.
    fn ports(&self, common: &Common, passed: Vec<TcpListener>) -> Result<Ports, Failure> {
        // Whoever dials need not listen.
        let listens = !self.dial.dials() || !passed.is_empty();
        if listens && self.listen.is_none() {
            crate::address::check(&common.addr)?;
        }
        let ports = self.ports_at(common, listens.then_some(&*common.addr))?;
        Ok(Ports { passed, ..ports })
    }

    /// Where to listen; at `addr`, if there is one, unless --listen says otherwise.
    fn ports_at(&self, common: &Common, addr: Option<&str>) -> Result<Ports, Failure> {
        let listen = self.listen.as_deref().or(addr);
        #[cfg(feature = "tls")]
        return self.tls.ports(&common.tls, listen);
        #[cfg(not(feature = "tls"))]
        {
            let _ = common;
            Ok(Ports::plain(listen))
        }
    }

    /// That the options do not contradict each other; the files that they name are not looked at.
    pub(crate) fn check(&self, common: &Common) -> Result<(), Failure> {
        self.ports_at(common, Some(&common.addr)).map(drop)
    }

    /// That the files which the options name can be used, as far as that is seen without a start.
    pub(crate) fn check_files(&self, common: &Common, config: &Config) -> Result<(), Failure> {
        self.ports(common, Vec::new())?.check_files()?;
        self.auth.open(config)?;
        self.dial.links(common)?;
        let dir = &self.data_dir;
        if self.durability != Level::Memory && dir.exists() && !dir.is_dir() {
            return Err(Failure::usage(format!("--data-dir {} is no directory", dir.display())));
        }
        Ok(())
    }

    /// The limits that they say.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let mut config = Config::new();
        self.limits.apply(&mut config)?;
        match self.durability {
            Level::Fsync | Level::Memory => {}
            Level::Interval => config.journal.durability = Durability::Interval,
        }
        Ok(config)
    }
}
