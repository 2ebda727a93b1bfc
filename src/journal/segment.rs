//! A file of the log.

use std::path::{Path, PathBuf};

use super::JournalError;
use super::disk::DiskFile;
use super::error::JournalOperation;
use super::format::{COMMIT_HEAD, SEAL, SECTOR, SEGMENT_HEAD, SegmentHead};

/// The suffix of a file that is not a complete segment yet.
pub(super) const TEMPORARY: &str = ".tmp";

const SUFFIX: &str = ".log";
const CHUNK: usize = 64 * 1024;

/// An open segment.
pub(super) struct Segment {
    pub(super) head: SegmentHead,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
}

/// Returns the name of a segment.
pub(super) fn name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// Returns the number in a name: `None` for other files, `Some(None)` for a name that no segment has.
pub(super) fn number_in(file: &str) -> Option<Option<u64>> {
    let digits = file.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok();
    Some(number.filter(|number| *number > 0 && name(*number) == file))
}

/// Returns the actual size of a segment for `segment_bytes`: whole sectors, with space for commits.
pub(super) fn whole_size(segment_bytes: u64) -> u64 {
    segment_bytes.max(2 * SECTOR).next_multiple_of(SECTOR)
}

/// Returns the most bytes of framed records that a segment of this size holds.
pub(super) fn capacity(size: u64) -> u64 {
    size.saturating_sub((SEGMENT_HEAD + COMMIT_HEAD + SEAL) as u64)
}

impl Segment {
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), JournalError> {
        self.file.read_at(offset, into).map_err(|error| self.failed(JournalOperation::Read, &error))
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), JournalError> {
        self.file
            .write_all_at(offset, bytes)
            .map_err(|error| self.failed(JournalOperation::Write, &error))
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|error| self.failed(JournalOperation::Sync, &error))
    }

    /// Checks that the file still has a name.
    pub(super) fn check_linked(&self) -> Result<(), JournalError> {
        match self.file.is_removed() {
            Ok(false) => Ok(()),
            Ok(true) => Err(JournalError::Removed { file: self.path.clone() }),
            Err(error) => Err(self.failed(JournalOperation::Read, &error)),
        }
    }

    pub(super) fn damaged(&self, offset: u64, what: impl Into<String>) -> JournalError {
        JournalError::damaged(&self.path, offset, what)
    }

    /// Reads from `from` to the end in chunks that start and end at sector boundaries, except for the
    /// first start; ends early when `see` returns that.
    pub(super) fn chunks(
        &self,
        from: u64,
        mut see: impl FnMut(u64, &[u8]) -> Result<bool, JournalError>,
    ) -> Result<(), JournalError> {
        let mut buffer = vec![0; CHUNK];
        let mut at = from;
        while at < self.head.size {
            let end = (at + 1).next_multiple_of(CHUNK as u64).min(self.head.size);
            let Some(chunk) = buffer.get_mut(..(end - at) as usize) else { break };
            self.read(at, chunk)?;
            if !see(at, chunk)? {
                break;
            }
            at = end;
        }
        Ok(())
    }

    fn failed(&self, what: JournalOperation, error: &std::io::Error) -> JournalError {
        JournalError::io(what, &self.path, error)
    }
}

/// Returns the path of a segment.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}
