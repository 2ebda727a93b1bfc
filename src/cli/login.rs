//! The credentials of a command: from its arguments, else from the environment.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::failure::Failure;
use super::secret;
use crate::auth::Credentials;

/// Options of every command that talks to a server: the credentials of its login.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Login")]
pub(super) struct LoginArgs {
    /// Log in as this user; its password is the first line of --password-file or in
    /// WAKEFUL_PASSWORD; otherwise the command asks for it
    #[arg(
        long = "user",
        id = "login_user",
        global = true,
        hide_short_help = true,
        value_name = "NAME",
        env = "WAKEFUL_USER"
    )]
    user: Option<String>,
    /// The file with the password of --user; - for standard input
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "WAKEFUL_PASSWORD_FILE"
    )]
    password_file: Option<PathBuf>,
    /// Log in with the token in the first line of this file; - for standard input. WAKEFUL_TOKEN
    /// can hold a token itself
    #[arg(
        long = "token",
        visible_alias = "token-file",
        id = "login_token",
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "WAKEFUL_TOKEN_FILE"
    )]
    token: Option<PathBuf>,
    #[arg(skip)]
    typed: LoginFlags,
}

/// The options given on the command line.
#[derive(Debug, Clone, Copy, Default)]
struct LoginFlags {
    user: bool,
    password_file: bool,
    token: bool,
}

impl LoginArgs {
    /// Records which options `matches` has from the command line.
    pub(super) fn note(&mut self, matches: &ArgMatches) {
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        self.typed = LoginFlags {
            user: typed("login_user"),
            password_file: typed("password_file"),
            token: typed("login_token"),
        };
    }

    /// Returns the credentials that the options and the environment amount to; `None` for no login.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let password_typed = self.typed.user || self.typed.password_file;
        if self.typed.token && password_typed {
            return Err(Failure::usage(
                "give either --token, or --user with its password, not both",
            ));
        }
        if !password_typed && let Some(path) = &self.token {
            return Self::token(path).map(Some);
        }
        if let Some(user) = &self.user {
            return Ok(Some(Credentials::password(user, self.password(user)?)));
        }
        if self.typed.password_file {
            return Err(whose());
        }
        let token = secret::from_environment("WAKEFUL_TOKEN").map(Credentials::token);
        if token.is_none() && self.password_file.is_some() {
            return Err(whose());
        }
        Ok(token)
    }

    fn token(path: &Path) -> Result<Credentials, Failure> {
        if path.to_string_lossy().starts_with("wakeful_") && !path.exists() {
            return Err(Failure::usage(
                "--token takes a file that holds the token, because arguments are public; \
                 revoke this token, for it has been exposed",
            ));
        }
        secret::read_file(path).map(Credentials::token)
    }

    fn password(&self, user: &str) -> Result<String, Failure> {
        if let Some(path) = &self.password_file {
            return secret::read_file(Path::new(path));
        }
        if let Some(password) = secret::from_environment("WAKEFUL_PASSWORD") {
            return Ok(password);
        }
        if io::stdin().is_terminal() {
            return secret::prompt(&format!("Password of {user}: "));
        }
        Err(Failure::usage(format!(
            "no password for {user}: give --password-file FILE or WAKEFUL_PASSWORD; the prompt needs \
             a terminal"
        )))
    }
}

fn whose() -> Failure {
    Failure::usage("--password-file needs --user")
}
