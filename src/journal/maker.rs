//! Makes segments, in full, before they are used.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::disk::{Disk, DiskFile};
use super::error::Action;
use super::format::SegmentHead;
use super::segment::{self, Segment, TEMPORARY};

const ZEROS: usize = 1024 * 1024;

/// Makes segments of one journal.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) size: u64,
    pub(super) store_id: u64,
}

impl Maker {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, store_id: u64, segment_bytes: u64) -> Self {
        let size = segment::whole_size(segment_bytes);
        Self { disk, dir: dir.to_owned(), size, store_id }
    }

    /// Makes a segment; when it is there under its name it is there whole, and durable.
    pub(super) fn make(&self, number: u64) -> Result<Segment, JournalError> {
        let path = segment::path(&self.dir, number);
        let temporary = self.dir.join(format!("{}{TEMPORARY}", segment::name(number)));
        let head =
            SegmentHead { store_id: self.store_id, number, size: self.size, salt: rand::random() };
        let made = self.fill(&temporary, &head).and_then(|file| {
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Segment { head, path, file }),
            Err(error) => {
                // Best effort: opening the journal removes it too.
                let _ = self.disk.remove(&temporary);
                Err(JournalError::io(Action::Make, &path, &error))
            }
        }
    }

    fn fill(&self, temporary: &Path, head: &SegmentHead) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(temporary)?;
        file.reserve(self.size)?;
        // Real zeros: a sync after overwriting them has no metadata to write, unlike one after
        // growing the file or filling what is merely reserved.
        let zeros = vec![0; ZEROS.min(self.size as usize)];
        let mut at = 0;
        while at < self.size {
            let bytes = zeros.get(..(self.size - at).min(zeros.len() as u64) as usize);
            let bytes = bytes.unwrap_or(&zeros);
            file.write_all_at(at, bytes)?;
            at += bytes.len() as u64;
        }
        file.write_all_at(0, &head.encode())?;
        file.sync_data()?;
        Ok(file)
    }
}
