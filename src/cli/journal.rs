//! `wakeful journal`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::input;
use super::output::{Output, notice};
use super::progress::Progress;
use crate::journal::{self, Dropped, RealDisk, Verified};
use crate::{Config, Error};

/// Look at the data of a server that is not running
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful journal verify
  wakeful journal repair --truncate-at 0000000000000007.log:81920")]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JournalCommand {
    Verify(VerifyArgs),
    Repair(RepairArgs),
}

/// Drop the end of a damaged log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last way out, when there is no backup: what `journal verify` calls damaged, and everything that
was written after it, is dropped for good. Says how much that is, and asks. Copy the directory first.
The revisions that are dropped will be given again: restart every client that may have seen them.
A damaged snapshot cannot be repaired: restore a backup.

Examples:
  wakeful journal repair --truncate-at 0000000000000007.log:81920
  wakeful journal repair --truncate-at 0000000000000007.log:81920 --data-dir /var/lib/wakeful --yes")]
struct RepairArgs {
    /// The file and the byte that `journal verify` names
    #[arg(long, value_name = "FILE:OFFSET", value_parser = parse_place)]
    truncate_at: Place,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Where the data is
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
}

/// A byte of a file.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    offset: u64,
}

fn parse_place(text: &str) -> Result<Place, String> {
    let parsed = text.rsplit_once(':').and_then(|(file, offset)| {
        // A path, as it is told, is as good as a name.
        let file = Path::new(file).file_name()?.to_str()?.to_owned();
        Some(Place { file, offset: offset.parse().ok()? })
    });
    parsed.ok_or_else(|| "write FILE:OFFSET, as in 0000000000000007.log:81920".to_owned())
}

/// Read the whole journal, and check every byte of it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Changes nothing. Exits with 6 at the first damage, which it names by file and offset, and with 7 if a
server has the directory. A torn tail, as a crash leaves it, is no damage: the next start cuts it.

Examples:
  wakeful journal verify
  wakeful journal verify --data-dir /var/lib/wakeful --json")]
struct VerifyArgs {
    /// Where the data is
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
}

impl JournalArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self.command {
            JournalCommand::Verify(args) => args.run(out),
            JournalCommand::Repair(args) => args.run(out),
        }
    }
}

impl RepairArgs {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let Self { truncate_at: Place { file, offset }, yes, data_dir } = self;
        let repair =
            journal::plan_repair(&RealDisk, &data_dir, &file, offset).map_err(Error::from)?;
        let Dropped { last, records, bytes, segments } = repair.dropped();
        notice(format_args!(
            "drops about {records} records after record {last}: {bytes} bytes, {segments} segments \
             as a whole"
        ));
        if !yes && !input::confirmed("type yes to drop it for good:")? {
            return Err(Failure::told(Exit::Failed, "Refused", "nothing was changed"));
        }
        repair.apply(&Config::new().journal).map_err(Error::from)?;
        if out.json() {
            out.object(&json!({
                "last": last,
                "dropped_records": records,
                "dropped_bytes": bytes,
                "dropped_segments": segments,
            }));
        } else {
            out.line(format_args!("the log ends with record {last} now"));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

impl VerifyArgs {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let Self { data_dir } = self;
        let mut progress = Progress::new(out);
        let verified = journal::verify(&RealDisk, &data_dir, &mut |seq, _| {
            progress.show(format_args!("checked up to record {seq}"));
            Ok(())
        });
        drop(progress);
        let verified = verified.map_err(Error::from)?;
        let Verified { store_id, snapshot, segments, commits, records, bytes, .. } = verified;
        let Verified { unfinished, torn_bytes, closed, .. } = verified;
        if out.json() {
            out.object(&json!({
                "store_id": format!("{:016x}", store_id.unwrap_or(0)),
                "snapshot": snapshot,
                "segments": segments,
                "commits": commits,
                "records": records,
                "bytes": bytes,
                "unfinished_records": unfinished,
                "torn_bytes": torn_bytes,
                "closed": closed,
            }));
        } else {
            let end = match (closed, torn_bytes) {
                (true, _) => "closed".to_owned(),
                (false, 0) => "not closed, nothing torn".to_owned(),
                (false, torn) => format!("a torn tail of {torn} bytes, which the next start cuts"),
            };
            let unfinished = match unfinished {
                0 => String::new(),
                records => format!("; {records} of them were never whole, and are left out"),
            };
            let snapshot = match snapshot {
                0 => String::new(),
                seq => format!("a snapshot of {seq} records, then "),
            };
            out.line(format_args!(
                "whole: {snapshot}{bytes} bytes in {commits} commits and {segments} segments up to \
                 record {records}{unfinished}; {end}"
            ));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}
