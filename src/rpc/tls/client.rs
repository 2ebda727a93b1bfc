//! [`ClientTls`], and the handshake of a client.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::TlsStream;
use super::{BUFFER_BYTES, pem, provider, reason};
use crate::error::{Error, ErrorCode};
use crate::rpc::socket::Socket;

/// How a client speaks TLS. Files are PEM, and read at every connect, so that renewed ones are in
/// use from the next on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// The CAs whose servers are trusted, and no others; `None`: those that the operating system
    /// trusts.
    pub ca: Option<PathBuf>,
    /// What the server's certificate must be for; `None`: the host of the address.
    pub server_name: Option<String>,
    /// What the client shows if the server asks for a certificate.
    pub certificate: Option<ClientCertificate>,
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The client's certificate, then those that lead to its CA.
    pub cert: PathBuf,
    /// The key of the certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Does the handshake on `socket`, which is connected to `addr`.
///
/// # Errors
/// `InvalidArgument` for a file or a name that cannot be used; `TlsFailed` if one side does not trust
/// the other; `UnsupportedVersion` if there is no TLS at the other end; `Unreachable`.
pub(crate) async fn connect(
    socket: TcpStream,
    tls: &ClientTls,
    addr: &str,
) -> Result<Socket, Error> {
    let name = server_name(tls, addr)?;
    let files = tls.clone();
    let config = tokio::task::spawn_blocking(move || read(&files));
    let config = config.await.map_err(|error| {
        Error::new(ErrorCode::Internal, format!("the certificates could not be read: {error}"))
    })??;
    let bounded = |connection: &mut rustls::ClientConnection| {
        connection.set_buffer_limit(Some(BUFFER_BYTES));
    };
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect_with(name, socket, bounded).await {
        Ok(stream) => Ok(Socket::Other(Box::new(TlsStream::new(stream)))),
        Err(error) => Err(lost(addr, &error).unwrap_or_else(|| {
            let message = format!("no TLS with {addr}: {error}");
            Error::new(ErrorCode::Unreachable, message)
        })),
    }
}

/// What the end of a connection means if it is TLS that ended it; else `None`.
pub(crate) fn lost(addr: &str, error: &io::Error) -> Option<Error> {
    reason::explain(addr, error)
}

/// Whom the server has to be.
pub(crate) fn server_name(tls: &ClientTls, addr: &str) -> Result<ServerName<'static>, Error> {
    let host = match &tls.server_name {
        Some(name) => name,
        None => addr.rsplit_once(':').map_or(addr, |(host, _)| host),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|error| {
        let message = format!("TLS: `{host}` is no name that a server can have: {error}");
        Error::new(ErrorCode::InvalidArgument, message)
    })
}

/// Reads the files.
pub(crate) fn read(tls: &ClientTls) -> Result<rustls::ClientConfig, Error> {
    let unusable = |error: rustls::Error| {
        Error::new(ErrorCode::InvalidArgument, format!("TLS cannot be used: {error}"))
    };
    let roots = match &tls.ca {
        Some(path) => pem::roots(path, &pem::read(path)?)?,
        None => system_roots()?,
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots);
    let mut config = match &tls.certificate {
        Some(ClientCertificate { cert, key }) => {
            let chain = pem::chain(cert, &pem::read(cert)?)?;
            let of = pem::key(key, &pem::read_key(key)?)?;
            let built = builder.with_client_auth_cert(chain, of);
            built.map_err(|error| pem::unusable(cert, error))?
        }
        None => builder.with_no_client_auth(),
    };
    // Servers of ours resume nothing.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // The store of a system may have some that nobody can read; the others are of use.
    let (used, _) = roots.add_parsable_certificates(found.certs);
    if used == 0 {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        let message = format!("TLS: the system trusts no CA{why}: name one (--tls-ca)");
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls1_a_server_has_the_name_of_its_address_unless_told() {
        let name = |addr, server_name: Option<&str>| {
            let tls =
                ClientTls { server_name: server_name.map(str::to_owned), ..ClientTls::default() };
            server_name_text(&tls, addr)
        };
        fn server_name_text(tls: &ClientTls, addr: &str) -> Result<String, Error> {
            server_name(tls, addr).map(|name| name.to_str().into_owned())
        }
        assert_eq!(name("db.example:7117", None).unwrap(), "db.example");
        assert_eq!(name("127.0.0.1:7117", None).unwrap(), "127.0.0.1");
        assert_eq!(name("[::1]:7117", None).unwrap(), "::1");
        assert_eq!(name("10.0.0.1:7117", Some("db.example")).unwrap(), "db.example");
        let refused = name("not a name:7117", None).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
    }
}
