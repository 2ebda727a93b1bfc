//! The journal alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use crate::config::Config;
use crate::error::{Error, ErrorCode};
use crate::journal::{
    Journal, JournalProgress, JournalRunner, JournalStats, RealDisk, RecordBatch, RecordSeq,
    open_by,
};

/// A journal on the disk that syncs every commit, with its defaults.
pub struct BenchJournal {
    journal: Box<dyn Journal>,
    progress: Receiver<JournalProgress>,
    batch: RecordBatch,
}

impl std::fmt::Debug for BenchJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchJournal").finish_non_exhaustive()
    }
}

impl BenchJournal {
    /// Opens a journal in `dir`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (report, progress) = channel();
        let report = Arc::new(move |progress| {
            // The receiver is gone once the journal is closed.
            let _ = report.send(progress);
        });
        let config = Config::new().journal;
        let (disk, replay) = (Arc::new(RealDisk), &mut |_, _: &[u8]| Ok(()));
        let opened = open_by(JournalRunner::Threads, disk, dir, &config, 1, report, replay)?;
        Ok(Self { journal: opened.journal, progress, batch: RecordBatch::new() })
    }

    /// Hands over `records` and waits until the disk has them.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn commit<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> Result<(), Error> {
        for record in records {
            self.batch.push_if(|out| {
                out.extend_from_slice(record);
                true
            });
        }
        let last: RecordSeq = self.journal.append(&mut self.batch);
        loop {
            match self.progress.recv() {
                Ok(JournalProgress::Synced(seq)) if seq >= last => return Ok(()),
                Ok(JournalProgress::Failed(error)) => return Err(error.into()),
                Ok(_) => {}
                Err(_) => return Err(Error::new(ErrorCode::Internal, "the journal has ended")),
            }
        }
    }

    /// Returns the number of segments, prepared ones included.
    pub fn segments(&self) -> u64 {
        self.stats().segments
    }

    /// Returns the bytes written, headers and padding included.
    pub fn bytes(&self) -> u64 {
        self.stats().bytes
    }

    /// Closes the journal.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn close(self) -> Result<(), Error> {
        Ok(self.journal.close()?)
    }

    fn stats(&self) -> JournalStats {
        self.journal.stats()
    }
}
