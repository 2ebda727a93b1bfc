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
use crate::stranger_lines::StrangerLines;
use crate::{Config, Error, ErrorCode};

/// The variable with the token that servers must show; as an argument it would be visible in `ps`.
const TOKEN: &str = "WAKEFUL_RELAY_TOKEN";

/// Run a gateway to servers that dial in
///
/// Servers behind firewalls dial the port of --accept (`wakeful serve --dial`), each under a name.
/// Clients connect to the port of --listen and select a server (--server, WAKEFUL_SERVER); without
/// a name they reach the only one. The relay passes bytes on and keeps nothing: logins, watches and
/// workers are between client and server.
///
/// The first two lines on standard output are `listening on ADDR` and `accepting on ADDR`; logs go
/// to standard error. Ctrl-C or SIGTERM stops the relay when the requests in flight have ended,
/// after rpc.shutdown_grace at the latest; a second signal stops it at once.
///
/// A server must show the token of --accept-token-file, or of the environment variable
/// WAKEFUL_RELAY_TOKEN. With one shared token, a server that dials under a taken name takes the
/// name over. With --accept-auth, servers are users of a file instead: each shows a token of its
/// own, and may use the names on which it was granted `dial`; a server that loses the grant loses
/// its link.
///
/// With --tls, both ports speak TLS only. The relay reads the traffic it passes on: data from a
/// client is encrypted as far as the relay, and again from there to the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; openssl rand -hex 32 > token)
  wakeful relay --listen 0.0.0.0:7117 --accept 0.0.0.0:7118 \\
    --accept-token-file token
  wakeful serve --dial relay.example:7118 --dial-name home \\
    --dial-token-file token
  wakeful --addr relay.example:7117 --server home watch greeting
  wakeful relay --tls --tls-cert relay.pem --tls-key relay.key \\
    --accept-token-file token
  wakeful serve --dial relay.example:7118 --dial-tls --dial-name home \\
    --dial-token-file token")]
pub(crate) struct RelayArgs {
    /// Address for clients; port 0 picks a free port [default: WAKEFUL_ADDR, or 127.0.0.1:7117]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: Option<String>,
    /// Address for servers that dial in
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "WAKEFUL_ACCEPT",
        value_parser = address,
        default_value = "127.0.0.1:7118"
    )]
    accept: String,
    /// The file with the token that servers must show
    #[arg(long, value_name = "FILE", env = "WAKEFUL_ACCEPT_TOKEN_FILE")]
    accept_token_file: Option<PathBuf>,
    /// The user file of the servers that may dial in
    ///
    /// Created by `wakeful user`: a server must show the token of a user with the grant `dial` on
    /// its name. Changes take effect within auth.reload_interval
    #[arg(
        long,
        value_name = "FILE",
        env = "WAKEFUL_ACCEPT_AUTH",
        conflicts_with = "accept_token_file"
    )]
    accept_auth: Option<PathBuf>,
    /// Accept every server that reaches the port of --accept, under any name
    #[arg(long, conflicts_with_all = ["accept_token_file", "accept_auth"])]
    accept_anyone: bool,
    /// The CAs of the certificates that servers must show
    ///
    /// A PEM file, with --tls. The name in the certificate is that of the user of --accept-auth
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
    /// Relays until a signal. Listens on the address of --addr unless --listen gives another.
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

    /// Configures TLS on both ports, or on neither.
    #[cfg(feature = "tls")]
    fn with_tls(&self, options: RelayOptions, tls: &TlsArgs) -> Result<RelayOptions, Failure> {
        tls.refuse_trust("a relay dials no server; omit it")?;
        let client_tls = match (tls.tls, tls.certificate()?) {
            (false, None) => return Ok(options),
            (true, Some((cert, key))) => TlsConfig::new(cert, key),
            (true, None) => {
                return Err(Failure::usage(
                    "--tls needs the relay's certificate and key: give --tls-cert and --tls-key",
                ));
            }
            (false, Some(_)) => {
                return Err(Failure::usage(
                    "--tls-cert needs --tls: both ports of a relay speak TLS, or neither",
                ));
            }
        };
        let client_ca = self.accept_client_ca.clone();
        let link_tls = TlsConfig { client_ca, ..client_tls.clone() };
        Ok(RelayOptions { client_tls: Some(client_tls), link_tls: Some(link_tls), ..options })
    }

    fn authenticate(&self, config: &Config) -> Result<Arc<dyn Authenticate>, Failure> {
        if let Some(path) = &self.accept_auth {
            let auth = Auth::open(path, &config.auth)?;
            auth.bound_lines(StrangerLines::new(&config.rpc));
            return Ok(Arc::new(LinkUsers::new(auth)?));
        }
        let token: Result<SharedToken, Error> = match &self.accept_token_file {
            _ if self.accept_anyone => return Ok(Arc::new(Anyone)),
            Some(path) => SharedToken::read(path),
            None => match std::env::var(TOKEN) {
                Ok(token) => SharedToken::new(&token),
                Err(_) => {
                    return Err(Failure::usage(format!(
                        "which servers may dial in? Give --accept-auth FILE, --accept-token-file FILE, or the \
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
        // Not exit 5: this process failed; no server is unreachable.
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
        // `stop` limits itself to the grace period; this is a safeguard.
        () = tokio::time::sleep(grace + Duration::from_secs(5)) => {
            notice("error: the stop took too long; stopped immediately");
            stderr::exit(Exit::Failed)
        }
        exit = signals.next() => stderr::exit(exit),
    }
}
