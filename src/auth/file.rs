//! [`AuthFile`]: the user file, checked strictly on reading and replaced whole on writing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::UserStore;
use super::user_store::over;
use crate::config::AuthConfig;
use crate::error::{Error, ErrorCode};
use crate::secret_file;

/// The user file.
///
/// A file that users other than its owner can read or write is refused, unless it belongs to root
/// and its group may read it. It is replaced as a whole, by renaming, so a reader never sees half
/// of it; the new file has the owner, group and mode of the old one, and a symbolic link to it is
/// kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFile {
    path: PathBuf,
}

/// Age of a change after which its stamp distinguishes the file from later versions: timestamps of
/// file systems are coarse, so two changes in quick succession may share one.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Distinguishes a file from its earlier versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStamp {
    /// The time of the last write, or change of owner or mode.
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl FileStamp {
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

    /// Returns true if any later change will have another stamp.
    fn is_settled(&self) -> bool {
        let apart = |changed| {
            let past = SystemTime::now().duration_since(changed);
            past.unwrap_or_else(|future| future.duration())
        };
        self.changed.is_some_and(|changed| apart(changed) > SETTLED_AFTER)
    }
}

/// The result of opening the file once.
#[derive(Debug)]
pub(super) struct FileReading {
    /// Taken before the read; `None` if the file could not be opened.
    pub(super) stamp: Option<FileStamp>,
    /// True if the stamp distinguishes this file from any later version.
    pub(super) settled: bool,
    pub(super) store: Result<UserStore, Error>,
}

impl AuthFile {
    /// Returns the file at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the file is missing, unreadable, readable by others, or malformed; the
    /// message names the file and the line.
    pub fn read(&self, config: &AuthConfig) -> Result<UserStore, Error> {
        self.read_stamped(config).store
    }

    /// Reads the file, with a stamp that distinguishes it from versions written during the read.
    pub(super) fn read_stamped(&self, config: &AuthConfig) -> FileReading {
        let opened = File::open(&self.path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                let stamp = FileStamp::of(&metadata);
                let settled = stamp.is_settled();
                let store = self.check_mode(&metadata).and_then(|()| self.parse(file, config));
                FileReading { stamp: Some(stamp), settled, store }
            }
            Err(error) => {
                let store = Err(self.refuse(error.to_string()));
                FileReading { stamp: None, settled: false, store }
            }
        }
    }

    fn parse(&self, file: File, config: &AuthConfig) -> Result<UserStore, Error> {
        let max = config.file_bytes_max;
        let mut text = String::new();
        file.take(max as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| self.refuse(error.to_string()))?;
        if text.len() > max {
            return Err(self.too_long("it is", max));
        }
        UserStore::from_toml(&text, config).map_err(|error| self.refuse_by(error))
    }

    /// Returns the stamp without reading the file; `None` if the file does not exist.
    pub(super) fn stamp(&self) -> Option<FileStamp> {
        std::fs::metadata(&self.path).ok().map(|metadata| FileStamp::of(&metadata))
    }

    /// Changes the content, which is empty if the file does not exist; concurrent changes happen
    /// one after the other.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), the refusals of `change`, and a failure to write the file or
    /// to keep its owner and group. The file is unchanged.
    pub fn update<T>(
        &self,
        config: &AuthConfig,
        change: impl FnOnce(&mut UserStore) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let file = self.real()?;
        let io = |error: io::Error| file.refuse(error.to_string());
        let _lock = file.lock().map_err(io)?;
        let old = std::fs::metadata(&file.path).ok();
        let mut store = if old.is_some() { file.read(config)? } else { UserStore::new() };
        let changed = change(&mut store)?;
        store.check(config).map_err(|error| self.refuse_by(error))?;
        let text = store.to_toml();
        if text.len() > config.file_bytes_max {
            return Err(self.too_long("it would be", config.file_bytes_max));
        }
        file.write(text.as_bytes(), old.as_ref()).map_err(io)?;
        Ok(changed)
    }

    /// Resolves symbolic links: renaming over a link would replace the link.
    fn real(&self) -> Result<Self, Error> {
        match std::fs::canonicalize(&self.path) {
            Ok(path) => Ok(Self { path }),
            Err(_) if !self.path.is_symlink() => Ok(self.clone()),
            Err(error) => Err(self.refuse(format!("it is a dangling symbolic link: {error}"))),
        }
    }

    fn too_long(&self, what: &str, max: usize) -> Error {
        let name = "auth.file_bytes_max";
        self.refuse_by(over(name, max as u64, format!("{what} too long: {name} is {max}")))
    }

    fn refuse(&self, why: String) -> Error {
        self.refuse_by(Error::new(ErrorCode::InvalidArgument, why))
    }

    /// Prepends the path of this file to an error.
    fn refuse_by(&self, mut error: Error) -> Error {
        error.message = format!("the user file {}: {}", self.path.display(), error.message);
        error
    }

    fn check_mode(&self, metadata: &Metadata) -> Result<(), Error> {
        if !metadata.is_file() {
            return Err(self.refuse("it is not a file".to_owned()));
        }
        secret_file::check(&self.path, metadata).map_err(|error| self.refuse(error.to_string()))
    }

    fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    /// Locks the file during a change. The lock is on its directory, because the file itself is
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

    /// Writes a new file in place of `old`.
    fn write(&self, text: &[u8], old: Option<&Metadata>) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", rand::random::<u64>()));
        let new = self.path.with_file_name(name);
        let written = write_new(&new, text, old).and_then(|()| std::fs::rename(&new, &self.path));
        if written.is_err() {
            // The incomplete file is useless.
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

/// Keeps the readers of the old file: a server that cannot read the new one would miss the change.
#[cfg(unix)]
fn keep_readers(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (own, kept) = (new.metadata()?, (old.uid(), old.gid()));
    if (own.uid(), own.gid()) != kept {
        fchown(new, Some(kept.0), Some(kept.1)).map_err(|error| {
            let (user, group) = kept;
            let why = format!(
                "it must stay owned by user {user}, group {group}, or the server may be unable to read \
                 it, but you may not change its owner ({error}); nothing was changed"
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
