//! Which file of users a command reads or changes.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::auth::{AuthFile, Book};
use crate::cli::failure::Failure;
use crate::cli::serve::limits::LimitArgs;
use crate::config::{AuthConfig, Config};
use crate::{Error, ErrorCode};

/// Which file, and what it may hold: as a server with the same settings has it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BookArgs {
    /// The file of users
    #[arg(long, value_name = "FILE", env = "WAKEFUL_AUTH", value_parser = book_file())]
    auth: PathBuf,
    /// Read --auth and limits from the TOML file that the server reads its options from
    #[arg(long, value_name = "FILE", env = "WAKEFUL_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// A file that is read and replaced, which standard input and output cannot be.
fn book_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("the file of users is read and replaced; name a file"),
        false => Ok(path),
    })
}

fn refusal(why: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, why)
}

impl BookArgs {
    /// Returns the limits that a server with the same settings goes by.
    pub(in crate::cli) fn config(&self) -> Result<AuthConfig, Failure> {
        let mut config = Config::new();
        self.limits.apply(&mut config).map_err(Failure::usage)?;
        config.check()?;
        Ok(config.auth)
    }

    /// What is in it; nobody, if it is not there.
    pub(in crate::cli) fn read(&self) -> Result<Book, Failure> {
        let file = AuthFile::new(&self.auth);
        if !self.auth.exists() {
            return Ok(Book::new());
        }
        Ok(file.read(&self.config()?)?)
    }

    /// Changes it.
    pub(in crate::cli) fn update<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let file = AuthFile::new(&self.auth);
        Ok(file.update(&self.config()?, |book| change(book).map_err(refusal))?)
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
