//! `wakeful user ls`

use serde_json::{Value, json};

use super::user_store_args::UserStoreArgs;
use crate::auth::User;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::table::{ColumnKind, Table};

/// List users in order of name
///
/// Prints one user per line: its name, whether it has a password, its roles, and its tokens by id
/// and label.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful user ls --auth users.toml
  wakeful user ls --auth users.toml --json | jq 'select(.tokens != []) | .user'")]
pub(super) struct UserListArgs {
    #[command(flatten)]
    store: UserStoreArgs,
}

impl UserListArgs {
    pub(super) fn run(self, out: &mut Output) -> Result<(), Failure> {
        let store = self.store.read()?;
        if out.json() {
            store.users().for_each(|(name, user)| out.object(&object(name, user)));
            return Ok(());
        }
        let columns = [
            ("USER", ColumnKind::Name),
            ("PASSWORD", ColumnKind::Word),
            ("ROLES", ColumnKind::Name),
            ("TOKENS", ColumnKind::Name),
        ];
        let rows = store.users().map(|(name, user)| row(name, user)).collect();
        Table::new(columns, out).print(rows, out);
        Ok(())
    }
}

fn object(name: &str, user: &User) -> Value {
    let tokens: Vec<Value> =
        user.tokens().map(|it| json!({ "id": it.id, "label": it.label })).collect();
    json!({
        "user": name,
        "password": user.has_password(),
        "roles": user.roles().collect::<Vec<_>>(),
        "tokens": tokens,
    })
}

fn row(name: &str, user: &User) -> [String; 4] {
    let tokens: Vec<String> = user
        .tokens()
        .map(|it| if it.label.is_empty() { it.id } else { format!("{} ({})", it.id, it.label) })
        .collect();
    let roles: Vec<&str> = user.roles().collect();
    let password = if user.has_password() { "yes" } else { "no" };
    let (roles, tokens) = (or_dash(roles.join(",")), or_dash(tokens.join(", ")));
    [name.to_owned(), password.to_owned(), roles, tokens]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
