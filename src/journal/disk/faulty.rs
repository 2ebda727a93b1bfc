//! A disk in memory that fails on request, and can lose its power.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::faulty_state::{Content, DirChange, DiskFaults, DiskState, SECTOR};
use super::{Disk, DiskFile, DiskLock};

/// A simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    inner: Arc<FaultyDiskState>,
    /// The lock of a directory, if this is the holder's handle.
    _held: Option<Arc<Locked>>,
}

#[derive(Default)]
struct FaultyDiskState {
    state: Mutex<DiskState>,
    released: Condvar,
}

impl FaultyDisk {
    /// Makes an empty disk without faults.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn of(state: DiskState) -> Self {
        let inner = FaultyDiskState { state: Mutex::new(state), released: Condvar::new() };
        Self { inner: Arc::new(inner), _held: None }
    }

    /// Returns the disk after a power failure now. Each sector and each change of a directory that was
    /// not synced survives or not independently, as determined by `seed`. This disk is not affected.
    pub(crate) fn cut_power(&self, seed: u64) -> Self {
        Self::of(self.inner.state.lock().after_cut(seed))
    }

    /// Returns the disk after the process was killed now: everything written is there, and what was not
    /// synced may still be lost in a power failure.
    pub(crate) fn kill(&self) -> Self {
        Self::of(self.inner.state.lock().after_kill())
    }

    /// Sets whether writes of more than a sector stop short, at the end of one.
    pub(crate) fn short_writes(&self, on: bool) {
        self.inner.state.lock().faults.short_writes = on;
    }

    /// Sets how long each sync of a file takes.
    pub(crate) fn slow_syncs(&self, pause: Duration) {
        self.inner.state.lock().faults.sync_pause = pause;
    }

    /// Makes each write fail after this many more.
    pub(crate) fn fail_writes_after(&self, writes: Option<u64>) {
        self.inner.state.lock().faults.writes_left = writes;
    }

    /// Makes each sync of a file fail after this many more, as on Linux: what was written since the
    /// last sync can still be read, but a later sync does not make it durable.
    pub(crate) fn fail_syncs_after(&self, syncs: Option<u64>) {
        self.inner.state.lock().faults.syncs_left = syncs;
    }

    /// Freezes the disk after this many more changes (writes, syncs, names), as if the process had
    /// ended; [`kill`](Self::kill) and [`cut_power`](Self::cut_power) return what is left.
    pub(crate) fn end_after(&self, changes: Option<u64>) {
        self.inner.state.lock().faults.changes_left = changes;
    }

    /// Returns whether the process has ended as set by [`end_after`](Self::end_after).
    pub(crate) fn has_ended(&self) -> bool {
        self.inner.state.lock().faults.changes_left == Some(0)
    }

    /// Limits the bytes of all files together.
    pub(crate) fn limit_space(&self, bytes: Option<u64>) {
        self.inner.state.lock().faults.space = bytes;
    }

    /// Returns the bytes of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner.state.lock().bytes()
    }

    /// Returns all files with their visible content.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.inner.state.lock();
        let live = |file| state.files.get(file).map(|it| it.live.clone()).unwrap_or_default();
        state.names.iter().map(|(path, file)| (path.clone(), live(file))).collect()
    }

    /// Counts a change; returns an error if the process has ended before it.
    fn changing(state: &mut DiskState) -> io::Result<()> {
        match DiskFaults::strikes(&mut state.faults.changes_left) {
            true => Err(FaultyFile::fault("the process has ended")),
            false => Ok(()),
        }
    }

    /// Returns the same disk, without a lock.
    fn unheld(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), _held: None }
    }

    fn file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let found = self.inner.state.lock().names.get(path).copied();
        let file = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultyFile { disk: self.unheld(), file }))
    }
}

#[cfg(test)]
impl FaultyDisk {
    /// Returns the limit of the bytes of all files together.
    pub(crate) fn space(&self) -> Option<u64> {
        self.inner.state.lock().faults.space
    }

    /// Sets whether creating a file fails.
    pub(crate) fn fail_creates(&self, on: bool) {
        self.inner.state.lock().faults.fail_creates = on;
    }

    /// Makes syncs of files wait until released.
    pub(crate) fn hold_syncs(&self, on: bool) {
        self.inner.state.lock().faults.hold_syncs = on;
        self.inner.released.notify_all();
    }

    /// Returns how many syncs are waiting.
    pub(crate) fn syncs_held(&self) -> u64 {
        self.inner.state.lock().faults.syncs_held
    }

    /// Stores a whole file, durable.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.inner.state.lock();
        state.add(path, Content::durable(bytes));
        if let Some(dir) = path.parent() {
            state.sync_dir(dir);
        }
    }
}

impl Disk for FaultyDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.inner.state.lock();
        let within = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(within.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.inner.state.lock();
        Self::changing(&mut state)?;
        if state.faults.fail_creates {
            return Err(FaultyFile::fault("a file that is made"));
        }
        state.add(path, Content::default());
        drop(state);
        self.file(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Self::changing(&mut state)?;
        state.change(DirChange::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Self::changing(&mut state)?;
        state.change(DirChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        Self::changing(&mut state)?;
        state.sync_dir(dir);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<Option<u64>> {
        let state = self.inner.state.lock();
        Ok(state.faults.space.map(|space| space.saturating_sub(state.bytes())))
    }

    fn hold(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        let held = Locked::take(self, dir).map(Arc::new);
        Ok(held.map(|held| {
            Arc::new(Self { inner: Arc::clone(&self.inner), _held: Some(held) }) as Arc<dyn Disk>
        }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let mut state = self.inner.state.lock();
        if !state.names.contains_key(path) {
            state.add(path, Content::default());
        }
        drop(state);
        Ok(Locked::take(self, path).map(|locked| Box::new(locked) as DiskLock))
    }
}

struct Locked {
    disk: FaultyDisk,
    path: PathBuf,
}

impl Locked {
    /// Returns `None` if another holder has the lock.
    fn take(disk: &FaultyDisk, path: &Path) -> Option<Self> {
        let free = disk.inner.state.lock().locked.insert(path.to_owned());
        free.then(|| Self { disk: disk.unheld(), path: path.to_owned() })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.disk.inner.state.lock().locked.remove(&self.path);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: u64,
}

impl FaultyFile {
    fn fault(what: &str) -> io::Error {
        io::Error::other(format!("simulated fault: {what}"))
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.disk.inner.state.lock();
        let content = state.files.get(&self.file).ok_or(io::ErrorKind::NotFound)?;
        let start = offset as usize;
        let bytes = content.live.get(start..start + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.inner.state.lock();
        FaultyDisk::changing(&mut state)?;
        if DiskFaults::strikes(&mut state.faults.writes_left) {
            return Err(Self::fault("a write"));
        }
        let mut len = bytes.len();
        if state.faults.short_writes {
            let in_sector = SECTOR - offset as usize % SECTOR;
            len = len.min(in_sector);
        }
        let used = state.bytes();
        let space = state.faults.space.unwrap_or(u64::MAX);
        let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
        let grown = (offset + len as u64).saturating_sub(content.live.len() as u64);
        if grown > 0 && used.saturating_add(grown) > space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.write(offset as usize, bytes.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.inner.state.lock();
        let pause = state.faults.sync_pause;
        if !pause.is_zero() {
            drop(state);
            std::thread::sleep(pause);
            state = self.disk.inner.state.lock();
        }
        if state.faults.hold_syncs {
            state.faults.syncs_held += 1;
            while state.faults.hold_syncs {
                self.disk.inner.released.wait(&mut state);
            }
            state.faults.syncs_held -= 1;
        }
        FaultyDisk::changing(&mut state)?;
        let strikes = DiskFaults::strikes(&mut state.faults.syncs_left);
        let content = state.files.get_mut(&self.file).ok_or(io::ErrorKind::NotFound)?;
        if strikes {
            content.fail_sync();
            return Err(Self::fault("a sync"));
        }
        content.sync();
        Ok(())
    }

    fn is_removed(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.inner.state.lock();
        let content = state.files.get(&self.file).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.live.len() as u64)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
