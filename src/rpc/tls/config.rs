//! [`TlsConfig`]: the certificates a server shows and trusts.

use std::path::PathBuf;

#[cfg(feature = "cli")]
use super::certificates::Certificates;
#[cfg(feature = "cli")]
use crate::error::Error;

/// The TLS settings of a port, for TLS 1.2 and 1.3. All files are PEM; they are checked every
/// `rpc.tls_check_interval`, and reloaded when they have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate, followed by its chain.
    pub cert: PathBuf,
    /// The private key of the certificate: PKCS#8, PKCS#1 or SEC1, unencrypted.
    pub key: PathBuf,
    /// The CAs whose clients are trusted; `None` requests no client certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must have a certificate, if `client_ca` requests one.
    pub client_certificates: ClientCertificates,
}

/// Whether clients must have a certificate. A shown certificate is verified in both cases: a
/// connection with an untrusted one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Clients without one are refused at the handshake.
    Required,
    /// Clients without one have no identity yet.
    Optional,
}

impl TlsConfig {
    /// Returns a configuration that requests no client certificates.
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
