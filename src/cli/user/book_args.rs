//! Which file of users a command reads or changes.

use std::path::PathBuf;

use crate::auth::{AuthFile, Book};
use crate::cli::failure::Failure;
use crate::config::AuthConfig;
use crate::{Error, ErrorCode};

/// Which file.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BookArgs {
    /// The file of users
    #[arg(long, value_name = "FILE", env = "WAKEFUL_AUTH")]
    auth: PathBuf,
}

/// The limits of a file that a command writes: those that a server has by default.
pub(in crate::cli) fn config() -> AuthConfig {
    AuthConfig::new()
}

fn refusal(why: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, why)
}

impl BookArgs {
    /// What is in it; nobody, if it is not there.
    pub(in crate::cli) fn read(&self) -> Result<Book, Failure> {
        let file = AuthFile::new(&self.auth);
        if !self.auth.exists() {
            return Ok(Book::new());
        }
        Ok(file.read(&config())?)
    }

    /// Changes it.
    pub(in crate::cli) fn update<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let file = AuthFile::new(&self.auth);
        Ok(file.update(&config(), |book| change(book).map_err(refusal))?)
    }

    /// That a change would be taken, now.
    pub(in crate::cli) fn check<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, String>,
    ) -> Result<(), Failure> {
        let mut book = self.read()?;
        Ok(change(&mut book).map(drop).map_err(refusal)?)
    }
}
