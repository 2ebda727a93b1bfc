//! [`ClientTls`], and the handshake of a client.

use std::io;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::TlsStream;
use super::{BUFFER_BYTES, pem, provider, reason};
use crate::config::{ClientCertificate, ClientTls};
use crate::error::{Error, ErrorCode};
use crate::rpc::socket::Socket;

/// Performs the handshake on `socket`, which is connected to `addr`.
///
/// # Errors
///
/// `InvalidArgument` for a file or a name that cannot be used; `TlsFailed` if one side does not
/// trust the other; `UnsupportedVersion` if the other end does not speak TLS; `Unreachable`.
pub(crate) async fn connect(
    socket: TcpStream,
    tls: &ClientTls,
    addr: &str,
) -> Result<Socket, Error> {
    let name = server_name(tls, addr)?;
    let files = tls.clone();
    let config = tokio::task::spawn_blocking(move || read(&files));
    let config = config.await.map_err(|error| {
        Error::new(ErrorCode::Internal, format!("cannot read the certificates: {error}"))
    })??;
    let bounded = |connection: &mut rustls::ClientConnection| {
        connection.set_buffer_limit(Some(BUFFER_BYTES));
    };
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect_with(name, socket, bounded).await {
        Ok(stream) => Ok(Socket::Other(Box::new(TlsStream::new(stream)))),
        Err(error) => Err(lost(addr, &error).unwrap_or_else(|| {
            let message = format!("TLS with {addr} failed: {error}");
            Error::new(ErrorCode::Unreachable, message)
        })),
    }
}

/// Returns the meaning of a connection's end if TLS caused it; otherwise `None`.
pub(crate) fn lost(addr: &str, error: &io::Error) -> Option<Error> {
    reason::explain(addr, error)
}

/// Returns the required name of the server.
pub(crate) fn server_name(tls: &ClientTls, addr: &str) -> Result<ServerName<'static>, Error> {
    let host = match &tls.server_name {
        Some(name) => name,
        None => addr.rsplit_once(':').map_or(addr, |(host, _)| host),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|error| {
        let message = format!("TLS: `{host}` is not a valid server name: {error}");
        Error::new(ErrorCode::InvalidArgument, message)
    })
}

/// Reads the files.
pub(crate) fn read(tls: &ClientTls) -> Result<rustls::ClientConfig, Error> {
    let unusable = |error: rustls::Error| {
        Error::new(ErrorCode::InvalidArgument, format!("cannot use TLS: {error}"))
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
    // Our servers resume no sessions.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // The system's store may hold certificates that cannot be parsed; the others are usable.
    let (used, _) = roots.add_parsable_certificates(found.certs);
    if used == 0 {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        let message = format!("TLS: the system trusts no CA{why}; give one with --tls-ca");
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
