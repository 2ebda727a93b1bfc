//! `wakeful role`: the grants of users.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::user::user_store_args::UserStoreArgs;
use crate::auth::{Action as Granted, Pattern, Role, UserStore};

/// Manage what users may do
///
/// A role grants actions on names: `read`, `write` and `watch` on keys, `push` and `work` on
/// topics, `call` on services, `dial` on links. A name stands for itself; one that ends with *
/// stands for every name with that prefix, and * alone for every name (\* and \\ are those
/// characters, \xNN is a byte). `admin` grants everything, including administration of the server:
/// status, snapshots and backups, compaction, the list of watchers, schedules, and setting,
/// clearing, replaying and deleting topics.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  export WAKEFUL_AUTH=/etc/wakeful/users.toml
  wakeful role add ops --admin
  wakeful role add shop --read 'config/*' --write 'stock/*' --push orders
  wakeful role grant shop --watch 'stock/*' --work 'orders/*'
  wakeful role revoke shop --write 'stock/*'
  wakeful role ls")]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    action: RoleCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RoleCommand {
    /// Add a role and its grants
    #[command(after_help = "\
Examples:
  wakeful role add ops --admin --auth users.toml
  wakeful role add shop --read 'config/*' --push orders --auth users.toml")]
    Add(ChangeArgs),
    /// Remove a role, also from its users
    #[command(after_help = "\
Example:
  wakeful role del shop --auth users.toml")]
    Del(RoleDelArgs),
    /// Add grants to a role
    #[command(after_help = "\
Example:
  wakeful role grant shop --watch 'stock/*' --auth users.toml")]
    Grant(ChangeArgs),
    /// Remove grants from a role; anything that only they permitted ends
    #[command(after_help = "\
Example:
  wakeful role revoke shop --write 'stock/*' --auth users.toml")]
    Revoke(ChangeArgs),
    /// List roles and their grants
    #[command(after_help = "\
Examples:
  wakeful role ls --auth users.toml
  wakeful role ls --auth users.toml --json | jq 'select(.admin) | .role'")]
    Ls(RoleListArgs),
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// The role
    #[arg(value_name = "ROLE")]
    name: String,
    /// Grant everything
    #[arg(long)]
    admin: bool,
    /// Read these keys. Repeatable, like all grants below
    #[arg(long, value_name = "KEYS")]
    read: Vec<Pattern>,
    /// Set and delete these keys
    #[arg(long, value_name = "KEYS")]
    write: Vec<Pattern>,
    /// Watch these keys, and wait for changes
    #[arg(long, value_name = "KEYS")]
    watch: Vec<Pattern>,
    /// Push jobs to these topics, cancel and inspect them
    #[arg(long, value_name = "TOPICS")]
    push: Vec<Pattern>,
    /// Reserve, settle and inspect jobs of these topics
    #[arg(long, value_name = "TOPICS")]
    work: Vec<Pattern>,
    /// Call methods of these services
    #[arg(long, value_name = "SERVICES")]
    call: Vec<Pattern>,
    /// Dial in as the server behind these links
    #[arg(long, value_name = "LINKS")]
    dial: Vec<Pattern>,
    #[command(flatten)]
    store: UserStoreArgs,
}

#[derive(Debug, clap::Args)]
struct RoleDelArgs {
    /// The role
    #[arg(value_name = "ROLE")]
    name: String,
    #[command(flatten)]
    store: UserStoreArgs,
}

#[derive(Debug, clap::Args)]
struct RoleListArgs {
    #[command(flatten)]
    store: UserStoreArgs,
}

impl RoleArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (name, act) = match self.action {
            RoleCommand::Add(args) => {
                args.store.update(|store| {
                    store.add_role(&args.name)?;
                    args.grant(store)
                })?;
                (args.name, "added")
            }
            RoleCommand::Grant(args) => {
                args.some()?;
                args.store.update(|store| args.grant(store))?;
                (args.name, "granted")
            }
            RoleCommand::Revoke(args) => {
                args.some()?;
                args.store.update(|store| args.revoke(store))?;
                (args.name, "revoked")
            }
            RoleCommand::Del(args) => {
                args.store.update(|store| store.remove_role(&args.name))?;
                (args.name, "deleted")
            }
            RoleCommand::Ls(args) => {
                for (name, role) in args.store.read()?.roles() {
                    list(name, role, out);
                }
                out.flush_blocking()?;
                return Ok(Exit::Done);
            }
        };
        if out.json() {
            out.object(&json!({ act: name }));
        } else {
            out.line(format_args!("{act} {name}"));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

impl ChangeArgs {
    fn patterns(&self) -> impl Iterator<Item = (Granted, &Pattern)> {
        let all = [
            (Granted::Read, &self.read),
            (Granted::Write, &self.write),
            (Granted::Watch, &self.watch),
            (Granted::Push, &self.push),
            (Granted::Work, &self.work),
            (Granted::Call, &self.call),
            (Granted::Dial, &self.dial),
        ];
        all.into_iter().flat_map(|(action, on)| on.iter().map(move |pattern| (action, pattern)))
    }

    /// Checks that there is something to change.
    fn some(&self) -> Result<(), Failure> {
        if self.admin || self.patterns().next().is_some() {
            return Ok(());
        }
        Err(Failure::usage("no grants given: use --read KEYS, --push TOPICS, --admin; see --help"))
    }

    fn grant(&self, store: &mut UserStore) -> Result<(), String> {
        if self.admin {
            store.set_admin(&self.name, true)?;
        }
        let mut patterns = self.patterns();
        patterns.try_for_each(|(action, on)| store.grant(&self.name, action, on.clone()).map(drop))
    }

    fn revoke(&self, store: &mut UserStore) -> Result<(), String> {
        if self.admin {
            store.set_admin(&self.name, false)?;
        }
        let mut patterns = self.patterns();
        patterns.try_for_each(|(action, on)| store.revoke(&self.name, action, on))
    }
}

/// A role in JSON: its actions, and the names they apply to.
#[derive(Serialize)]
struct Listed<'a> {
    role: &'a str,
    admin: bool,
    #[serde(flatten)]
    actions: BTreeMap<&'static str, Vec<String>>,
}

fn list(name: &str, role: &Role, out: &mut Output) {
    let patterns = |action| role.patterns(action).map(Pattern::to_string).collect::<Vec<_>>();
    if out.json() {
        let actions = Granted::ALL.map(|action| (action.name(), patterns(action)));
        out.object(&Listed { role: name, admin: role.admin, actions: actions.into() });
        return;
    }
    out.line(format_args!("{name}{}", if role.admin { ": admin" } else { "" }));
    for action in Granted::ALL {
        let patterns = patterns(action);
        if !patterns.is_empty() {
            out.line(format_args!("  {:<6} {}", action.name(), patterns.join("  ")));
        }
    }
}
