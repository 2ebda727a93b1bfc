//! Explanations of TLS errors, with advice.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as Tls};

use crate::error::{Error, ErrorCode};

/// Returns the meaning of `error` on a connection to `addr`; `None` if TLS is not involved.
pub(super) fn explain(addr: &str, error: &io::Error) -> Option<Error> {
    let tls: &Tls = error.get_ref()?.downcast_ref()?;
    Some(match tls {
        Tls::InvalidMessage(_) => Error::new(
            ErrorCode::UnsupportedVersion,
            format!(
                "{addr} does not speak TLS: connect without it (omit --tls; for a link, --dial-tls), or \
                 to the server's TLS port"
            ),
        ),
        tls => Error::new(ErrorCode::TlsFailed, format!("TLS with {addr} failed: {}", reason(tls))),
    })
}

/// Returns the meaning of `error` in a handshake with a client, for the log.
pub(super) fn of_client(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<Tls>()) else {
        return error.to_string();
    };
    match tls {
        Tls::NoCertificatesPresented => {
            "the client shows no certificate; it needs --tls-cert and --tls-key".into()
        }
        Tls::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "the client's certificate is not from a CA in the file of --tls-client-ca".into(),
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the client's certificate has expired; it needs a new one".into(),
        Tls::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown),
        ) => format!(
            "the client does not accept this server's certificate ({alert:?}): its --tls-ca must name \
             the CA, and its own message has the reason"
        ),
        error => error.to_string(),
    }
}

fn reason(error: &Tls) -> String {
    match error {
        Tls::InvalidCertificate(error) => untrusted(error),
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server requires a client certificate: give one with --tls-cert and --tls-key"
                .into()
        }
        Tls::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => format!(
            "the server does not trust the client certificate ({alert:?}): use one that has not \
             expired, from a CA in its --tls-client-ca; its log has the reason"
        ),
        error => error.to_string(),
    }
}

fn untrusted(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is from a CA that is not trusted here: give the CA with --tls-ca"
                .into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: its operator must install a new one (the server \
             reads it within seconds)"
                .into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not yet valid; check the local clock".into()
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another name; see --tls-server-name".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for {}, but for {}: connect to that name, or give it with \
             --tls-server-name",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") },
        ),
        // webpki's own error, which has no variant in rustls.
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is that of a CA, which no server may use: its operator must \
             make one for the server (`openssl req -x509` makes a CA's unless it is given \
             -addext basicConstraints=critical,CA:FALSE)"
                .into()
        }
        error => format!("the server's certificate is not accepted: {error}"),
    }
}
