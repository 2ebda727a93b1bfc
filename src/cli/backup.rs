//! `wakeful backup`

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::{Output, notice};
use super::part_file::{self, PartFile};
use super::progress::ProgressLine;
use crate::journal::{self, Contents, RealDisk};
use crate::{Error, ErrorCode, Operations, SnapshotReply};

/// Save the store of a running server in a file
///
/// The server writes a snapshot of everything: keys, history, leases, jobs and remembered replies.
/// The command fetches it and checks every byte. The file is written under a temporary name beside
/// FILE, readable by its owner only, and renamed when it is complete and on the disk. `wakeful
/// restore` makes a store from it. --deadline applies to each part, except that the snapshot may
/// take an hour.
///
/// With - as FILE the backup goes to standard output after it was checked in a temporary file (in
/// TMPDIR), and messages go to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful backup monday.wakeful
  wakeful backup latest.wakeful --force    replaces the previous one
  wakeful backup - | zstd > monday.wakeful.zst
  wakeful backup --addr 10.0.0.5:7117 /backups/$(date +%F).wakeful")]
pub(crate) struct BackupArgs {
    /// The file to write; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
}

/// Maximum time for a snapshot.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3600);

/// Maximum number of attempts: the server may replace the snapshot with a newer one during the
/// download.
const TRIES: usize = 5;

/// Number of bytes per write to standard output.
const COPY_BYTES: usize = 1024 * 1024;

impl BackupArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let to_stdout = self.file == Path::new("-");
        let mut part = if to_stdout {
            if io::stdout().is_terminal() {
                let message = "a backup is binary: redirect standard output, or name a file";
                return Err(Failure::usage(message));
            }
            PartFile::scratch()?
        } else {
            part_file::check(&self.file, self.force)?;
            PartFile::beside(&self.file)?
        };
        let mut progress = ProgressLine::new(out);
        let snapshot = fetch(store, &mut part, &mut progress).await?;
        progress.show("checking the download");
        let contents = check(part.path()).await?;
        progress.clear();
        let report = report(&snapshot, &contents, out.json());
        if to_stdout {
            copy(&part.path(), out).await?;
            notice(report);
        } else {
            part.keep(&self.file, self.force)?;
            out.line(report);
        }
        Ok(Exit::Done)
    }
}

async fn fetch(
    store: &impl Operations,
    part: &mut PartFile,
    progress: &mut ProgressLine,
) -> Result<SnapshotReply, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        progress.show("the server is writing a snapshot");
        let snapshot = store.snapshot().await?;
        part.truncate()?;
        match fetch_parts(store, &snapshot, part, progress).await {
            Err(Failure::Told { code, .. })
                if code == ErrorCode::Unavailable.to_string() && tries < TRIES =>
            {
                progress.clear();
                notice("a newer snapshot replaced this one; starting again");
            }
            Err(failure) => return Err(failure),
            Ok(()) => return Ok(snapshot),
        }
    }
}

async fn fetch_parts(
    store: &impl Operations,
    snapshot: &SnapshotReply,
    part: &mut PartFile,
    progress: &mut ProgressLine,
) -> Result<(), Failure> {
    let mut offset = 0;
    while offset < snapshot.bytes {
        let bytes = store.read_snapshot(snapshot.id, offset, 0).await?;
        if bytes.is_empty() {
            let message = format!("the snapshot ends at {offset} of {} bytes", snapshot.bytes);
            return Err(Failure::told(Exit::Failed, "Internal", message));
        }
        part.append(&bytes)?;
        offset += bytes.len() as u64;
        progress.show_bytes(offset, snapshot.bytes);
    }
    part.sync()
}

/// Checks the whole file on another thread, because the check may take long.
async fn check(path: PathBuf) -> Result<Contents, Failure> {
    let checked = tokio::task::spawn_blocking(move || {
        journal::check_snapshot(&RealDisk, &path, &mut |_, _| Ok(()))
    });
    let checked = checked.await.map_err(|error| Failure::io("the check", &io::Error::other(error)));
    Ok(checked?.map_err(Error::from)?)
}

/// Writes the file to standard output.
async fn copy(path: &Path, out: &mut Output) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::io(&path.display().to_string(), &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            count => out.bytes(buffer.get(..count).unwrap_or_default()),
        }
        out.flush().await?;
    }
}

/// Returns a one-line report about a backup.
fn report(snapshot: &SnapshotReply, contents: &Contents, json: bool) -> String {
    let Contents { store_id, records, bytes } = *contents;
    if !json {
        return format!("revision {}, {bytes} bytes, complete", snapshot.revision);
    }
    let revision = snapshot.revision;
    let store_id = format!("{store_id:016x}");
    let report =
        json!({ "revision": revision, "store_id": store_id, "records": records, "bytes": bytes });
    report.to_string()
}
