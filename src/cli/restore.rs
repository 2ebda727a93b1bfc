//! `wakeful restore`

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::part_file::PartFile;
use super::progress::{self, ProgressLine};
use crate::journal::{self, Contents, RealDisk};
use crate::replayed::ReplayedState;
use crate::{Config, Error};

/// Create a data directory from a backup
///
/// Checks the whole file before it writes anything. DIR must not hold a store. The new store
/// continues from the backup's revision under an id of its own, so that clients notice the change:
/// they may have seen revisions that the backup lacks. Leases get the time they had left when the
/// backup was made, and at least a third of their time to live.
///
/// With - as FILE the backup is first read from standard input into a temporary file (in TMPDIR).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful restore monday.wakeful
  wakeful restore /backups/2026-11-23.wakeful --data-dir /var/lib/wakeful
  zstd -dc monday.wakeful.zst | wakeful restore -")]
pub(crate) struct RestoreArgs {
    /// The backup; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data directory to create
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
}

/// Number of bytes per read from standard input.
const READ_BYTES: u64 = 1024 * 1024;

/// A restored store.
struct Restored {
    store_id: u64,
    revision: u64,
    bytes: u64,
}

impl RestoreArgs {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let Self { file, data_dir } = self;
        let dir = data_dir.display().to_string();
        let mut progress = ProgressLine::new(out);
        let restored = if file == Path::new("-") {
            // Owned here, so that a signal removes it too.
            let spooled = spool(&mut progress).await?;
            let restored = restore(spooled.path(), data_dir, progress).await;
            restored.map_err(|failure| failure.about(spooled.path(), "standard input"))
        } else {
            restore(file, data_dir, progress).await
        };
        let Restored { store_id, revision, bytes } = restored?;
        if out.json() {
            let store_id = format!("{store_id:016x}");
            out.object(&json!({ "revision": revision, "store_id": store_id, "bytes": bytes }));
        } else {
            out.line(format_args!("revision {revision}, restored to {dir}"));
        }
        Ok(Exit::Done)
    }
}

/// Copies standard input to a file.
async fn spool(progress: &mut ProgressLine) -> Result<PartFile, Failure> {
    if io::stdin().is_terminal() {
        let message = "a backup is binary: name a file, or redirect standard input";
        return Err(Failure::usage(message));
    }
    let mut part = PartFile::scratch()?;
    let mut total = 0;
    loop {
        let chunk = on_a_thread(|| {
            let mut chunk = Vec::new();
            let read = io::stdin().lock().take(READ_BYTES).read_to_end(&mut chunk);
            read.map_err(|error| Failure::io("standard input", &error))?;
            Ok(chunk)
        });
        let chunk = chunk.await?;
        if chunk.is_empty() {
            return Ok(part);
        }
        part.append(&chunk)?;
        total += chunk.len() as u64;
        progress.show(format_args!("read {}", progress::bytes(total)));
    }
}

async fn restore(
    file: PathBuf,
    data_dir: PathBuf,
    mut progress: ProgressLine,
) -> Result<Restored, Failure> {
    on_a_thread(move || {
        let failed = |error| Failure::io(&file.display().to_string(), &error);
        let total = std::fs::metadata(&file).map_err(failed)?.len();
        let config = Config::new();
        let mut rooms = ReplayedState::new(&config, 0);
        rooms.begin_replay();
        let mut done = 0;
        let mut replay = |_, payload: &[u8]| {
            done += payload.len() as u64;
            progress.show_bytes(done, total);
            rooms.replay(payload)
        };
        let store_id = rand::random();
        let contents =
            journal::restore(&RealDisk, &file, &data_dir, &config.journal, store_id, &mut replay)
                .map_err(Error::from)?;
        let Contents { bytes, .. } = contents;
        Ok(Restored { store_id, revision: rooms.store.revision(), bytes })
    })
    .await
}

/// Runs `work` on a thread that may block, while signals are handled.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::io("the restore", &io::Error::other(error))))
}
