//! `wakeful journal`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::input;
use super::output::{Output, notice};
use super::progress::ProgressLine;
use crate::journal::{self, Dropped, RealDisk, Verified};
use crate::{Config, Error};

/// Inspect the data of a server that is not running
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
///
/// A last resort without a backup: the damage that `journal verify` reports, and everything written
/// after it, is dropped permanently. The command prints how much that is, and asks for
/// confirmation. Copy the directory first. The dropped revisions will be assigned again, under
/// another store id. A damaged snapshot cannot be repaired: restore a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful journal repair --truncate-at 0000000000000007.log:81920
  wakeful journal repair --truncate-at 0000000000000007.log:81920 --yes")]
struct RepairArgs {
    /// The file and offset that `journal verify` reports
    #[arg(long, value_name = "FILE:OFFSET", value_parser = parse_place)]
    truncate_at: FilePosition,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Data directory
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
}

/// A position in a file.
#[derive(Debug, Clone)]
struct FilePosition {
    file: String,
    offset: u64,
}

fn parse_place(text: &str) -> Result<FilePosition, String> {
    let parsed = text.rsplit_once(':').and_then(|(file, offset)| {
        // A path, as `journal verify` prints it, is accepted as well as a name.
        let file = Path::new(file).file_name()?.to_str()?.to_owned();
        Some(FilePosition { file, offset: offset.parse().ok()? })
    });
    parsed.ok_or_else(|| "write FILE:OFFSET, as in 0000000000000007.log:81920".to_owned())
}

/// Read the whole journal, and check every byte of it
///
/// Changes nothing. Exits with 6 at the first damage, and reports its file and offset; with 7 if a
/// server uses the directory. A torn tail, which a crash leaves, is not damage: the next start
/// truncates it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful journal verify
  wakeful journal verify --data-dir /var/lib/wakeful --json")]
struct VerifyArgs {
    /// Data directory
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
        let Self { truncate_at: FilePosition { file, offset }, yes, data_dir } = self;
        let repair =
            journal::plan_repair(&RealDisk, &data_dir, &file, offset).map_err(Error::from)?;
        let Dropped { last, records, bytes, segments } = repair.dropped();
        notice(format_args!(
            "drops about {records} records after record {last}: {bytes} bytes, {segments} whole \
             segments"
        ));
        if !yes && !input::confirmed("type yes to drop them permanently:")? {
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
            out.line(format_args!("the log now ends with record {last}"));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

impl VerifyArgs {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let Self { data_dir } = self;
        let mut progress = ProgressLine::new(out);
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
                (false, torn) => {
                    format!("a torn tail of {torn} bytes, which the next start will cut")
                }
            };
            let unfinished = match unfinished {
                0 => String::new(),
                records => format!("; {records} of them are incomplete, and not counted"),
            };
            let snapshot = match snapshot {
                0 => String::new(),
                seq => format!("a snapshot of {seq} records, then "),
            };
            out.line(format_args!(
                "complete: {snapshot}{bytes} bytes in {commits} commits and {segments} segments up to \
                 record {records}{unfinished}; {end}"
            ));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}
