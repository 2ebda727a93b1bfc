//! [`TlsArgs`]: how a command speaks TLS.

use std::path::{Path, PathBuf};

use crate::{ClientCertificate, ClientTls, Error, ErrorCode};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Speak TLS with the server; of `serve`: speak nothing else at the address of --listen
    #[arg(long, global = true, env = "WAKEFUL_TLS",
        value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) tls: bool,
    /// Trust servers of the CAs in this PEM file, and no others [default: those that the system
    /// trusts]; implies --tls
    #[arg(long, global = true, value_name = "FILE", env = "WAKEFUL_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// What the server's certificate must be for [default: the host of --addr]; implies --tls
    #[arg(long, global = true, value_name = "NAME", env = "WAKEFUL_TLS_SERVER_NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    tls_server_name: Option<String>,
    /// The certificate to show, and those that lead to its CA, as PEM: of `serve` the server's, else
    /// the client's, which implies --tls
    #[arg(long, global = true, value_name = "FILE", env = "WAKEFUL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, as PEM, not encrypted
    #[arg(long, global = true, value_name = "FILE", env = "WAKEFUL_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate to show, and its key.
    pub(crate) fn certificate(&self) -> Result<Option<(&Path, &Path)>, Error> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(usage("--tls-cert without --tls-key")),
            (None, Some(_)) => Err(usage("--tls-key without --tls-cert")),
        }
    }

    /// Refuses whoever says which servers to trust, where none is connected to.
    pub(crate) fn refuse_trust(&self, why: &str) -> Result<(), Error> {
        if self.names_server() {
            return Err(usage(&format!("--tls-ca, --tls-server-name: {why}")));
        }
        Ok(())
    }

    /// How a client speaks TLS, if it is to. Who says whom it trusts, or who it is, wants it: without,
    /// everything would go unencrypted.
    pub(crate) fn client(&self) -> Result<Option<ClientTls>, Error> {
        let tls = self.trust()?;
        let wanted = self.tls || self.names_server() || tls.certificate.is_some();
        Ok(wanted.then_some(tls))
    }

    /// Whom it trusts, and who it is.
    pub(crate) fn trust(&self) -> Result<ClientTls, Error> {
        let certificate = self
            .certificate()?
            .map(|(cert, key)| ClientCertificate { cert: cert.to_owned(), key: key.to_owned() });
        let (ca, server_name) = (self.tls_ca.clone(), self.tls_server_name.clone());
        Ok(ClientTls { ca, server_name, certificate })
    }

    /// Whether it says which servers to trust.
    pub(crate) fn names_server(&self) -> bool {
        self.tls_ca.is_some() || self.tls_server_name.is_some()
    }
}

fn usage(message: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
