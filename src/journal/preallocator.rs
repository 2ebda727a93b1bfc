//! Creates segments, completely filled, before they are used.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::disk::{Disk, DiskFile};
use super::error::JournalOperation;
use super::format::{SegmentHead, VERSION};
use super::segment::{self, Segment, TEMPORARY};

use crate::environment;

const ZEROS: usize = 1024 * 1024;

/// Creates the segments of one journal.
#[derive(Clone)]
pub(super) struct Preallocator {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) size: u64,
    pub(super) store_id: u64,
}

impl Preallocator {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, store_id: u64, segment_bytes: u64) -> Self {
        let size = segment::whole_size(segment_bytes);
        Self { disk, dir: dir.to_owned(), size, store_id }
    }

    /// Creates a segment; once it exists under its name, it is complete and durable.
    pub(super) fn make(&self, number: u64) -> Result<Segment, JournalError> {
        let (store_id, size) = (self.store_id, self.size);
        let salt = environment::random();
        self.put(SegmentHead { version: VERSION, store_id, number, size, salt }, &[])
    }

    /// Returns how many bytes new files may take; `None` if the disk does not report them.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(&self.dir).unwrap_or_default()
    }

    /// Creates a segment with this header and these bytes after it; atomically replaces an existing
    /// one.
    pub(super) fn put(&self, head: SegmentHead, commits: &[u8]) -> Result<Segment, JournalError> {
        let path = segment::path(&self.dir, head.number);
        let temporary = self.dir.join(format!("{}{TEMPORARY}", segment::name(head.number)));
        let made = self.fill(&temporary, &head, commits).and_then(|file| {
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Segment { head, path, file }),
            Err(error) => {
                // Best effort: the next start removes it too.
                let _ = self.disk.remove(&temporary);
                Err(JournalError::io(JournalOperation::Make, &path, &error))
            }
        }
    }

    fn fill(
        &self,
        temporary: &Path,
        head: &SegmentHead,
        commits: &[u8],
    ) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(temporary)?;
        file.reserve(head.size)?;
        // Real zeros: a sync after overwriting them has no metadata to write, unlike one after growing
        // the file or filling space that is merely reserved.
        let zeros = vec![0; ZEROS.min(head.size as usize)];
        let mut at = 0;
        while at < head.size {
            let bytes = zeros.get(..(head.size - at).min(zeros.len() as u64) as usize);
            let bytes = bytes.unwrap_or(&zeros);
            file.write_all_at(at, bytes)?;
            // Piece by piece: a single sync of everything would delay those of the log.
            file.sync_data()?;
            at += bytes.len() as u64;
        }
        let head = head.encode();
        file.write_all_at(0, &head)?;
        file.write_all_at(head.len() as u64, commits)?;
        file.sync_data()?;
        Ok(file)
    }
}
