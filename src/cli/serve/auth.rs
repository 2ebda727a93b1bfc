//! Who may come in: the flags of `wakeful serve` about users.

use std::path::PathBuf;

use crate::auth::Auth;
use crate::{Config, Error};

/// Who may come in.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AuthArgs {
    /// The file of users, made by `wakeful user`: without it, whoever reaches the server may do
    /// everything. Changes of it are seen at once (auth.reload_interval)
    #[arg(long, value_name = "FILE", env = "WAKEFUL_AUTH")]
    auth: Option<PathBuf>,
}

impl AuthArgs {
    /// The users; `None` if everybody may come in.
    pub(crate) fn open(&self, config: &Config) -> Result<Option<Auth>, Error> {
        self.auth.as_ref().map(|path| Auth::open(path, &config.auth)).transpose()
    }
}
