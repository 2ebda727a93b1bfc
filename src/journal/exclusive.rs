//! [`Exclusive`]: exclusive use of a data directory, and the mark that it holds a store.

use std::path::Path;
use std::sync::Arc;

use super::JournalError;
use super::disk::{Disk, DiskLock};
use super::error::JournalOperation;
use super::segment::TEMPORARY;

/// The file that earlier versions lock, instead of the directory.
pub(super) const LOCK: &str = "lock";

/// The file that marks a directory as that of a store. Its name does not match `rm *`.
pub(super) const MARKER: &str = ".wakeful-store";

/// A data directory locked against other processes, for as long as this value or a clone of its disk
/// lives.
pub(super) struct Exclusive {
    /// Finds the directory's files even if the directory is renamed.
    pub(super) disk: Arc<dyn Disk>,
    _lock: Option<DiskLock>,
}

impl Exclusive {
    /// Locks the directory itself, which cannot be removed and replaced without notice, and the file
    /// that earlier versions lock.
    pub(super) fn take(disk: &dyn Disk, dir: &Path) -> Result<Self, JournalError> {
        Self::hold(disk, dir, true)
    }

    /// Locks the directory without creating a file in it.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<Self, JournalError> {
        let names = disk
            .list(dir)
            .map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
        Self::hold(disk, dir, names.iter().any(|name| name == LOCK))
    }

    fn hold(disk: &dyn Disk, dir: &Path, lock_file: bool) -> Result<Self, JournalError> {
        let locked = || JournalError::Locked { dir: dir.to_owned() };
        let held = disk
            .hold(dir)
            .map_err(|error| JournalError::io(JournalOperation::Lock, dir, &error))?;
        let disk = held.ok_or_else(locked)?;
        let path = dir.join(LOCK);
        let failed = |error| JournalError::io(JournalOperation::Lock, &path, &error);
        let lock = match lock_file {
            true => Some(disk.lock(&path).map_err(failed)?.ok_or_else(locked)?),
            false => None,
        };
        Ok(Self { disk, _lock: lock })
    }
}

/// Marks `dir` as that of a store. Called when the store's first files are durable: after an earlier
/// crash, a store can still be created in the directory.
pub(super) fn mark(disk: &dyn Disk, dir: &Path, store_id: u64) -> Result<(), JournalError> {
    let path = dir.join(MARKER);
    let temporary = dir.join(format!("{MARKER}{TEMPORARY}"));
    let text = format!(
        "Wakeful store {store_id:016x}. As long as this file is here, a directory without the \
         store's other files is not taken for a new store.\n"
    );
    let made = disk.create(&temporary).and_then(|file| {
        file.write_all_at(0, text.as_bytes())?;
        file.sync_data()?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)
    });
    made.map_err(|error| {
        // Best effort: the next start removes it too.
        let _ = disk.remove(&temporary);
        JournalError::io(JournalOperation::Make, &path, &error)
    })
}

/// Removes the mark: the directory does not hold a store any more.
#[cfg(any(test, feature = "cli"))]
pub(super) fn unmark(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
    let names =
        disk.list(dir).map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
    if names.iter().any(|name| name == MARKER) {
        let path = dir.join(MARKER);
        let removed = disk.remove(&path).and_then(|()| disk.sync_dir(dir));
        removed.map_err(|error| JournalError::io(JournalOperation::Remove, &path, &error))?;
    }
    Ok(())
}
