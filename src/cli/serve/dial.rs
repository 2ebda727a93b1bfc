//! [`DialArgs`]: the links that a server keeps.

use std::path::PathBuf;

use serde_json::json;

#[cfg(feature = "tls")]
use crate::ClientTls;
use crate::cli::Common;
use crate::cli::argument::address;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
#[cfg(feature = "tls")]
use crate::cli::tls::TlsArgs;
use crate::link::{DialOptions, SharedToken};
use crate::{Credentials, Error, Wakeful};

/// The variable with the token to show when dialing; as an argument it would be visible in `ps`.
const TOKEN: &str = "WAKEFUL_DIAL_TOKEN";

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DialArgs {
    /// Dial the port where a relay accepts servers, and serve its clients under --dial-name; lost
    /// links are dialed again. The server then listens only if --listen is given. Repeatable
    #[arg(long, hide_short_help = true, value_name = "HOST:PORT", env = "WAKEFUL_DIAL", value_delimiter = ',',
        value_parser = address)]
    dial: Vec<String>,
    /// This server's name: behind relays, and for clients that ask for a server by name [default
    /// with --dial: the host name]
    #[arg(long, hide_short_help = true, value_name = "NAME", env = "WAKEFUL_DIAL_NAME", value_parser = name)]
    dial_name: Option<String>,
    /// The file with the token to show when dialing [default: the token in WAKEFUL_DIAL_TOKEN, if
    /// set]
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "WAKEFUL_DIAL_TOKEN_FILE")]
    dial_token_file: Option<PathBuf>,
    /// Dial with TLS: the relay must have a certificate for the host of --dial, or for
    /// --tls-server-name, from a CA that the system trusts, or from --tls-ca; --tls-cert is shown,
    /// if given. --tls-ca and --tls-server-name imply this option
    #[cfg(feature = "tls")]
    #[arg(long, hide_short_help = true, requires = "dial", env = "WAKEFUL_DIAL_TLS",
        value_parser = clap::builder::FalseyValueParser::new())]
    dial_tls: bool,
}

/// The links to keep.
#[derive(Debug)]
pub(crate) struct Links {
    addrs: Vec<String>,
    /// The server's name for clients that ask for one, if it was given.
    named: Option<String>,
    options: DialOptions,
}

impl DialArgs {
    /// Returns true if any address is to be dialed.
    pub(crate) fn dials(&self) -> bool {
        !self.dial.is_empty()
    }

    /// Returns the links, after reading every file they need.
    pub(crate) fn links(&self, common: &Common) -> Result<Links, Error> {
        let credentials = self.credentials()?;
        let name = self.dial_name.clone().unwrap_or_else(machine_name);
        let options = DialOptions {
            credentials,
            #[cfg(feature = "tls")]
            tls: self.tls(&common.tls)?,
            ..DialOptions::new(name)
        };
        #[cfg(not(feature = "tls"))]
        let _ = common;
        Ok(Links { addrs: self.dial.clone(), named: self.dial_name.clone(), options })
    }

    /// Returns how to dial with TLS, if at all. Options about trust imply TLS.
    #[cfg(feature = "tls")]
    fn tls(&self, tls: &TlsArgs) -> Result<Option<ClientTls>, Error> {
        if self.dial_tls || tls.names_server() { Ok(Some(tls.trust()?)) } else { Ok(None) }
    }

    fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let token = match (&self.dial_token_file, std::env::var(TOKEN)) {
            (Some(path), _) => Some(SharedToken::read(path)?),
            (None, Ok(token)) => Some(SharedToken::new(&token)?),
            (None, Err(_)) => None,
        };
        Ok(token.map(|token| token.credentials()))
    }
}

impl Links {
    /// Dials, and prints the addresses.
    pub(crate) async fn dial(self, wakeful: &Wakeful, out: &mut Output) -> Result<(), Failure> {
        if let Some(name) = self.named {
            wakeful.set_name(name)?;
        }
        let name = &self.options.name;
        for addr in &self.addrs {
            wakeful.dial(addr, self.options.clone()).await?;
            if out.json() {
                out.object(&json!({ "dialing": addr, "name": name }));
            } else {
                out.line(format_args!("dialing {addr} as {name}"));
            }
        }
        Ok(())
    }
}

/// Checks the name of a server.
fn name(text: &str) -> Result<String, String> {
    crate::rpc::link::check_name(text).map(|()| text.to_owned()).map_err(|error| error.message)
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "wakeful".to_owned() } else { name }
}
