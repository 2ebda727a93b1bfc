//! [`Disk`]: the journal's interface to a disk, either the operating system's ([`RealDisk`]) or one
//! that fails on request ([`FaultyDisk`]).

#[cfg(any(test, feature = "cli"))]
mod faulty;
#[cfg(any(test, feature = "cli"))]
mod faulty_state;
mod real;

use std::io;
use std::path::Path;
use std::sync::Arc;

#[cfg(any(test, feature = "cli"))]
pub(crate) use faulty::FaultyDisk;
pub(crate) use real::{RealDisk, warn_if_wide};

/// Directories and files.
pub(crate) trait Disk: Send + Sync {
    /// Makes a directory and its parents, unless they exist.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns the names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Creates an empty file; replaces an existing one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames a file; replaces an existing one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns how many bytes new files in a directory may take; `None` if the disk does not report
    /// them.
    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>>;
    /// Locks a directory until the last clone of the returned disk is dropped; that disk finds the
    /// directory's files even if it is renamed. Returns `None` if another process holds the lock.
    fn hold(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>>;
    /// Locks a file, created if missing, until the guard is dropped; returns `None` if another process
    /// holds the lock.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;
}

/// Holds a lock until dropped.
pub(crate) type DiskLock = Box<dyn Send>;

/// An open file.
pub(crate) trait DiskFile: Send {
    /// Fills `into` from `offset`; a file that ends before is an error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes at `offset`; returns how many bytes were written. None at all is an error.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes everything written durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Returns whether the file's name is gone, so that its data is lost when it is closed.
    fn is_removed(&self) -> io::Result<bool>;
    /// Returns the length of the file.
    fn len(&self) -> io::Result<u64>;
    /// Reserves this many bytes in one piece; does nothing if that is not supported.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Writes all bytes: short writes are continued, errors are not retried.
    fn write_all_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write_at(offset, bytes)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}
