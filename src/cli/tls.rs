//! [`TlsArgs`]: the TLS options of a command.

use std::path::{Path, PathBuf};

use crate::{ClientCertificate, ClientTls, Error, ErrorCode};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Speak TLS with the server; for `serve`: accept only TLS on the port of --listen
    #[arg(long, global = true, hide_short_help = true, env = "WAKEFUL_TLS",
        value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) tls: bool,
    /// Trust servers of the CAs in this PEM file only [default: the system's CAs]; implies --tls
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "WAKEFUL_TLS_CA"
    )]
    tls_ca: Option<PathBuf>,
    /// The name that the server's certificate must have [default: the host of --addr]; implies
    /// --tls
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", env = "WAKEFUL_TLS_SERVER_NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    tls_server_name: Option<String>,
    /// The certificate to show, followed by its chain, as PEM: for `serve` the server's, otherwise
    /// the client's, which implies --tls
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "WAKEFUL_TLS_CERT"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM, unencrypted
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "WAKEFUL_TLS_KEY"
    )]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Returns the certificate to show, and its key.
    pub(crate) fn certificate(&self) -> Result<Option<(&Path, &Path)>, Error> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(usage("--tls-cert needs --tls-key")),
            (None, Some(_)) => Err(usage("--tls-key needs --tls-cert")),
        }
    }

    /// Refuses options that name trusted servers, for a command that dials none.
    pub(crate) fn refuse_trust(&self, why: &str) -> Result<(), Error> {
        if self.names_server() {
            return Err(usage(&format!("--tls-ca, --tls-server-name: {why}")));
        }
        Ok(())
    }

    /// Returns the client's TLS configuration, if it needs one. Options about trust or identity
    /// imply TLS: without it, everything would be sent unencrypted.
    pub(crate) fn client(&self) -> Result<Option<ClientTls>, Error> {
        let tls = self.trust()?;
        let wanted = self.tls || self.names_server() || tls.certificate.is_some();
        Ok(wanted.then_some(tls))
    }

    /// Returns the trusted CAs and the client's certificate.
    pub(crate) fn trust(&self) -> Result<ClientTls, Error> {
        let certificate = self
            .certificate()?
            .map(|(cert, key)| ClientCertificate { cert: cert.to_owned(), key: key.to_owned() });
        let (ca, server_name) = (self.tls_ca.clone(), self.tls_server_name.clone());
        Ok(ClientTls { ca, server_name, certificate })
    }

    /// Returns true if the options restrict the trusted servers.
    pub(crate) fn names_server(&self) -> bool {
        self.tls_ca.is_some() || self.tls_server_name.is_some()
    }
}

fn usage(message: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
