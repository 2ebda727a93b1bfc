//! `wakeful serve`: one file per group of options, each a struct that [`ServeArgs`] flattens; `run`
//! serves with them.

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
use self::run::StartParameters;
use super::Common;
use super::argument::address;
use super::descriptors;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::settings::SettingsReport;
use crate::{Config, Durability};

/// The long description in `wakeful serve --help`.
pub(super) const ABOUT: &str = "\
Run a server\n\n\
The first line on standard output is `listening on ADDR`, with the actual port; logs go to \
standard error. Ctrl-C or SIGTERM stops the server when the requests in flight have ended, after \
rpc.shutdown_grace at the latest; a second signal stops it at once. SIGHUP reads the file of \
--config again.\n\n\
Every option can also be set by the environment (`WAKEFUL_` and its name, as in WAKEFUL_DATA_DIR; \
limits as in WAKEFUL_LIMIT_STORE_KEYS_MAX), and by a line in the file of --config: a flag overrides \
the environment, which overrides the file. `wakeful config` prints the result.\n\n\
A write is answered once it survives a power cut (--durability fsync); the data is in --data-dir, \
and loaded at the next start. A damaged directory is not touched: the server reports file and \
offset, and exits with 6; with 7 if another process uses the directory; with 8 if the disk fails \
later.";

/// The examples in its help.
pub(super) const EXAMPLES: &str = "\
Examples:
  wakeful serve
  wakeful serve --config /etc/wakeful/wakeful.toml
  wakeful serve --listen 0.0.0.0:7117
  wakeful serve --data-dir /var/lib/wakeful
  wakeful serve --auth users.toml          requires a login; see `wakeful user`
  wakeful serve --durability memory        no disk: ends with the process
  wakeful serve --listen 127.0.0.1:0       a free port
  wakeful serve --dial relay.example:7118 --dial-name home
                                           behind `wakeful relay`
  wakeful serve --limit store.keys_max=1000 --limit rpc.shutdown_grace=5s
  wakeful serve --limits                   every limit, with its default
  wakeful serve --tls-listen 0.0.0.0:7118 --tls-cert s.pem --tls-key s.key
  wakeful serve --log debug --log-format json 2> wakeful.log";

// No doc comment: clap would show it as the help of each command with these options.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Read options from a TOML file
    ///
    /// One per line, as in `data-dir = "/var/lib/wakeful"`; limits follow a line `[limits]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free port [default: WAKEFUL_ADDR, or 127.0.0.1:7117]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// Data directory; created if missing
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
    /// When a write is acknowledged
    ///
    /// Once it is on the disk (`fsync`), once it is in the operating system, which syncs every
    /// journal.sync_interval (`interval`), or at once (`memory`). A write may ask for more
    /// (`wakeful set --durability fsync`), except with `memory`
    #[arg(long, value_name = "LEVEL", value_enum, env = "WAKEFUL_DURABILITY", default_value_t = ServedDurability::Fsync)]
    durability: ServedDurability,
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
enum ServedDurability {
    Fsync,
    Interval,
    Memory,
}

impl ServeArgs {
    /// Serves until a signal. Listens on the address of --addr unless --listen gives another.
    pub(crate) fn run(
        self,
        common: &Common,
        given: Vec<OsString>,
        report: SettingsReport,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut config = self.config().map_err(Failure::usage)?;
        config.check()?;
        if self.prints_limits {
            limits::print(&config, out)?;
            return Ok(Exit::Done);
        }
        // First, because it must run before any thread starts.
        let passed = manager::passed_sockets()
            .map_err(|error| Failure::usage(format!("the passed sockets: {error}")))?;
        let log = self.log.start()?;
        descriptors::take_all();
        descriptors::fit(&mut config.rpc)?;
        let ports = self.ports(common, passed)?;
        let auth = self.auth.open(&config)?;
        let links = self.dial.links(common)?;
        let start = StartParameters { args: self, config, auth, links, ports, log, given, report };
        actix_rt::System::new().block_on(run::run(start, out))
    }

    /// Returns the ports to listen on; passed sockets replace --listen.
    fn ports(&self, common: &Common, passed: Vec<TcpListener>) -> Result<Ports, Failure> {
        // A server that dials need not listen.
        let listens = !self.dial.dials() || !passed.is_empty();
        if listens && self.listen.is_none() {
            crate::address::check(&common.addr)?;
        }
        let ports = self.ports_at(common, listens.then_some(&*common.addr))?;
        Ok(Ports { passed, ..ports })
    }

    /// Returns the ports to listen on: `addr`, if given, unless --listen gives another.
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

    /// Checks that the options do not contradict each other, without looking at the files they
    /// name.
    pub(crate) fn check(&self, common: &Common) -> Result<(), Failure> {
        self.ports_at(common, Some(&common.addr)).map(drop)
    }

    /// Checks that the named files can be used, as far as possible without a start.
    pub(crate) fn check_files(&self, common: &Common, config: &Config) -> Result<(), Failure> {
        self.ports(common, Vec::new())?.check_files()?;
        self.auth.open(config)?;
        self.dial.links(common)?;
        let dir = &self.data_dir;
        if self.durability != ServedDurability::Memory && dir.exists() && !dir.is_dir() {
            return Err(Failure::usage(format!("--data-dir {} is not a directory", dir.display())));
        }
        Ok(())
    }

    /// Returns the configuration with the given limits.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let mut config = Config::new();
        self.limits.apply(&mut config)?;
        match self.durability {
            ServedDurability::Fsync | ServedDurability::Memory => {}
            ServedDurability::Interval => config.journal.durability = Durability::Interval,
        }
        Ok(config)
    }
}
