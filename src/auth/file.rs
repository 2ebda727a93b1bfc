//! [`AuthFile`]: the file of users, read strictly and written whole.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Book;
use crate::config::AuthConfig;
use crate::error::{Error, ErrorCode};

/// The file of users.
///
/// Only its owner may write it, and others than its owner and group may not read it: a file that
/// others can is refused. It is replaced whole, by renaming, so a reader never sees half of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFile {
    path: PathBuf,
}

/// By what a file is told from the one that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode }
    }
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
    /// `InvalidArgument`: it is not there, not readable, readable by everybody, or not what it should
    /// be; the message names it, and the line.
    pub fn read(&self, config: &AuthConfig) -> Result<Book, Error> {
        self.read_stamped(config).map(|(book, _)| book)
    }

    pub(super) fn read_stamped(&self, config: &AuthConfig) -> Result<(Book, Stamp), Error> {
        let io = |error: io::Error| self.refuse(error.to_string());
        let file = File::open(&self.path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        self.check_mode(&metadata)?;
        let max = config.file_bytes_max;
        let mut text = String::new();
        file.take(max as u64 + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() > max {
            return Err(self.refuse(format!("it is longer than auth.file_bytes_max, {max} bytes")));
        }
        let book = Book::from_toml(&text, config).map_err(|why| self.refuse(why))?;
        Ok((book, Stamp::of(&metadata)))
    }

    /// What it is told by, without reading it; `None` if it is not there.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        std::fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// Changes what is in it, which begins as nobody if it is not there; one change after the other,
    /// whoever makes them.
    ///
    /// # Errors
    /// As [`read`](Self::read), what `change` refuses, or that it cannot be written. The file is as
    /// it was.
    pub fn update<T>(
        &self,
        config: &AuthConfig,
        change: impl FnOnce(&mut Book) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _lock = self.lock().map_err(|error| self.refuse(error.to_string()))?;
        let mut book = if self.path.exists() { self.read(config)? } else { Book::new() };
        let changed = change(&mut book)?;
        book.check(config).map_err(|why| self.refuse(why))?;
        let text = book.to_toml();
        if text.len() > config.file_bytes_max {
            let max = config.file_bytes_max;
            return Err(self.refuse(format!("it would be longer than auth.file_bytes_max, {max}")));
        }
        self.write(text.as_bytes()).map_err(|error| self.refuse(error.to_string()))?;
        Ok(changed)
    }

    fn refuse(&self, why: String) -> Error {
        let message = format!("the file of users {}: {why}", self.path.display());
        Error::new(ErrorCode::InvalidArgument, message)
    }

    fn check_mode(&self, metadata: &Metadata) -> Result<(), Error> {
        if !metadata.is_file() {
            return Err(self.refuse("it is no file".to_owned()));
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
            if mode & 0o027 != 0 {
                return Err(self.refuse(format!(
                    "everybody can read or write it, or its group can write it (mode {:03o}); \
                     chmod 600 it",
                    mode & 0o777
                )));
            }
        }
        Ok(())
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

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", rand::random::<u64>()));
        let new = self.path.with_file_name(name);
        let written = write_new(&new, text).and_then(|()| std::fs::rename(&new, &self.path));
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

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
