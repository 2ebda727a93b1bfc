//! `wakeful user ls`

use super::book_args::BookArgs;
use crate::auth::User;
use crate::cli::failure::Failure;
use crate::cli::json::Object;
use crate::cli::output::Output;

/// List users in order of name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a user a line: its name, whether it has a password, its roles, and its tokens by id and label.

Examples:
  wakeful user ls --auth users.toml
  wakeful user ls --auth users.toml --json | jq 'select(.tokens != []) | .user'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    book: BookArgs,
}

impl ListArgs {
    pub(super) fn run(self, out: &mut Output) -> Result<(), Failure> {
        let book = self.book.read()?;
        if !out.json() && book.users().next().is_some() {
            out.line(row("USER", "PASSWORD", "ROLES", "TOKENS"));
        }
        for (name, user) in book.users() {
            if out.json() {
                out.object(object(name, user));
            } else {
                out.line(text(name, user));
            }
        }
        Ok(())
    }
}

fn object(name: &str, user: &User) -> Object {
    let tokens = user.tokens();
    let tokens = tokens.map(|it| Object::new().text("id", &it.id).text("label", &it.label));
    Object::new()
        .text("user", name)
        .flag("password", user.has_password())
        .texts("roles", user.roles())
        .list("tokens", tokens)
}

fn text(name: &str, user: &User) -> String {
    let tokens: Vec<String> = user
        .tokens()
        .map(|it| if it.label.is_empty() { it.id } else { format!("{} ({})", it.id, it.label) })
        .collect();
    let roles: Vec<&str> = user.roles().collect();
    let password = if user.has_password() { "yes" } else { "no" };
    row(name, password, &or_dash(&roles.join(",")), &or_dash(&tokens.join(", ")))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn row(name: &str, password: &str, roles: &str, tokens: &str) -> String {
    format!("{name:<20} {password:<8}  {roles:<24} {tokens}").trim_end().to_owned()
}
