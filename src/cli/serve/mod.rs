//! `wakeful serve`: one file per noun that it has flags for, each a struct that [`ServeArgs`]
//! flattens; `run` serves with what they say.

pub(crate) mod auth;
pub(crate) mod dial;
pub(crate) mod limits;
pub(crate) mod log;
mod ports;
mod run;
#[cfg(feature = "tls")]
mod tls;

use std::path::PathBuf;

use self::auth::AuthArgs;
use self::dial::DialArgs;
use self::limits::LimitArgs;
use self::log::LogArgs;
use super::Common;
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::{Config, Durability};

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
  wakeful serve --auth /etc/wakeful/users.toml        log in first; see `wakeful user --help`
  wakeful serve --durability memory        nothing touches the disk, all ends with the server
  wakeful serve --listen 127.0.0.1:0       a free port
  wakeful serve --dial relay.example:7118 --dial-name home      behind `wakeful relay`
  wakeful serve --limit store.keys_max=1000 --limit rpc.shutdown_grace=5s
  wakeful serve --limits                   every limit, with its default
  wakeful serve --tls-listen 0.0.0.0:7118 --tls-cert server.pem --tls-key server.key
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
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    dial: DialArgs,
    #[command(flatten)]
    limits: LimitArgs,
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
    pub(crate) fn run(self, common: &Common, out: &mut Output) -> Result<Exit, Failure> {
        let config = self.config().map_err(Failure::usage)?;
        if self.limits.limits {
            limits::print(&config, out)?;
            return Ok(Exit::Done);
        }
        self.log.start()?;
        super::descriptors::take_all();
        // Whoever dials need not listen.
        let listen = self.listen.as_deref().or((!self.dial.dials()).then_some(&*common.addr));
        #[cfg(feature = "tls")]
        let ports = self.tls.ports(&common.tls, listen)?;
        #[cfg(not(feature = "tls"))]
        let ports = ports::Ports::plain(listen);
        #[cfg(feature = "tls")]
        if self.dial.dials() {
            common.tls.refuse_trust("links are dialed without TLS; leave it out")?;
        }
        let dir = (self.durability != Level::Memory).then_some(&*self.data_dir);
        let auth = self.auth.open(&config)?;
        let doors = run::Doors { auth, ports, dial: &self.dial };
        actix_rt::System::new().block_on(run::run(config, dir, doors, out))
    }

    fn config(&self) -> Result<Config, String> {
        let mut config = Config::new();
        self.limits.apply(&mut config)?;
        match self.durability {
            Level::Fsync | Level::Memory => {}
            Level::Interval => config.journal.durability = Durability::Interval,
        }
        Ok(config)
    }
}
