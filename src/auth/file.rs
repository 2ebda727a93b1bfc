//! [`AuthFile`]: the file of users, read strictly and written whole.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Book;
use super::book::over;
use crate::config::AuthConfig;
use crate::error::{Error, ErrorCode};
use crate::secret_file;

/// The file of users.
///
/// A file that others than its owner can read or write is refused, unless it is root's and its group may
/// read it. It is replaced whole, by renaming, so a reader never sees half of it; the new one has its
/// owner, group and mode, and a symbolic link to it stays one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFile {
    path: PathBuf,
}

/// How long a file has been as it is before its stamp tells it from what it becomes: the times of file
/// systems are coarse, and two changes that are close together may have the same.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// By what a file is told from the one that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was last written, or given another owner or mode.
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
        let changed = u64::try_from(metadata.ctime())
            .ok()
            .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        Self { changed, bytes: metadata.len(), inode: metadata.ino() }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        Self { changed: metadata.modified().ok(), bytes: metadata.len(), inode: 0 }
    }

    /// Whether whatever is changed from now on has another.
    fn is_settled(&self) -> bool {
        let apart = |changed| {
            let past = SystemTime::now().duration_since(changed);
            past.unwrap_or_else(|future| future.duration())
        };
        self.changed.is_some_and(|changed| apart(changed) > SETTLED_AFTER)
    }
}

/// The file as it was opened once.
#[derive(Debug)]
pub(super) struct Reading {
    /// From before it was read; `None` if it could not be opened.
    pub(super) stamp: Option<Stamp>,
    /// Whether the stamp tells this file from whatever it becomes.
    pub(super) settled: bool,
    pub(super) book: Result<Book, Error>,
}

impl AuthFile {
    /// The file at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it.
    ///
    /// # Errors
    /// `InvalidArgument`: it is not there, not readable, readable by others, or not what it should
    /// be; the message names it, and the line.
    pub fn read(&self, config: &AuthConfig) -> Result<Book, Error> {
        self.read_stamped(config).book
    }

    /// Reads it, and says what it can be told by from what it may become while it is read.
    pub(super) fn read_stamped(&self, config: &AuthConfig) -> Reading {
        let opened = File::open(&self.path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                let stamp = Stamp::of(&metadata);
                let settled = stamp.is_settled();
                let book = self.check_mode(&metadata).and_then(|()| self.parse(file, config));
                Reading { stamp: Some(stamp), settled, book }
            }
            Err(error) => {
                let book = Err(self.refuse(error.to_string()));
                Reading { stamp: None, settled: false, book }
            }
        }
    }

    fn parse(&self, file: File, config: &AuthConfig) -> Result<Book, Error> {
        let max = config.file_bytes_max;
        let mut text = String::new();
        file.take(max as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| self.refuse(error.to_string()))?;
        if text.len() > max {
            return Err(self.too_long("it is", max));
        }
        Book::from_toml(&text, config).map_err(|error| self.refuse_by(error))
    }

    /// What it is told by, without reading it; `None` if it is not there.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        std::fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// Changes what is in it, which begins as nobody if it is not there; one change after the other,
    /// whoever makes them.
    ///
    /// # Errors
    /// As [`read`](Self::read), what `change` refuses, or that it cannot be written, or not with the
    /// owner and group that it has. The file is as it was.
    pub fn update<T>(
        &self,
        config: &AuthConfig,
        change: impl FnOnce(&mut Book) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let file = self.real()?;
        let io = |error: io::Error| file.refuse(error.to_string());
        let _lock = file.lock().map_err(io)?;
        let old = std::fs::metadata(&file.path).ok();
        let mut book = if old.is_some() { file.read(config)? } else { Book::new() };
        let changed = change(&mut book)?;
        book.check(config).map_err(|error| self.refuse_by(error))?;
        let text = book.to_toml();
        if text.len() > config.file_bytes_max {
            return Err(self.too_long("it would be", config.file_bytes_max));
        }
        file.write(text.as_bytes(), old.as_ref()).map_err(io)?;
        Ok(changed)
    }

    /// The same file, where it really is: what is renamed over a symbolic link takes its place.
    fn real(&self) -> Result<Self, Error> {
        match std::fs::canonicalize(&self.path) {
            Ok(path) => Ok(Self { path }),
            Err(_) if !self.path.is_symlink() => Ok(self.clone()),
            Err(error) => Err(self.refuse(format!("it is a symbolic link to nothing: {error}"))),
        }
    }

    fn too_long(&self, what: &str, max: usize) -> Error {
        let name = "auth.file_bytes_max";
        self.refuse_by(over(name, max as u64, format!("{what} too long: {name} is {max}")))
    }

    fn refuse(&self, why: String) -> Error {
        self.refuse_by(Error::new(ErrorCode::InvalidArgument, why))
    }

    /// Has an error say that it is about this file.
    fn refuse_by(&self, mut error: Error) -> Error {
        error.message = format!("the file of users {}: {}", self.path.display(), error.message);
        error
    }

    fn check_mode(&self, metadata: &Metadata) -> Result<(), Error> {
        if !metadata.is_file() {
            return Err(self.refuse("it is no file".to_owned()));
        }
        secret_file::check(&self.path, metadata).map_err(|error| self.refuse(error.to_string()))
    }

    fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    /// Held while the file is changed. It is the directory that is locked: the file itself is
    /// replaced.
    #[cfg(unix)]
    fn lock(&self) -> io::Result<File> {
        let dir = File::open(self.dir())?;
        rustix::fs::flock(&dir, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(dir)
    }

    #[cfg(not(unix))]
    fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    /// Writes it anew, in place of `old`.
    fn write(&self, text: &[u8], old: Option<&Metadata>) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", rand::random::<u64>()));
        let new = self.path.with_file_name(name);
        let written = write_new(&new, text, old).and_then(|()| std::fs::rename(&new, &self.path));
        if written.is_err() {
            // What is left of it is of no use.
            let _ = std::fs::remove_file(&new);
            return written;
        }
        #[cfg(unix)]
        File::open(self.dir())?.sync_all()?;
        Ok(())
    }
}

fn write_new(path: &Path, text: &[u8], old: Option<&Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if let Some(old) = old {
        keep_readers(&file, old)?;
    }
    file.write_all(text)?;
    file.sync_all()
}

/// Whoever can read the old file is to read the new one: a server that cannot would not see the change.
#[cfg(unix)]
fn keep_readers(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (own, kept) = (new.metadata()?, (old.uid(), old.gid()));
    if (own.uid(), own.gid()) != kept {
        fchown(new, Some(kept.0), Some(kept.1)).map_err(|error| {
            let (user, group) = kept;
            let why = format!(
                "it has to stay the file of user {user}, group {group}, or the server may not read \
                 it, and you cannot give it to them ({error}); nothing was changed"
            );
            io::Error::new(error.kind(), why)
        })?;
    }
    new.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_readers(new: &File, old: &Metadata) -> io::Result<()> {
    new.set_permissions(old.permissions())
}
