//! `wakeful user`: who may log in.

pub(super) mod book_args;
mod list;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use self::book_args::BookArgs;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::secret;
use crate::auth::{NewToken, hash_password};

/// Say who may log in to a server
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Users are in a file, which `wakeful serve --auth FILE` reads; it sees changes within a second, and
ends what is not granted any more: watches, waits, jobs handed out, and the connections of users that
are gone. What users may do is said by their roles: see `wakeful role --help`.

The server has to be able to read the file: give it to the user that it runs as, or to a group of
that user with mode 640. Whoever changes it later, it keeps owner, group and mode.

Limits of names, passwords and numbers are those of the server if it has the same settings: --limit, the
variables of the environment, and the file of --config, which may name the file of users as well.

Passwords are typed, twice, or read from standard input; they are kept as Argon2id hashes. A token is
for a program: it is shown once, when it is made, and kept as a hash too.

Examples:
  export WAKEFUL_AUTH=/etc/wakeful/users.toml
  wakeful role add ops --admin
  wakeful user add alice --role ops                        asks for her password
  wakeful user add shop --no-password --role shop
  wakeful user token shop --label web-1 --out web-1.token  then: wakeful get a --token web-1.token
  wakeful user grant alice shop                            gives her one more role
  wakeful user ls")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Add(AddArgs),
    Del(DelArgs),
    Passwd(PasswdArgs),
    /// Give a user roles
    #[command(after_help = "\
Examples:
  wakeful user grant alice ops --auth users.toml")]
    Grant(RolesArgs),
    /// Take roles from a user; what only they granted ends
    #[command(after_help = "\
Examples:
  wakeful user revoke alice ops --auth users.toml")]
    Revoke(RolesArgs),
    Token(TokenArgs),
    Ls(list::ListArgs),
}

/// Add a user
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the file if it is not there. A name has letters, digits and ._-@+:/= in it; that of a client
certificate can be one.

Examples:
  wakeful user add alice --role ops --auth users.toml
  echo \"$PASSWORD\" | wakeful user add alice --auth users.toml
  wakeful user add shop --no-password --role shop --auth users.toml")]
struct AddArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// Give it this role. Can be given many times
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// It logs in with tokens, or a certificate, alone
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    book: BookArgs,
}

/// Remove a user, with its tokens; whatever it has going on ends
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful user del alice --auth users.toml")]
struct DelArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    book: BookArgs,
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
    /// Take its password away
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    book: BookArgs,
}

#[derive(Debug, clap::Args)]
struct RolesArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// The role. Can be given many times
    #[arg(value_name = "ROLE", required = true)]
    roles: Vec<String>,
    #[command(flatten)]
    book: BookArgs,
}

/// Make a token for a user, or take one back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the token, and nothing else, or writes it to the file of --out: it is shown this once. `wakeful user ls` shows the ids of those
there are.

Examples:
  wakeful user token shop --label web-1 --auth users.toml --out web-1.token
  wakeful user token shop --revoke web-1 --auth users.toml")]
struct TokenArgs {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,
    /// What to call it
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    label: String,
    /// Take back the token with this id or label; connections that logged in with it end
    #[arg(long, value_name = "ID", conflicts_with_all = ["label", "out"])]
    revoke: Option<String>,
    /// Write the token to a new file that only its owner can read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    book: BookArgs,
}

impl UserArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self.action {
            Action::Add(args) => args.run(out)?,
            Action::Del(args) => {
                args.book.update(|book| book.remove_user(&args.name))?;
                told(out, "deleted", &args.name);
            }
            Action::Passwd(args) => args.run(out)?,
            Action::Grant(args) => {
                args.book.update(|book| {
                    args.roles
                        .iter()
                        .try_for_each(|role| book.give_role(&args.name, role).map(drop))
                })?;
                told(out, "granted", &args.name);
            }
            Action::Revoke(args) => {
                args.book.update(|book| {
                    args.roles.iter().try_for_each(|role| book.take_role(&args.name, role))
                })?;
                told(out, "revoked", &args.name);
            }
            Action::Token(args) => args.run(out)?,
            Action::Ls(args) => args.run(out)?,
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

/// What was done to whom.
fn told(out: &mut Output, act: &str, name: &str) {
    if out.json() {
        out.object(&json!({ act: name }));
    } else {
        out.line(format_args!("{act} {name}"));
    }
}

impl AddArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        // Before a password is typed for nothing.
        self.book.check(|book| self.add(book, None))?;
        let hash = if self.no_password { None } else { Some(new_hash(&self.name, &self.book)?) };
        self.book.update(|book| self.add(book, hash.as_deref()))?;
        told(out, "added", &self.name);
        Ok(())
    }

    fn add(&self, book: &mut crate::auth::Book, hash: Option<&str>) -> Result<(), String> {
        book.add_user(&self.name, hash)?;
        self.role.iter().try_for_each(|role| book.give_role(&self.name, role).map(drop))
    }
}

impl PasswdArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        self.book.check(|book| book.user(&self.name).map(drop))?;
        let hash = if self.none { None } else { Some(new_hash(&self.name, &self.book)?) };
        self.book.update(|book| book.set_password(&self.name, hash.as_deref()))?;
        told(out, "changed", &self.name);
        Ok(())
    }
}

fn new_hash(user: &str, book: &BookArgs) -> Result<String, Failure> {
    let config = book.config()?;
    let password = secret::new_password(user)?;
    hash_password(&password, &config).map_err(|error| Failure::usage(error.message))
}

/// A new token in JSON.
#[derive(Serialize)]
struct Made<'a> {
    id: String,
    /// Unless it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    user: &'a str,
    label: &'a str,
}

impl TokenArgs {
    fn run(&self, out: &mut Output) -> Result<(), Failure> {
        if let Some(id) = &self.revoke {
            self.book.update(|book| book.remove_token(&self.name, id))?;
            told(out, "revoked", id);
            return Ok(());
        }
        let token = NewToken::draw();
        // First, so that no token is made that nobody has.
        let file = self.out.as_deref().map(secret::create).transpose()?;
        let added = self.book.update(|book| book.add_token(&self.name, &self.label, &token));
        if let (Err(_), Some(path)) = (&added, &self.out) {
            // It is empty, and ours.
            let _ = std::fs::remove_file(path);
        }
        added?;
        let written = file.is_some();
        if let Some(file) = file {
            file.write(token.secret())?;
        }
        if out.json() {
            let secret = (!written).then(|| token.secret());
            out.object(&Made {
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
