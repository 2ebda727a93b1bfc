//! The TLS port of `wakeful serve`.

use std::path::PathBuf;

use super::ports::Ports;
use crate::cli::argument::address;
use crate::cli::failure::Failure;
use crate::cli::tls::TlsArgs;
use crate::{ClientCertificates, TlsConfig};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsPortArgs {
    /// Listen for TLS here, in addition to --listen; with --tls instead, the port of --listen
    /// speaks TLS only. Both use the certificate of --tls-cert, which is reloaded when the file
    /// changes
    #[arg(long, hide_short_help = true, value_name = "HOST:PORT", env = "WAKEFUL_TLS_LISTEN", value_parser = address)]
    tls_listen: Option<String>,
    /// Request certificates of TLS clients, from a CA in this PEM file
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "WAKEFUL_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Whether TLS clients must have a certificate, with --tls-client-ca
    #[arg(long, hide_short_help = true, value_name = "WHETHER", value_enum, env = "WAKEFUL_TLS_CLIENT_CERTS",
        default_value_t = ClientCerts::Required)]
    tls_client_certs: ClientCerts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum ClientCerts {
    /// Clients without one are refused
    #[default]
    Required,
    /// Clients without one must log in
    Optional,
}

impl TlsPortArgs {
    /// Returns the ports to listen on, when `listen` is the address of --listen, if any.
    pub(super) fn ports(&self, tls: &TlsArgs, listen: Option<&str>) -> Result<Ports, Failure> {
        let certificate = tls.certificate()?;
        let listen = listen.map(str::to_owned);
        let (plain, tls_listen) = match (tls.tls, self.tls_listen.clone()) {
            (true, Some(_)) => {
                return Err(Failure::usage(
                    "--tls makes the port of --listen speak TLS, --tls-listen opens another: give only one \
                     of them",
                ));
            }
            (true, None) if listen.is_none() => {
                return Err(Failure::usage(
                    "--tls makes the port of --listen speak TLS, but there is none; links are dialed \
                     with TLS by --dial-tls",
                ));
            }
            (true, None) => (None, listen),
            (false, other) => (listen, other),
        };
        let Some(addr) = tls_listen else {
            return match &self.tls_client_ca {
                None => Ok(Ports { plain, ..Ports::default() }),
                Some(_) => Err(Failure::usage(
                    "--tls-client-ca needs a TLS port: open one with --tls-listen or --tls",
                )),
            };
        };
        let Some((cert, key)) = certificate else {
            return Err(Failure::usage(
                "a TLS port needs a certificate and its key: give --tls-cert and --tls-key",
            ));
        };
        let config = TlsConfig {
            client_ca: self.tls_client_ca.clone(),
            client_certificates: match self.tls_client_certs {
                ClientCerts::Required => ClientCertificates::Required,
                ClientCerts::Optional => ClientCertificates::Optional,
            },
            ..TlsConfig::new(cert, key)
        };
        Ok(Ports { plain, tls: Some((addr, config)), ..Ports::default() })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        tls: TlsArgs,
        #[command(flatten)]
        port: TlsPortArgs,
    }

    /// The plain and the TLS port.
    type Two = (Option<String>, Option<(String, TlsConfig)>);

    fn ports(line: &str) -> Result<Two, String> {
        ports_beside(line, Some("h:1"))
    }

    fn ports_beside(line: &str, listen: Option<&str>) -> Result<Two, String> {
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        let ports = line.port.ports(&line.tls, listen);
        let ports = ports.map_err(|failure| failure.line(false).unwrap())?;
        Ok((ports.plain, ports.tls))
    }

    #[test]
    fn tls1_tls_is_beside_the_plain_port_or_instead_of_it() {
        let config = TlsConfig::new("c", "k");
        assert_eq!(ports("serve"), Ok((Some("h:1".into()), None)));
        assert_eq!(
            ports("serve --tls-listen h:2 --tls-cert c --tls-key k"),
            Ok((Some("h:1".into()), Some(("h:2".into(), config.clone()))))
        );
        assert_eq!(
            ports("serve --tls --tls-cert c --tls-key k"),
            Ok((None, Some(("h:1".into(), config.clone()))))
        );
        // A server that dials need not listen.
        assert_eq!(ports_beside("serve", None), Ok((None, None)));
        let only = ports_beside("serve --tls-listen h:2 --tls-cert c --tls-key k", None);
        let tls = Some(("h:2".into(), config.clone()));
        assert_eq!(only, Ok((None, tls)));
        let said = ports_beside("serve --tls --tls-cert c --tls-key k", None).unwrap_err();
        assert!(said.contains("--dial-tls"), "{said}");
        let optional = TlsConfig {
            client_ca: Some("a".into()),
            client_certificates: ClientCertificates::Optional,
            ..config
        };
        let line = "serve --tls --tls-cert c --tls-key k --tls-client-ca a \
                    --tls-client-certs optional";
        assert_eq!(ports(line), Ok((None, Some(("h:1".into(), optional)))));
        for (line, why) in [
            ("serve --tls", "needs a certificate"),
            ("serve --tls-listen h:2", "needs a certificate"),
            ("serve --tls --tls-cert c", "needs --tls-key"),
            ("serve --tls-key k", "needs --tls-cert"),
            ("serve --tls --tls-listen h:2 --tls-cert c --tls-key k", "only one"),
            ("serve --tls-client-ca a", "needs a TLS port"),
        ] {
            let said = ports(line).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}
