//! [`ClientTls`]: the TLS settings of a client.

use std::path::PathBuf;

/// The TLS settings of a client. Files are PEM. They are read at every connect, so that renewed files are
/// used from the next connect on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// The only CAs whose servers are trusted; `None` for those that the operating system trusts.
    pub ca: Option<PathBuf>,
    /// The name that the server's certificate must have; `None` for the host of the address.
    pub server_name: Option<String>,
    /// The certificate to show if the server requests one.
    pub certificate: Option<ClientCertificate>,
}

/// The identity of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The client's certificate, followed by its chain.
    pub cert: PathBuf,
    /// The private key of the certificate: PKCS#8, PKCS#1 or SEC1, unencrypted.
    pub key: PathBuf,
}
