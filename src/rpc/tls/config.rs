//! [`TlsConfig`]: what the server shows, and whom it trusts.

use std::path::PathBuf;

#[cfg(feature = "cli")]
use super::certificates::Certificates;
#[cfg(feature = "cli")]
use crate::error::Error;

/// How a port speaks TLS, 1.2 and 1.3. All files are PEM; they are looked at again every
/// `rpc.tls_check_interval`, and read anew when they have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate, then those that lead to its CA.
    pub cert: PathBuf,
    /// The key of the certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// The CAs whose clients are trusted; `None`: clients are not asked for certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must have a certificate, where `client_ca` asks for one.
    pub client_certificates: ClientCertificates,
}

/// Whether clients must have a certificate. One that is shown is verified in both cases: a
/// connection whose certificate is not trusted is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Who has none is refused at the handshake.
    Required,
    /// Who has none is nobody yet.
    Optional,
}

impl TlsConfig {
    /// Clients are not asked for certificates.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            client_ca: None,
            client_certificates: ClientCertificates::Required,
        }
    }

    /// Checks that the files can be used.
    #[cfg(feature = "cli")]
    pub(crate) fn check(&self) -> Result<(), Error> {
        Certificates::open(self.clone()).map(drop)
    }
}
