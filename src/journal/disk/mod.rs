//! What the journal needs of a disk: the operating system's ([`RealDisk`]) or one that fails on
//! request ([`FaultyDisk`]).

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
    /// Makes a directory and those above it, unless there.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A file that is there, to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, to read and write.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A new, empty file, in the place of any that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames a file, in the place of any that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns how many bytes new files in a directory may take; `None` where the disk does not report them.
    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>>;
    /// Locks a directory until the last clone of the disk that it gives goes, which finds what is
    /// in it whatever becomes of its name; `None` when somebody has it.
    fn hold(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>>;
    /// Locks a file, made if missing, until the guard goes; `None` when somebody has it.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;
}

/// Holds a lock until dropped.
pub(crate) type DiskLock = Box<dyn Send>;

/// An open file.
pub(crate) trait DiskFile: Send {
    /// Fills `into` from `offset`; an end before that is an error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes at `offset`; how much of it. Not more than 0 is an error.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Whether its name is gone, and with it the data when it is closed.
    fn is_removed(&self) -> io::Result<bool>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Asks for room for this many bytes in one piece; what cannot do that does nothing.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Writes all of it: short writes are continued, errors are not.
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
