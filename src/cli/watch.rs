//! `wakeful watch`

use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;

use super::argument::{Selection, parse_duration};
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{
    Delivery, Details, Error, ErrorCode, Event, EventKind, KeyValue, Operations, Revision,
    WatchFrom, WatchItem, WatchRequest,
};

/// Print changes as they happen
///
/// Values are shown with control characters escaped; with --json bytes are exact. With --previous,
/// `, previous VALUE` follows the revision, or `, new` if the key was absent. Without KEY it
/// watches every key. Ends with Ctrl-C, with --count, or with an error, which names the revision to
/// continue from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Output:
  put KEY VALUE (revision N)
  delete KEY (revision N)
  snapshot KEY VALUE (revision N)      with --snapshot: an existing key
  synced (revision N)                  with --snapshot: changes follow
  progress (revision N)                with --progress: all up to N was shown
  skipped COUNT (revision N)           with --latest: omitted older changes

Examples:
  wakeful watch greeting
  wakeful watch jobs/ --prefix --snapshot  existing keys, then changes
  wakeful watch jobs/ --prefix --from 100  past changes, then new ones
  wakeful watch done --count 1 && echo changed
  wakeful watch --json | jq .kv.key")]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    selection: Selection,
    /// Start with this revision of the history [default: the next one]
    #[arg(long, value_name = "REV", conflicts_with = "snapshot")]
    from: Option<Revision>,
    /// Print the existing keys, a marker, then every later change
    #[arg(long)]
    snapshot: bool,
    /// End after N changes (keys of a snapshot are not changes)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Omit deletes
    #[arg(long, conflicts_with = "deletes_only")]
    puts_only: bool,
    /// Omit puts
    #[arg(long)]
    deletes_only: bool,
    /// Also print the previous value of each key
    #[arg(long)]
    previous: bool,
    /// Omit values
    #[arg(long)]
    keys_only: bool,
    /// When behind, print only the newest change of each key, and the number of skipped ones
    #[arg(long)]
    latest: bool,
    /// Report progress at this interval: everything so far was shown
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    progress: Option<Duration>,
}

impl WatchArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut items = store.watch(self.request()).await?;
        let mut left = self.count.unwrap_or(u64::MAX);
        while let Some(item) = items.next().await {
            self.show(item.map_err(with_place)?, &mut left, out);
            // The content of an item arrived together; no line waits for a later item.
            out.flush().await?;
            if left == 0 {
                return Ok(Exit::Done);
            }
        }
        Err(Error::new(ErrorCode::Unavailable, "the watch ended without a reason; watch again")
            .into())
    }

    fn request(&self) -> WatchRequest {
        let mut request = WatchRequest::new(self.selection.range());
        request.from = match self.from {
            Some(revision) => WatchFrom::Revision(revision),
            None if self.snapshot => WatchFrom::Snapshot,
            None => WatchFrom::Now,
        };
        request.puts = !self.deletes_only;
        request.deletes = !self.puts_only;
        request.previous = self.previous;
        request.keys_only = self.keys_only;
        request.progress = self.progress;
        if self.latest {
            request.delivery = Delivery::Latest;
        }
        request
    }

    fn show(&self, item: WatchItem, left: &mut u64, out: &mut Output) {
        match item {
            WatchItem::Snapshot { kvs, .. } => {
                for kv in &kvs {
                    if out.json() {
                        out.object(&WatchLine::new(
                            "snapshot",
                            kv.mod_revision,
                            Kv { kv: kv.shown() },
                        ));
                    } else {
                        out.line(self.line("snapshot", kv, ""));
                    }
                }
            }
            WatchItem::SnapshotEnd { revision } if out.json() => {
                mark("snapshot_end", None, revision, out);
            }
            WatchItem::SnapshotEnd { revision } => mark("synced", None, revision, out),
            WatchItem::Progress { revision } => mark("progress", None, revision, out),
            WatchItem::Events { revision, events, skipped } => {
                if skipped > 0 {
                    mark("skipped", Some(skipped), revision, out);
                }
                for event in &events {
                    if *left == 0 {
                        return;
                    }
                    *left -= 1;
                    self.show_event(event, out);
                }
            }
        }
    }

    fn show_event(&self, event: &Event, out: &mut Output) {
        if out.json() {
            out.object(&WatchLine::new(event_type(event), event.revision(), event.shown()));
            return;
        }
        let previous = match &event.previous {
            _ if !self.previous => String::new(),
            Some(kv) if !self.keys_only => format!(", previous {}", kv.value),
            _ if event.kv.version == 1 => ", new".into(),
            _ => String::new(),
        };
        out.line(self.line(event_type(event), &event.kv, &previous));
    }

    fn line(&self, what: &str, kv: &KeyValue, previous: &str) -> String {
        let key = &kv.key;
        let revision = kv.mod_revision;
        // A delete has version 0 and no value.
        if self.keys_only || kv.version == 0 {
            format!("{what} {key} (revision {revision}{previous})")
        } else {
            format!("{what} {key} {} (revision {revision}{previous})", kv.value)
        }
    }
}

/// Adds the place to continue from, in terms of the command line.
fn with_place(mut error: Error) -> Error {
    if let Details::Resume { revision } = error.details {
        error.message += &format!("; continue with --from {revision}");
    }
    error
}

fn mark(what: &'static str, count: Option<u64>, revision: Revision, out: &mut Output) {
    match (out.json(), count) {
        (true, Some(skipped)) => out.object(&WatchLine::new(what, revision, Skipped { skipped })),
        (true, None) => out.object(&WatchLine::new(what, revision, ())),
        (false, Some(count)) => out.line(format_args!("{what} {count} (revision {revision})")),
        (false, None) => out.line(format_args!("{what} (revision {revision})")),
    }
}

/// Returns `put` or `delete`.
fn event_type(event: &Event) -> &'static str {
    match event.kind() {
        EventKind::Put => "put",
        EventKind::Delete => "delete",
    }
}

/// A line of JSON: the kind, the revision, and the members of that kind.
#[derive(Serialize)]
struct WatchLine<T> {
    r#type: &'static str,
    revision: Revision,
    #[serde(flatten)]
    rest: T,
}

impl<T> WatchLine<T> {
    fn new(r#type: &'static str, revision: Revision, rest: T) -> Self {
        Self { r#type, revision, rest }
    }
}

#[derive(Serialize)]
struct Kv<T> {
    kv: T,
}

#[derive(Serialize)]
struct Skipped {
    skipped: u64,
}
