//! Files of certificates and keys.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, ErrorCode};
use crate::secret_file;

/// Maximum file size, bytes: far beyond any chain or list of CAs.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a file; errors show only its name.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_opened(path, File::open(path))
}

/// Reads a file that holds a key.
pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    read_opened(path, secret_file::open(path))
}

fn read_opened(path: &Path, opened: io::Result<File>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unusable(path, error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(path, format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

pub(super) fn chain(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(path, error))?;
    if chain.is_empty() {
        return Err(unusable(path, "no certificate in it"));
    }
    Ok(chain)
}

pub(super) fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => unusable(path, "no unencrypted key in it"),
        error => unusable(path, error),
    })
}

pub(super) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path, bytes)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}

/// Returns the error for a file that cannot be used. Shows nothing of its content, which may be a
/// key.
pub(super) fn unusable(path: &Path, reason: impl std::fmt::Display) -> Error {
    let path = path.display();
    Error::new(ErrorCode::InvalidArgument, format!("TLS: cannot use {path}: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tls5_a_file_that_cannot_be_used_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.pem");
        assert!(read(&path).unwrap_err().message.contains("server.pem"));
        let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0*\n-----END PRIVATE KEY-----\n";
        for content in ["", "c2VjcmV0", secret] {
            fs::write(&path, content).unwrap();
            let bytes = read(&path).unwrap();
            for refused in [
                chain(&path, &bytes).map(drop),
                key(&path, &bytes).map(drop),
                roots(&path, &bytes).map(drop),
            ] {
                let error = refused.unwrap_err();
                assert_eq!(error.code, ErrorCode::InvalidArgument);
                assert!(error.message.contains("cannot use "), "{error}");
                assert!(!error.message.contains("c2Vj"), "{error}");
            }
        }
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().message.contains("larger than"));
    }
}
