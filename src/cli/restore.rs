//! `wakeful restore`

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::{Exit, Failure};
use super::json::Object;
use super::output::Output;
use crate::journal::{self, Contents, Disk, RealDisk};
use crate::rooms::Rooms;
use crate::{Config, Error};

/// Make a data directory from a backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks the whole file before anything is written. DIR must not hold a store. The new one goes on from
the backup's revision under an id of its own, so that clients notice that it is another store: theirs
may have seen revisions that are not in it. Leases have the time they had left when the backup was
made, and at least a third of their time to live.

Examples:
  wakeful restore monday.wakeful
  wakeful restore /backups/2026-11-23.wakeful --data-dir /var/lib/wakeful")]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the data shall be
    #[arg(long, value_name = "DIR", env = "WAKEFUL_DATA_DIR", default_value = "./wakeful-data")]
    data_dir: PathBuf,
}

impl RestoreArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let failed = |error| Failure::io(&self.file.display().to_string(), &error);
        std::fs::metadata(&self.file).map_err(failed)?;
        let config = Config::new();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut rooms = Rooms::new(&config, 0);
        rooms.begin_replay();
        let mut replay = |_, payload: &[u8]| rooms.replay(payload);
        let store_id = rand::random();
        let contents = journal::restore(
            &disk,
            &self.file,
            &self.data_dir,
            &config.journal,
            store_id,
            &mut replay,
        )
        .map_err(Error::from)?;
        let Contents { bytes, .. } = contents;
        let revision = rooms.store.revision();
        if out.json() {
            out.object(
                Object::new()
                    .number("revision", revision)
                    .text("store_id", &format!("{store_id:016x}"))
                    .number("bytes", bytes),
            );
        } else {
            let dir = self.data_dir.display();
            out.line(format_args!("revision {revision}, restored to {dir}"));
        }
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}
