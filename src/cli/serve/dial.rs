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

/// Where the token may stand that is shown at a dial; a flag would show in `ps`.
const TOKEN: &str = "WAKEFUL_DIAL_TOKEN";

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DialArgs {
    /// Dial the port that a relay accepts servers on, and serve whoever it sends, under
    /// --dial-name; lost links are dialed again for ever. Nothing listens then, unless --listen is
    /// given. Can be given many times
    #[arg(long, value_name = "HOST:PORT", env = "WAKEFUL_DIAL", value_delimiter = ',',
        value_parser = address)]
    dial: Vec<String>,
    /// What this server is called: behind relays, and to whoever means another [default with
    /// --dial: the name of this machine]
    #[arg(long, value_name = "NAME", env = "WAKEFUL_DIAL_NAME", value_parser = name)]
    dial_name: Option<String>,
    /// The file with the token to show when dialing [default: the token in WAKEFUL_DIAL_TOKEN, if
    /// there is one]
    #[arg(long, value_name = "FILE", env = "WAKEFUL_DIAL_TOKEN_FILE")]
    dial_token_file: Option<PathBuf>,
    /// Dial with TLS: whoever answers has to have a certificate for the host of --dial, or for
    /// --tls-server-name, of a CA that the system trusts, or of --tls-ca; --tls-cert is shown, if it
    /// is given. --tls-ca and --tls-server-name imply it
    #[cfg(feature = "tls")]
    #[arg(long, requires = "dial", env = "WAKEFUL_DIAL_TLS",
        value_parser = clap::builder::FalseyValueParser::new())]
    dial_tls: bool,
}

/// The links to keep.
#[derive(Debug)]
pub(crate) struct Links {
    addrs: Vec<String>,
    /// What the server is called for whoever means another, if that is said.
    named: Option<String>,
    options: DialOptions,
}

impl DialArgs {
    /// Whether it is to dial at all.
    pub(crate) fn dials(&self) -> bool {
        !self.dial.is_empty()
    }

    /// What they are, with all that is read before anything is started.
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

    /// How they are dialed with TLS, if they are. Who says whom to trust wants it.
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
    /// Dials, and prints where.
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

/// What a server can be called.
fn name(text: &str) -> Result<String, String> {
    crate::rpc::link::check_name(text).map(|()| text.to_owned()).map_err(|error| error.message)
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "wakeful".to_owned() } else { name }
}
