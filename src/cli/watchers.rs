//! `wakeful watchers`

use super::failure::{Exit, Failure};
use super::json::ReadItem;
use super::output::Output;
use super::table::{ColumnKind, Table};
use crate::rpc::proto::SerializeWire;
use crate::{Operations, Reply, WatcherInfo, WatcherKind};

/// List waits and watches, or end one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful watchers                         same as `wakeful watchers list`
  wakeful watchers end 17")]
pub(crate) struct WatchersArgs {
    #[command(subcommand)]
    action: Option<WatchersCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum WatchersCommand {
    /// List waits and watches in order of id (the default)
    ///
    /// Prints a table: the id, wait or watch, the number of revisions it is behind, its keys (a
    /// key, PREFIX* or a half-open range FROM to TO), and its owner. Prints nothing if there are
    /// none.
    #[command(after_help = "\
Example:
  wakeful watchers list --json")]
    List,
    /// End a wait or a watch; its owner is notified
    ///
    /// Exits with 3 if there is no such wait or watch.
    #[command(after_help = "\
Example:
  wakeful watchers end 17")]
    End {
        /// Id from the list of watchers
        #[arg(value_name = "ID")]
        id: u64,
    },
}

impl WatchersArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        match self.action.unwrap_or(WatchersCommand::List) {
            WatchersCommand::List => list(store, out).await?,
            WatchersCommand::End { id } => {
                store.end_watcher(id).await?;
                if out.json() {
                    out.reply(&Reply::EndWatcher);
                } else {
                    out.line(format_args!("ended {id}"));
                }
            }
        }
        Ok(Exit::Done)
    }
}

async fn list(store: &impl Operations, out: &mut Output) -> Result<(), Failure> {
    let columns = [
        ("ID", ColumnKind::Number),
        ("KIND", ColumnKind::Word),
        ("BEHIND", ColumnKind::Number),
        ("KEYS", ColumnKind::Name),
        ("OWNER", ColumnKind::Name),
    ];
    let (mut after, mut table) = (0, Table::new(columns, out));
    loop {
        let page = store.watchers(after, 0).await?;
        if out.json() {
            let at = |one: &WatcherInfo| {
                out.object(&ReadItem { revision: page.revision, item: one.shown() })
            };
            page.watchers.iter().for_each(at);
        } else {
            table.print(page.watchers.iter().map(row).collect(), out);
        }
        out.flush().await?;
        match page.watchers.last() {
            Some(last) if page.more => after = last.id,
            _ => return Ok(()),
        }
    }
}

fn row(watcher: &WatcherInfo) -> [String; 5] {
    [
        watcher.id.to_string(),
        kind(watcher.kind).to_owned(),
        watcher.behind.to_string(),
        watcher.range.to_string(),
        watcher.owner.clone(),
    ]
}

fn kind(kind: WatcherKind) -> &'static str {
    match kind {
        WatcherKind::Wait => "wait",
        WatcherKind::Watch => "watch",
    }
}
