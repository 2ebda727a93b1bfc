//! `wakeful wait`

use std::time::Duration;

use super::argument::{Selection, bytes, parse_duration};
use super::failure::{Exit, Failure};
use super::output::{Output, notice};
use crate::{Blob, KeyRange, Operations, Revision, WaitCondition, WaitOutcome, WaitRequest};

/// Wait until a key changes, or until a condition holds
///
/// Prints the key that changed, byte by byte, and a newline; nothing if --absent already held for a
/// prefix. Exits with 4 on timeout. With --json, `revision` is the value for the next --after, also
/// on timeout; a loop that passes it on misses no revision.
///
/// Without --after, a condition that already holds is answered at once; with it, only later changes
/// count. Without a condition, any change counts; without KEY, changes of any key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful wait greeting                    until it is set or deleted
  wakeful wait jobs/ --prefix --timeout 5m
  wakeful wait lock --absent && wakeful set lock $$
  wakeful wait phase --equals ready
  wakeful wait --after 41 --json           first change of revision 42 or later")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    selection: Selection,
    /// Consider only changes after this revision [default: the current one]
    #[arg(long, value_name = "REV")]
    after: Option<Revision>,
    /// Maximum wait, as in 30s, 5m, 1h30m [default: the server's, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    until: WaitUntil,
}

/// The condition to wait for; any change by default.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct WaitUntil {
    /// Wait until the key exists
    #[arg(long)]
    exists: bool,
    /// Wait until the key does not exist; with --prefix, until no key does
    #[arg(long)]
    absent: bool,
    /// Wait until the key has this value
    #[arg(long, value_name = "VALUE", value_parser = bytes(), allow_negative_numbers = true)]
    equals: Option<Blob>,
    /// Wait until the key has another value, or is deleted
    #[arg(long, value_name = "VALUE", value_parser = bytes(), allow_negative_numbers = true)]
    differs: Option<Blob>,
    /// Until a revision above this one changed the key
    #[arg(long, value_name = "REV")]
    mod_above: Option<Revision>,
}

impl WaitArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let range = self.selection.range();
        let request = WaitRequest {
            range: range.clone(),
            condition: self.until.condition(),
            after: self.after,
            timeout: self.timeout,
        };
        let outcome = store.wait(request).await?;
        if out.json() {
            out.waited(&outcome);
        }
        match outcome {
            WaitOutcome::Met { .. } if out.json() => Ok(Exit::Done),
            WaitOutcome::Met { event, .. } => {
                let key = match (&event, &range) {
                    (Some(event), _) => Some(&event.kv.key),
                    (None, KeyRange::Key(key)) => Some(key),
                    (None, _) => None,
                };
                if let Some(key) = key {
                    out.bytes(key);
                    out.bytes(b"\n");
                }
                Ok(Exit::Done)
            }
            WaitOutcome::Timeout { revision } => {
                if !out.json() {
                    notice(format_args!("timeout; continue with --after {revision}"));
                }
                Ok(Exit::Timeout)
            }
        }
    }
}

impl WaitUntil {
    fn condition(self) -> WaitCondition {
        if self.exists {
            WaitCondition::Exists
        } else if self.absent {
            WaitCondition::Absent
        } else if let Some(value) = self.equals {
            WaitCondition::Equals(value)
        } else if let Some(value) = self.differs {
            WaitCondition::Differs(value)
        } else if let Some(revision) = self.mod_above {
            WaitCondition::ModRevisionAbove(revision)
        } else {
            WaitCondition::Changed
        }
    }
}
