//! The operating system's disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FallocateFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Disk, DiskFile, DiskLock};

/// Only the owner may access files.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Only the owner may access directories.
const DIR_MODE: u32 = 0o700;

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealDisk;

/// The disk of a locked directory. Its files are looked up in the open directory: it may be moved, and
/// another put in its place, while it is in use.
struct HeldDir {
    path: PathBuf,
    dir: File,
}

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.make_dir(parent)?;
        }
        match fs::DirBuilder::new().mode(DIR_MODE).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // The directory's entry must be as durable as its files will be.
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        names_in(&File::open(dir)?)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_at(CWD, path, OFlags::RDONLY)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_at(CWD, path, OFlags::RDWR)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_at(CWD, path, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        Ok(Some(free_of(&rustix::fs::statvfs(dir)?)))
    }

    fn hold(&self, path: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        let dir = File::open(path)?;
        match dir.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if cannot_lock_directories(&error) => {
                let what = "this file system cannot lock directories: only the file `lock` keeps a \
                            second server away; do not remove it";
                tracing::warn!(dir = %path.display(), %error, what);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(Arc::new(HeldDir { path: path.to_owned(), dir })))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        lock_at(CWD, path)
    }
}

/// Warns about a directory that others than its owner may enter or list.
pub(crate) fn warn_if_wide(dir: &Path) {
    if let Ok(metadata) = fs::metadata(dir) {
        let mode = metadata.mode() & 0o777;
        if mode & !DIR_MODE != 0 {
            tracing::warn!(
                dir = %dir.display(),
                mode = %format_args!("{mode:04o}"),
                "others than its owner can access the data directory; run chmod 700 to prevent that"
            );
        }
    }
}

/// Returns the bytes that users other than root may still write.
fn free_of(of: &rustix::fs::StatVfs) -> u64 {
    of.f_bavail.saturating_mul(of.f_frsize)
}

impl HeldDir {
    /// Returns the name of a file in the directory.
    fn name<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let name = path.file_name().filter(|_| path.parent() == Some(&self.path));
        name.map(Path::new).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl Disk for HeldDir {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        // It is open, so it exists.
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        names_in(&self.dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_at(&self.dir, self.name(path)?, OFlags::RDONLY)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open_at(&self.dir, self.name(path)?, OFlags::RDWR)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        open_at(&self.dir, self.name(path)?, flags)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.dir, self.name(path)?, AtFlags::empty())?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.name(from)?, self.name(to)?);
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(Some(free_of(&rustix::fs::fstatvfs(&self.dir)?)))
    }

    fn hold(&self, _: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        // Locked by this process.
        Ok(None)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        lock_at(&self.dir, self.name(path)?)
    }
}

fn open_at(dir: impl AsFd, path: &Path, flags: OFlags) -> io::Result<Box<dyn DiskFile>> {
    Ok(Box::new(file_at(dir, path, flags)?))
}

fn file_at(dir: impl AsFd, path: &Path, flags: OFlags) -> io::Result<File> {
    let open = || rustix::fs::openat(dir.as_fd(), path, flags | OFlags::CLOEXEC, FILE_MODE);
    Ok(retry_on_intr(open)?.into())
}

fn lock_at(dir: impl AsFd, path: &Path) -> io::Result<Option<DiskLock>> {
    let file = file_at(dir, path, OFlags::RDWR | OFlags::CREATE)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Box::new(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn names_in(dir: &File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns whether the file system cannot lock directories: NFS implements such locks with ones for
/// which the file must be open for writing.
fn cannot_lock_directories(error: &io::Error) -> bool {
    let refusals = [Errno::BADF, Errno::INVAL, Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP];
    refusals.iter().any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match FileExt::write_at(self, bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn is_removed(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() == 0)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can; the zeros that follow allocate the space then.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
