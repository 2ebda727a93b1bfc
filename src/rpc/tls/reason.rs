//! What went wrong with TLS, in words that say what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as Tls};

use crate::error::{Error, ErrorCode};

/// What `error` of a connection to `addr` means; `None` if it has nothing to do with TLS.
pub(super) fn explain(addr: &str, error: &io::Error) -> Option<Error> {
    let tls: &Tls = error.get_ref()?.downcast_ref()?;
    Some(match tls {
        Tls::InvalidMessage(_) => Error::new(
            ErrorCode::UnsupportedVersion,
            format!(
                "{addr} speaks no TLS: connect without it (leave out --tls; for a link, --dial-tls), or \
                 to the server's TLS port"
            ),
        ),
        tls => Error::new(ErrorCode::TlsFailed, format!("no TLS with {addr}: {}", reason(tls))),
    })
}

/// What `error` of a handshake with a client means, for the log.
pub(super) fn of_client(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<Tls>()) else {
        return error.to_string();
    };
    match tls {
        Tls::NoCertificatesPresented => {
            "the client shows no certificate; it gives one with --tls-cert and --tls-key".into()
        }
        Tls::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "the client's certificate is of no CA in the file of --tls-client-ca".into(),
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the client's certificate has expired; it needs a new one".into(),
        Tls::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown),
        ) => format!(
            "the client does not accept this server's certificate ({alert:?}): it names its CA with \
             --tls-ca, and its own message says what is wrong"
        ),
        error => error.to_string(),
    }
}

fn reason(error: &Tls) -> String {
    match error {
        Tls::InvalidCertificate(error) => untrusted(error),
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a client certificate: give one (--tls-cert and --tls-key)".into()
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
            "the server does not trust the client certificate ({alert:?}): show one that has not \
             expired, of a CA in its --tls-client-ca; its log says what is wrong"
        ),
        error => error.to_string(),
    }
}

fn untrusted(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is of a CA that is not trusted here: name its CA (--tls-ca)"
                .into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: have its operator install a new one (the server \
             reads it within seconds)"
                .into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is the clock here right?".into()
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another name (--tls-server-name)".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for {}, but for {}: connect to that, or say so with \
             --tls-server-name",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") },
        ),
        // webpki's own error, which rustls does not name.
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is that of a CA, which no server may show: have its operator \
             make one for the server (`openssl req -x509` makes a CA's unless it is given \
             -addext basicConstraints=critical,CA:FALSE)"
                .into()
        }
        error => format!("the server's certificate is not accepted: {error}"),
    }
}
