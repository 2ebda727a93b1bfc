//! The options of `wakeful serve` about users.

use std::path::PathBuf;

use crate::auth::Auth;
use crate::{Config, Error};

/// The users who may log in.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AuthArgs {
    /// The user file, created by `wakeful user`
    ///
    /// Without it, anyone may do anything. Changes take effect within auth.reload_interval
    #[arg(long, value_name = "FILE", env = "WAKEFUL_AUTH")]
    auth: Option<PathBuf>,
}

impl AuthArgs {
    /// Returns the users; `None` if no login is needed.
    pub(crate) fn open(&self, config: &Config) -> Result<Option<Auth>, Error> {
        self.auth.as_ref().map(|path| Auth::open(path, &config.auth)).transpose()
    }
}
