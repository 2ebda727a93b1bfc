//! `wakeful journal`

use std::path::PathBuf;

use super::failure::{Exit, Failure};
use super::json::Object;
use super::output::Output;
use crate::Error;
use crate::journal::{self, RealDisk, Verified};

/// Look at the data of a server that is not running
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful journal verify
  wakeful journal verify --data-dir /var/lib/wakeful")]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JournalCommand {
    Verify(VerifyArgs),
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
        let JournalCommand::Verify(VerifyArgs { data_dir }) = self.command;
        let verified = journal::verify(&RealDisk, &data_dir).map_err(Error::from)?;
        let Verified { store_id, snapshot, segments, commits, records, bytes, torn_bytes, closed } =
            verified;
        if out.json() {
            out.object(
                Object::new()
                    .number("store_id", store_id.unwrap_or(0))
                    .number("snapshot", snapshot)
                    .number("segments", segments)
                    .number("commits", commits)
                    .number("records", records)
                    .number("bytes", bytes)
                    .number("torn_bytes", torn_bytes)
                    .flag("closed", closed),
            );
        } else {
            let end = match (closed, torn_bytes) {
                (true, _) => "closed".to_owned(),
                (false, 0) => "not closed, nothing torn".to_owned(),
                (false, torn) => format!("a torn tail of {torn} bytes, which the next start cuts"),
            };
            let snapshot = match snapshot {
                0 => String::new(),
                seq => format!("a snapshot of {seq} records, then "),
            };
            out.line(format_args!(
                "whole: {snapshot}{bytes} bytes in {commits} commits and {segments} segments up to \
                 record {records}; {end}"
            ));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}
