//! `wakeful backup`

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::{Output, notice};
use super::part_file::{self, PartFile};
use super::progress::Progress;
use crate::journal::{self, Contents, RealDisk};
use crate::{Error, ErrorCode, Operations, SnapshotReply};

/// Save a running server's store in a file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Has the server write a snapshot of everything: keys, history, leases, jobs and remembered replies;
fetches it and checks every byte of it. The file is written under a temporary name beside FILE,
readable by its owner alone, and renamed when it is whole and on the disk. `wakeful restore` makes
a store of it. --deadline is for each part, and at least an hour for the snapshot.

With - as FILE the backup goes to standard output, after it was checked as a temporary file
(in TMPDIR), and what is said about it to standard error.

Examples:
  wakeful backup monday.wakeful
  wakeful backup latest.wakeful --force            in the place of the one before
  wakeful backup - | zstd > monday.wakeful.zst
  wakeful backup --addr 10.0.0.5:7117 /backups/$(date +%F).wakeful")]
pub(crate) struct BackupArgs {
    /// Where to; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
}

/// How long a snapshot may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Tries, as the server may replace the snapshot by a newer one while it is fetched.
const TRIES: usize = 5;

/// Bytes that are handed to standard output at once.
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
                let message =
                    "a backup is not text: send standard output elsewhere, or name a file";
                return Err(Failure::usage(message));
            }
            PartFile::scratch()?
        } else {
            part_file::check(&self.file, self.force)?;
            PartFile::beside(&self.file)?
        };
        let mut progress = Progress::new(out);
        let snapshot = fetch(store, &mut part, &mut progress).await?;
        progress.show("checking what was fetched");
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
    progress: &mut Progress,
) -> Result<SnapshotReply, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        progress.show("the server writes a snapshot");
        let snapshot = store.snapshot().await?;
        part.truncate()?;
        match fetch_parts(store, &snapshot, part, progress).await {
            Err(Failure::Told { code, .. })
                if code == ErrorCode::Unavailable.to_string() && tries < TRIES =>
            {
                progress.clear();
                notice("another snapshot replaced this one; beginning again");
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
    progress: &mut Progress,
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

/// Checks the whole file; on another thread, as that may take long.
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

/// Returns what is said of a backup, on one line.
fn report(snapshot: &SnapshotReply, contents: &Contents, json: bool) -> String {
    let Contents { store_id, records, bytes } = *contents;
    if !json {
        return format!("revision {}, {bytes} bytes, whole", snapshot.revision);
    }
    let revision = snapshot.revision;
    let store_id = format!("{store_id:016x}");
    let report =
        json!({ "revision": revision, "store_id": store_id, "records": records, "bytes": bytes });
    report.to_string()
}
