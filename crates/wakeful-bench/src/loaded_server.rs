//! [`LoadedServer`]: the address of the loaded server, and its TLS options.

use wakeful::Error;

use super::caller::dial;
use super::wire::Wire;

#[derive(Debug)]
pub(crate) struct LoadedServer {
    pub(super) addr: String,
    tls: Option<Tls>,
}

/// The address and options, read once for all connections.
#[derive(Debug)]
struct Tls {
    config: std::sync::Arc<rustls::ClientConfig>,
    name: rustls::pki_types::ServerName<'static>,
}

impl LoadedServer {
    /// Returns a server without TLS.
    pub(crate) fn plain(addr: impl Into<String>) -> Self {
        Self { addr: addr.into(), tls: None }
    }

    pub(crate) fn new(addr: &str, tls: Option<&wakeful::ClientTls>) -> Result<Self, Error> {
        let Some(tls) = tls else { return Ok(Self::plain(addr)) };
        let (config, name) = wakeful::internals::client_tls(tls, addr)?;
        Ok(Self { tls: Some(Tls { config: config.into(), name }), ..Self::plain(addr) })
    }

    /// Returns a blocking connection; with TLS, its handshake is sent with the first bytes.
    pub(super) fn dial(&self) -> Result<Wire<std::net::TcpStream>, Error> {
        let socket = dial(&self.addr)?;
        if let Some(Tls { config, name }) = &self.tls {
            let connection = rustls::ClientConnection::new(config.clone(), name.clone())
                .map_err(|error| super::caller::broken(&error.to_string()))?;
            return Ok(Wire::Tls(Box::new(connection), socket));
        }
        Ok(Wire::Plain(socket))
    }
}
