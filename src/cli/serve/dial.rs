//! [`DialArgs`]: the links that a server keeps.

use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::cli::json::Object;
use crate::cli::output::Output;
use crate::link::{DialOptions, SharedToken};
use crate::{Credentials, Error, Wakeful};

/// Where the token may stand that is shown at a dial; a flag would show in `ps`.
const TOKEN: &str = "WAKEFUL_DIAL_TOKEN";

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DialArgs {
    /// Dial the port that a relay accepts servers on, and serve whoever it sends, under
    /// --dial-name; lost links are dialed again for ever. Nothing listens then, unless --listen is
    /// given. Can be given many times
    #[arg(long, value_name = "HOST:PORT", env = "WAKEFUL_DIAL", value_delimiter = ',')]
    dial: Vec<String>,
    /// What this server is called: behind relays, and to whoever means another [default with
    /// --dial: the name of this machine]
    #[arg(long, value_name = "NAME", env = "WAKEFUL_DIAL_NAME")]
    dial_name: Option<String>,
    /// The file with the token to show when dialing [default: the token in WAKEFUL_DIAL_TOKEN, if
    /// there is one]
    #[arg(long, value_name = "FILE", env = "WAKEFUL_DIAL_TOKEN_FILE")]
    dial_token_file: Option<PathBuf>,
}

impl DialArgs {
    /// Whether it is to dial at all.
    pub(crate) fn dials(&self) -> bool {
        !self.dial.is_empty()
    }

    /// What is shown, read before anything is started.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let token = match (&self.dial_token_file, std::env::var(TOKEN)) {
            (Some(path), _) => Some(SharedToken::read(path)?),
            (None, Ok(token)) => Some(SharedToken::new(&token)?),
            (None, Err(_)) => None,
        };
        Ok(token.map(|token| token.credentials()))
    }

    /// Dials, and prints where.
    pub(crate) async fn start(
        &self,
        wakeful: &Wakeful,
        credentials: Option<Credentials>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if let Some(name) = &self.dial_name {
            wakeful.set_name(name)?;
        }
        let name = self.dial_name.clone().unwrap_or_else(machine_name);
        for addr in &self.dial {
            let credentials = credentials.clone();
            let options = DialOptions { credentials, ..DialOptions::new(&name) };
            wakeful.dial(addr, options).await?;
            if out.json() {
                out.object(Object::new().text("dialing", addr).text("name", &name));
            } else {
                out.line(format_args!("dialing {addr} as {name}"));
            }
        }
        Ok(())
    }
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "wakeful".to_owned() } else { name }
}
