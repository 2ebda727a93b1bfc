//! The user file that a command reads or changes.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::auth::{AuthFile, UserStore};
use crate::cli::failure::Failure;
use crate::cli::serve::limits::LimitArgs;
use crate::config::{AuthConfig, Config};
use crate::{Error, ErrorCode};

/// The user file, with the limits of a server that has the same settings.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UserStoreArgs {
    /// The user file
    #[arg(long, value_name = "FILE", env = "WAKEFUL_AUTH", value_parser = user_file())]
    auth: PathBuf,
    /// Read --auth and limits from the TOML file of the server's options
    #[arg(long, value_name = "FILE", env = "WAKEFUL_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Accepts a file that can be read and replaced, unlike standard input and output.
fn user_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("the user file is read and replaced; give a file"),
        false => Ok(path),
    })
}

fn refusal(why: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, why)
}

impl UserStoreArgs {
    /// Returns the limits of a server with the same settings.
    pub(in crate::cli) fn config(&self) -> Result<AuthConfig, Failure> {
        let mut config = Config::new();
        self.limits.apply(&mut config).map_err(Failure::usage)?;
        config.check()?;
        Ok(config.auth)
    }

    /// Reads the users; none if the file does not exist.
    pub(in crate::cli) fn read(&self) -> Result<UserStore, Failure> {
        let file = AuthFile::new(&self.auth);
        if !self.auth.exists() {
            return Ok(UserStore::new());
        }
        Ok(file.read(&self.config()?)?)
    }

    /// Changes the file.
    pub(in crate::cli) fn update<T>(
        &self,
        change: impl FnOnce(&mut UserStore) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let file = AuthFile::new(&self.auth);
        Ok(file.update(&self.config()?, |store| change(store).map_err(refusal))?)
    }

    /// Checks that a change would be accepted now.
    pub(in crate::cli) fn check<T>(
        &self,
        change: impl FnOnce(&mut UserStore) -> Result<T, String>,
    ) -> Result<(), Failure> {
        let mut store = self.read()?;
        Ok(change(&mut store).map(drop).map_err(refusal)?)
    }
}
