//! `wakeful relay`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Common;
use super::argument::address;
use super::failure::{Exit, Failure};
use super::output::{Output, notice};
use super::serve::limits::{self, LimitArgs};
use super::serve::log::LogArgs;
use super::signal::Signals;
use super::stderr;
#[cfg(feature = "tls")]
use super::tls::TlsArgs;
#[cfg(feature = "tls")]
use crate::TlsConfig;
use crate::auth::Auth;
use crate::link::{Anyone, Authenticate, LinkUsers, Relay, RelayOptions, SharedToken};
use crate::{Config, Error, ErrorCode};

/// Where the token may stand that servers have to show; a flag would show in `ps`.
const TOKEN: &str = "WAKEFUL_RELAY_TOKEN";

/// Run a gateway to servers that dial in
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Servers behind firewalls dial the port of --accept (`wakeful serve --dial`), under a name each.
Clients connect to the port of --listen and say which they mean (--server, WAKEFUL_SERVER); without
a name, the only one there is. The relay moves bytes and keeps nothing: logins, watches and workers
are between client and server.

The first two lines on standard output are `listening on ADDR` and `accepting on ADDR`; logs go to
standard error. Ctrl-C or SIGTERM stops it when what is under way has ended, at most
rpc.shutdown_grace later; a second one, at once.

A server has to show the token in --accept-token-file, or in the environment variable
WAKEFUL_RELAY_TOKEN. A name belongs to whoever has it; with the same token, whoever comes later
takes it over. With --accept-auth, servers are users of a file instead: each shows a token of its own,
and may have the names on which it was granted `dial`; whoever loses that loses its link.

With --tls, both ports speak TLS and nothing else. The relay reads what goes through it: what comes
from a client is encrypted as far as the relay, and from there to the server again.

Examples:
  (umask 077; openssl rand -hex 32 > token)
  wakeful relay --listen 0.0.0.0:7117 --accept 0.0.0.0:7118 --accept-token-file token
  wakeful serve --dial relay.example:7118 --dial-name home --dial-token-file token
  wakeful --addr relay.example:7117 --server home watch greeting
  wakeful relay --tls --tls-cert relay.pem --tls-key relay.key --accept-token-file token
  wakeful serve --dial relay.example:7118 --dial-tls --dial-name home --dial-token-file token")]
pub(crate) struct RelayArgs {
    /// Where clients connect; with port 0, on a free port [default: what --addr says]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// Where servers dial in
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "WAKEFUL_ACCEPT",
        value_parser = address,
        default_value = "127.0.0.1:7118"
    )]
    accept: String,
    /// The file with the token that servers have to show
    #[arg(long, value_name = "FILE", env = "WAKEFUL_ACCEPT_TOKEN_FILE")]
    accept_token_file: Option<PathBuf>,
    /// The file of users, made by `wakeful user`, of whom a server has to be one that was granted
    /// `dial` on its name; it shows a token. Changes of it are seen at once (auth.reload_interval)
    #[arg(
        long,
        value_name = "FILE",
        env = "WAKEFUL_ACCEPT_AUTH",
        conflicts_with = "accept_token_file"
    )]
    accept_auth: Option<PathBuf>,
    /// Take whoever reaches the port of --accept for the server it says it is
    #[arg(long, conflicts_with_all = ["accept_token_file", "accept_auth"])]
    accept_anyone: bool,
    /// With --tls: servers have to show a certificate of a CA in this PEM file, whose name is that of
    /// the user of --accept-auth
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", env = "WAKEFUL_ACCEPT_CLIENT_CA", requires = "tls")]
    accept_client_ca: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print every limit as NAME=VALUE and exit
    #[arg(long = "limits")]
    prints_limits: bool,
    #[command(flatten)]
    log: LogArgs,
}

impl RelayArgs {
    /// Relays until a signal. --addr is where to listen unless --listen says otherwise.
    pub(crate) fn run(self, common: &Common, out: &mut Output) -> Result<Exit, Failure> {
        let mut config = Config::new();
        self.limits.apply(&mut config).map_err(Failure::usage)?;
        if self.prints_limits {
            limits::print(&config, out)?;
            return Ok(Exit::Done);
        }
        config.check()?;
        let listen = self.listen.as_deref().unwrap_or(&common.addr);
        crate::address::check(listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("the runtime", &error))?;
        let entered = runtime.enter();
        let authenticate = self.authenticate(&config)?;
        drop(entered);
        self.log.start()?;
        super::descriptors::take_all();
        super::descriptors::fit(&mut config.rpc)?;
        let options = RelayOptions::with(config, authenticate);
        #[cfg(feature = "tls")]
        let options = self.with_tls(options, &common.tls)?;
        runtime.block_on(relay(listen, &self.accept, options, out))
    }

    /// Both ports speak TLS, or none.
    #[cfg(feature = "tls")]
    fn with_tls(&self, options: RelayOptions, tls: &TlsArgs) -> Result<RelayOptions, Failure> {
        tls.refuse_trust("a relay connects to nobody; leave it out")?;
        let client_tls = match (tls.tls, tls.certificate()?) {
            (false, None) => return Ok(options),
            (true, Some((cert, key))) => TlsConfig::new(cert, key),
            (true, None) => {
                return Err(Failure::usage(
                    "--tls needs the relay's certificate and its key: --tls-cert and --tls-key",
                ));
            }
            (false, Some(_)) => {
                return Err(Failure::usage(
                    "--tls-cert without --tls: both ports of a relay speak TLS, or none",
                ));
            }
        };
        let client_ca = self.accept_client_ca.clone();
        let link_tls = TlsConfig { client_ca, ..client_tls.clone() };
        Ok(RelayOptions { client_tls: Some(client_tls), link_tls: Some(link_tls), ..options })
    }

    fn authenticate(&self, config: &Config) -> Result<Arc<dyn Authenticate>, Failure> {
        if let Some(path) = &self.accept_auth {
            return Ok(Arc::new(LinkUsers::new(Auth::open(path, &config.auth)?)?));
        }
        let token: Result<SharedToken, Error> = match &self.accept_token_file {
            _ if self.accept_anyone => return Ok(Arc::new(Anyone)),
            Some(path) => SharedToken::read(path),
            None => match std::env::var(TOKEN) {
                Ok(token) => SharedToken::new(&token),
                Err(_) => {
                    return Err(Failure::usage(format!(
                        "who may dial in? Give --accept-auth FILE, --accept-token-file FILE, or the \
                         token in {TOKEN}; or --accept-anyone, where only servers reach the port"
                    )));
                }
            },
        };
        Ok(Arc::new(token?))
    }
}

async fn relay(
    listen: &str,
    accept: &str,
    options: RelayOptions,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::io("signals", &error))?;
    let grace = options.config.rpc.shutdown_grace;
    let relay = Relay::start(listen, accept, options).await.map_err(|error| {
        if error.code != ErrorCode::Unavailable {
            return error.into();
        }
        // Not exit 5: it is this process that fails, not one that cannot be reached.
        let message =
            format!("{} (at {listen} or {accept}); see --listen and --accept", error.message);
        Failure::told(Exit::Failed, error.code.to_string(), message)
    })?;
    let (listening, accepting) = (relay.listen_addr(), relay.accept_addr());
    if out.json() {
        out.object(&json!({ "listening": listening.to_string() }));
        out.object(&json!({ "accepting": accepting.to_string() }));
    } else {
        out.line(format_args!("listening on {listening}"));
        out.line(format_args!("accepting on {accepting}"));
    }
    out.announce();
    signals.next().await;
    let (servers, clients) = (relay.servers().len(), relay.clients());
    let grace_ms = grace.as_millis();
    tracing::info!(servers, clients, grace_ms, "stopping; a second signal stops at once");
    tokio::select! {
        () = relay.stop(grace) => Ok(Exit::Done),
        // `stop` keeps to the grace itself; this is for the day it does not.
        () = tokio::time::sleep(grace + Duration::from_secs(5)) => {
            notice("error: stopping took too long; stopped at once");
            stderr::exit(Exit::Failed)
        }
        exit = signals.next() => stderr::exit(exit),
    }
}
