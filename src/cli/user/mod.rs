//! `wakeful user`: the users who may log in.

mod list;
pub(super) mod user_store_args;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use self::user_store_args::UserStoreArgs;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::secret;
use crate::auth::{NewToken, hash_password};

/// Manage the users who may log in to a server
///
/// Users are in a file, which `wakeful serve --auth FILE` reads; the server sees changes within a
/// second, and ends what is no longer granted: watches, waits, reserved jobs, and the connections
/// of removed users. Roles define what users may do: see `wakeful role --help`.
///
/// The server must be able to read the file: make its user the owner, or the file readable by a
/// group of that user (mode 640). Later changes keep owner, group and mode.
///
/// The limits of names, passwords and numbers are those of a server with the same settings:
/// --limit, environment variables, and the file of --config, which may also name the user file.
///
/// Passwords are typed, twice, or read from standard input; they are kept as Argon2id hashes. A
/// token is for a program: it is shown once, when it is created, and also kept as a hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  export WAKEFUL_AUTH=/etc/wakeful/users.toml
  wakeful role add ops --admin
  wakeful user add alice --role ops                  prompts for her password
  wakeful user add shop --no-password --role shop
  wakeful user token shop --label web-1 --out web-1.token
  wakeful user grant alice shop                      grants one more role
  wakeful user ls")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    action: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    Add(AddArgs),
    Del(UserDelArgs),
    Passwd(PasswdArgs),
    /// Grant roles to a user
    #[command(after_help = "\
Example:
  wakeful user grant alice ops --auth users.toml")]
    Grant(RolesArgs),
    /// Revoke roles from a user; anything that only they permitted ends
    #[command(after_help = "\
Example:
  wakeful user revoke alice ops --auth users.toml")]
    Revoke(RolesArgs),
    Token(TokenArgs),
    Ls(list::UserListArgs),
}

/// Add a user
///
/// Creates the file if it does not exist. A name consists of letters, digits and ._-@+:/=; the name
/// in a client certificate can be one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful user add alice --role ops --auth users.toml
  echo \"$PASSWORD\" | wakeful user add alice --auth users.toml
  wakeful user add shop --no-password --role shop --auth users.toml")]
struct AddArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// Give the user this role. Repeatable
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// Allow login with tokens or a certificate only
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    store: UserStoreArgs,
}

/// Remove a user and its tokens; its requests and connections end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  wakeful user del alice --auth users.toml")]
struct UserDelArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    store: UserStoreArgs,
}

/// Set the password of a user; connections that logged in with the old one end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful user passwd alice --auth users.toml
  wakeful user passwd alice --auth users.toml < password.txt
  wakeful user passwd alice --none --auth users.toml       tokens still work")]
struct PasswdArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// Remove the password
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    store: UserStoreArgs,
}

#[derive(Debug, clap::Args)]
struct RolesArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// The role. Repeatable
    #[arg(value_name = "ROLE", required = true)]
    roles: Vec<String>,
    #[command(flatten)]
    store: UserStoreArgs,
}

/// Create or revoke a token of a user
///
/// Prints the token and nothing else, or writes it to the file of --out: it is shown this once.
/// `wakeful user ls` shows the ids of existing tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful user token shop --label web-1 --auth users.toml --out web-1.token
  wakeful user token shop --revoke web-1 --auth users.toml")]
struct TokenArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// A label for the token
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    label: String,
    /// Revoke the token with this id or label; connections that logged in with it end
    #[arg(long, value_name = "ID", conflicts_with_all = ["label", "out"])]
    revoke: Option<String>,
    /// Write the token to a new file that only its owner can read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    store: UserStoreArgs,
}

impl UserArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self.action {
            UserCommand::Add(args) => args.run(out)?,
            UserCommand::Del(args) => {
                args.store.update(|store| store.remove_user(&args.name))?;
                told(out, "deleted", &args.name);
            }
            UserCommand::Passwd(args) => args.run(out)?,
            UserCommand::Grant(args) => {
                args.store.update(|store| {
                    args.roles
                        .iter()
                        .try_for_each(|role| store.give_role(&args.name, role).map(drop))
                })?;
                told(out, "granted", &args.name);
            }
            UserCommand::Revoke(args) => {
                args.store.update(|store| {
                    args.roles.iter().try_for_each(|role| store.take_role(&args.name, role))
                })?;
                told(out, "revoked", &args.name);
            }
            UserCommand::Token(args) => args.run(out)?,
            UserCommand::Ls(args) => args.run(out)?,
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

/// Reports an action on a user.
fn told(out: &mut Output, act: &str, name: &str) {
    if out.json() {
        out.object(&json!({ act: name }));
    } else {
        out.line(format_args!("{act} {name}"));
    }
}

impl AddArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        // Before the user types a password that would be refused.
        self.store.check(|store| self.add(store, None))?;
        let hash = if self.no_password { None } else { Some(new_hash(&self.name, &self.store)?) };
        self.store.update(|store| self.add(store, hash.as_deref()))?;
        told(out, "added", &self.name);
        Ok(())
    }

    fn add(&self, store: &mut crate::auth::UserStore, hash: Option<&str>) -> Result<(), String> {
        store.add_user(&self.name, hash)?;
        self.role.iter().try_for_each(|role| store.give_role(&self.name, role).map(drop))
    }
}

impl PasswdArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        self.store.check(|store| store.user(&self.name).map(drop))?;
        let hash = if self.none { None } else { Some(new_hash(&self.name, &self.store)?) };
        self.store.update(|store| store.set_password(&self.name, hash.as_deref()))?;
        told(out, "changed", &self.name);
        Ok(())
    }
}

fn new_hash(user: &str, store: &UserStoreArgs) -> Result<String, Failure> {
    let config = store.config()?;
    let password = secret::new_password(user)?;
    hash_password(&password, &config).map_err(|error| Failure::usage(error.message))
}

/// A new token in JSON.
#[derive(Serialize)]
struct CreatedToken<'a> {
    id: String,
    /// `None` if the token is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    user: &'a str,
    label: &'a str,
}

impl TokenArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        if let Some(id) = &self.revoke {
            self.store.update(|store| store.remove_token(&self.name, id))?;
            told(out, "revoked", id);
            return Ok(());
        }
        let token = NewToken::draw();
        // First, so that no token is made that nobody receives.
        let file = self.out.as_deref().map(secret::create).transpose()?;
        let added = self.store.update(|store| store.add_token(&self.name, &self.label, &token));
        if let (Err(_), Some(path)) = (&added, &self.out) {
            // The file is empty, and was created by this command.
            let _ = std::fs::remove_file(path);
        }
        added?;
        let written = file.is_some();
        if let Some(file) = file {
            file.write(token.secret())?;
        }
        if out.json() {
            let secret = (!written).then(|| token.secret());
            out.object(&CreatedToken {
                id: token.id(),
                token: secret,
                user: &self.name,
                label: &self.label,
            });
        } else if !written {
            out.line(token.secret());
        }
        Ok(())
    }
}
