//! `wakeful backup`

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::failure::{Exit, Failure};
use super::json::Object;
use super::output::{Output, notice};
use crate::journal::{self, Contents, RealDisk};
use crate::{Error, ErrorCode, Operations, SnapshotReply};

/// Save a running server's store in a file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Has the server write a snapshot of everything there is, history, leases and remembered replies
included, fetches it and checks every byte of it. FILE must not exist: it is written under the name
FILE.part, and renamed when it is whole and on the disk. `wakeful restore` makes a store of it.
--deadline is for each part, and at least an hour for the snapshot.

Examples:
  wakeful backup monday.wakeful
  wakeful backup --addr 10.0.0.5:7117 /backups/$(date +%F).wakeful")]
pub(crate) struct BackupArgs {
    /// Where to
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// How long a snapshot may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Tries, as the server may replace the snapshot by a newer one while it is fetched.
const TRIES: usize = 5;

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

impl BackupArgs {
    pub(crate) async fn run(
        self,
        store: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let file = &self.file;
        if file.exists() {
            let message = format!("{} exists; name another file", file.display());
            return Err(Failure::usage(message));
        }
        let part = PathBuf::from(format!("{}.part", file.display()));
        let fetched = fetch(store, &part).await;
        let done = fetched.and_then(|snapshot| {
            let contents = journal::check_snapshot(&RealDisk, &part, &mut |_, _| Ok(()))
                .map_err(Error::from)?;
            keep(&part, file).map_err(|error| Failure::io(&file.display().to_string(), &error))?;
            Ok((snapshot, contents))
        });
        let (snapshot, contents) = done.inspect_err(|_| {
            // Best effort: whoever asked is told of the failure.
            let _ = fs::remove_file(&part);
        })?;
        tell(&snapshot, &contents, out);
        Ok(Exit::Done)
    }
}

async fn fetch(store: &impl Operations, part: &Path) -> Result<SnapshotReply, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let snapshot = store.snapshot().await?;
        match fetch_parts(store, &snapshot, part).await {
            Err(Failure::Told { code, .. })
                if code == ErrorCode::Unavailable.to_string() && tries < TRIES =>
            {
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
    part: &Path,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::io(&part.display().to_string(), &error);
    let mut file = File::create(part).map_err(failed)?;
    let mut offset = 0;
    let mut said = Instant::now();
    while offset < snapshot.bytes {
        let bytes = store.read_snapshot(snapshot.id, offset, 0).await?;
        if bytes.is_empty() {
            let message = format!("the snapshot ends at {offset} of {} bytes", snapshot.bytes);
            return Err(Failure::told(Exit::Failed, "Internal", message));
        }
        file.write_all(&bytes).map_err(failed)?;
        offset += bytes.len() as u64;
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            notice(format_args!("{offset} of {} bytes", snapshot.bytes));
        }
    }
    file.sync_all().map_err(failed)
}

/// Gives the file its name, durably.
fn keep(part: &Path, file: &Path) -> io::Result<()> {
    fs::rename(part, file)?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn tell(snapshot: &SnapshotReply, contents: &Contents, out: &mut Output) {
    let Contents { store_id, records, bytes } = *contents;
    if out.json() {
        out.object(
            Object::new()
                .number("revision", snapshot.revision)
                .text("store_id", &format!("{store_id:016x}"))
                .number("records", records)
                .number("bytes", bytes),
        );
    } else {
        out.line(format_args!("revision {}, {bytes} bytes, whole", snapshot.revision));
    }
}
