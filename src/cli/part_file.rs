//! [`PartFile`]: a file that gets its name when it is complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::failure::Failure;

/// A file under a temporary name, which only its owner may read. It is removed if dropped before it
/// is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct PartFile {
    file: NamedTempFile,
}

impl PartFile {
    /// Creates a file beside `target`, from where it can be renamed.
    pub(crate) fn beside(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let made = Builder::new()
            .prefix(&format!("{name}."))
            .suffix(".part")
            .tempfile_in(directory_of(target));
        let file = made.map_err(|error| Failure::io(&target.display().to_string(), &error))?;
        Ok(Self { file })
    }

    /// Creates a file among the system's temporary files, for content that is never kept.
    pub(crate) fn scratch() -> Result<Self, Failure> {
        let made = Builder::new().prefix("wakeful.").suffix(".part").tempfile();
        let file = made.map_err(|error| {
            let directory = std::env::temp_dir();
            Failure::io(&format!("{} (set TMPDIR to use another)", directory.display()), &error)
        })?;
        Ok(Self { file })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    /// Empties the file.
    pub(crate) fn truncate(&mut self) -> Result<(), Failure> {
        use std::io::Seek;
        let file = self.file.as_file_mut();
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        emptied.map_err(|error| self.failure(&error))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.as_file_mut().write_all(bytes);
        written.map_err(|error| self.failure(&error))
    }

    /// Waits until the appended bytes are on the disk.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.file.as_file().sync_all().map_err(|error| self.failure(&error))
    }

    /// Renames the file to `target`, durably. Replaces an existing file only with `replace`.
    pub(crate) fn keep(self, target: &Path, replace: bool) -> Result<(), Failure> {
        let failed = |error: &io::Error| Failure::io(&target.display().to_string(), error);
        if replace {
            self.file.persist(target).map_err(|refused| failed(&refused.error))?;
        } else {
            self.file.persist_noclobber(target).map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => exists(target),
                _ => failed(&refused.error),
            })?;
        }
        let synced = File::open(directory_of(target)).and_then(|directory| directory.sync_all());
        synced.map_err(|error| failed(&error))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::io(&self.file.path().display().to_string(), error)
    }
}

/// Checks that `target` can be created, or replaced with `replace`.
///
/// # Errors
///
/// If `target` exists, or is not a regular file.
pub(crate) fn check(target: &Path, replace: bool) -> Result<(), Failure> {
    match fs::metadata(target) {
        Ok(there) if !there.is_file() => {
            let target = target.display();
            Err(Failure::usage(format!(
                "{target} is not a regular file; name a file, or - for standard output"
            )))
        }
        Ok(_) if !replace => Err(exists(target)),
        // A path that cannot be examined cannot be created either; the creation reports why.
        _ => Ok(()),
    }
}

fn exists(target: &Path) -> Failure {
    let target = target.display();
    Failure::usage(format!("{target} exists; name another file, or replace it with --force"))
}

fn directory_of(target: &Path) -> &Path {
    let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}
