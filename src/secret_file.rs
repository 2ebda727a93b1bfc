//! Files with secrets: opened only if no other user can read or change them.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Opens a file with a secret.
///
/// # Errors
/// Those of [`File::open`]; and `PermissionDenied` as in [`check`], before the content is read.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    check(path, &file.metadata()?)?;
    Ok(file)
}

/// Refuses a file whose mode gives its group or others any access.
///
/// A file of root may be readable by its group: secrets are deliberately shared with services in this
/// way
/// (`ssl-cert` on Debian, mounted secrets of Kubernetes), and only root can set it up. PostgreSQL
/// treats its
/// keys in the same way.
///
/// # Errors
/// `PermissionDenied`, with the mode and the command that corrects it.
#[cfg(unix)]
pub(crate) fn check(path: &Path, metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    match refusal(path, metadata.mode() & 0o777, metadata.uid()) {
        Some(why) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
        None => Ok(()),
    }
}

/// On other systems, a mode has no meaning.
#[cfg(not(unix))]
pub(crate) fn check(_: &Path, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn refusal(path: &Path, mode: u32, owner: u32) -> Option<String> {
    let (allowed, of_root) = match owner {
        0 => (0o740, ", or `chmod 640` for its group to read it"),
        _ => (0o700, ""),
    };
    (mode & !allowed != 0).then(|| {
        let path = path.display();
        format!(
            "it contains secrets, and others than its owner can read or change it (mode {mode:04o}): run \
             `chmod 600 {path}`{of_root}"
        )
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn h15_a_secret_is_its_owners_alone_or_roots_and_one_groups() {
        let refused = |mode, owner| refusal(Path::new("/s"), mode, owner).is_some();
        for mode in 0..=0o777 {
            let (group, others) = (mode >> 3 & 7, mode & 7);
            assert_eq!(refused(mode, 1000), group != 0 || others != 0, "{mode:o}");
            assert_eq!(refused(mode, 0), group & 3 != 0 || others != 0, "{mode:o} of root");
        }
        let said = refusal(Path::new("/s"), 0o644, 1000).unwrap();
        assert!(said.contains("(mode 0644): run `chmod 600 /s`"), "{said}");
    }
}
