//! [`Certificates`]: the certificates a port shows and trusts, replaceable while it runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};
use x509_cert::ext::pkix::BasicConstraints;

use super::{ClientCertificates, TlsConfig, pem, provider};
use crate::error::{Error, ErrorCode};

pub(crate) struct Certificates {
    config: TlsConfig,
    state: Mutex<CertificatesState>,
}

struct CertificatesState {
    /// The configuration of new connections.
    current: Arc<ServerConfig>,
    /// The digest of the files when last checked, usable or not.
    seen: u64,
}

/// The current content of the files of a [`TlsConfig`].
#[derive(Hash, PartialEq, Eq)]
struct Files {
    cert: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
    client_ca: Option<Result<Vec<u8>, String>>,
}

impl Files {
    fn read(config: &TlsConfig) -> Self {
        let said = |error: Error| error.message;
        let read = |path: &Path| pem::read(path).map_err(said);
        Self {
            cert: read(&config.cert),
            key: pem::read_key(&config.key).map_err(said),
            client_ca: config.client_ca.as_deref().map(read),
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the file that cannot be used.
    pub(crate) fn open(config: TlsConfig) -> Result<Self, Error> {
        let files = Files::read(&config);
        let (current, not_after) = build(&config, &files)?;
        let cert = config.cert.display();
        match not_after {
            Some(end) if has_passed(end) => {
                tracing::warn!(%cert, not_after = %end, "the TLS certificate has expired");
            }
            Some(end) => tracing::info!(%cert, not_after = %end, "TLS certificate"),
            None => tracing::info!(%cert, "TLS certificate"),
        }
        warn_of_ca(&config.cert, &files);
        let state = Mutex::new(CertificatesState { current, seen: files.fingerprint() });
        Ok(Self { config, state })
    }

    /// Returns the acceptor for a new connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.state.lock().current).into()
    }

    /// Reads the files again. Open connections continue unchanged.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: a file cannot be used, or the certificate has expired. The previous
    /// certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), Error> {
        self.take_in(&Files::read(&self.config))
    }

    /// Reads the files again if they have changed.
    pub(super) fn look(&self) {
        let files = Files::read(&self.config);
        if self.state.lock().seen != files.fingerprint() {
            // An error is already in the log.
            let _ = self.take_in(&files);
        }
    }

    fn take_in(&self, files: &Files) -> Result<(), Error> {
        let cert = self.config.cert.display();
        let built = build(&self.config, files).and_then(|(built, not_after)| match not_after {
            Some(end) if has_passed(end) => {
                Err(pem::unusable(&self.config.cert, format!("it has expired at {end}")))
            }
            not_after => Ok((built, not_after)),
        });
        let mut state = self.state.lock();
        state.seen = files.fingerprint();
        match built {
            Ok((built, not_after)) => {
                state.current = built;
                let not_after = not_after.map(|end| end.to_string());
                tracing::info!(%cert, not_after, "TLS certificates reloaded");
                warn_of_ca(&self.config.cert, files);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "TLS certificates not reloaded; the old ones stay in use");
                Err(error)
            }
        }
    }
}

/// Builds the configuration from `files`, and returns it with the expiry of the server's
/// certificate.
fn build(
    config: &TlsConfig,
    files: &Files,
) -> Result<(Arc<ServerConfig>, Option<DateTime>), Error> {
    fn content<'a>(path: &Path, bytes: &'a Result<Vec<u8>, String>) -> Result<&'a [u8], Error> {
        let bytes = bytes
            .as_ref()
            .map_err(|message| Error::new(ErrorCode::InvalidArgument, message.clone()))?;
        // A file that is being written is empty for a moment.
        if bytes.is_empty() { Err(pem::unusable(path, "it is empty")) } else { Ok(bytes) }
    }
    let chain = pem::chain(&config.cert, content(&config.cert, &files.cert)?)?;
    let key = pem::key(&config.key, content(&config.key, &files.key)?)?;
    let not_after = chain.first().and_then(not_after);
    let unusable = |error: rustls::Error| pem::unusable(&config.cert, error);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match (&config.client_ca, &files.client_ca) {
        (Some(path), Some(bytes)) => {
            let roots = Arc::new(pem::roots(path, content(path, bytes)?)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match config.client_certificates {
                ClientCertificates::Required => verifier,
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| pem::unusable(path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut built = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => pem::unusable(
            &config.key,
            format!("it is not the key of the certificate in {}", config.cert.display()),
        ),
        error => unusable(error),
    })?;
    // Connections are long, so resumption would save little, and it would admit a client whose
    // certificate has expired or is no longer trusted.
    built.session_storage = Arc::new(NoServerSessionStorage {});
    built.send_tls13_tickets = 0;
    Ok((Arc::new(built), not_after))
}

/// Returns the expiry of a certificate; `None` if it cannot be read.
fn not_after(certificate: &CertificateDer<'_>) -> Option<DateTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_date_time())
}

/// Logs a warning if the server's certificate is that of a CA, which clients refuse.
fn warn_of_ca(path: &Path, files: &Files) {
    let chain = files.cert.as_ref().ok().and_then(|cert| pem::chain(path, cert).ok());
    if chain.is_some_and(|chain| chain.first().is_some_and(is_of_ca)) {
        tracing::warn!(
            cert = %path.display(),
            "the TLS certificate is that of a CA (basicConstraints CA:TRUE), which clients refuse; \
             make one for the server (`openssl req -x509` makes a CA's unless it is given -addext \
             basicConstraints=critical,CA:FALSE)"
        );
    }
}

/// Returns true if a certificate is that of a CA; `false` if it cannot be read.
fn is_of_ca(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    matches!(constraints, Ok(Some((_, constraints))) if constraints.ca)
}

fn has_passed(end: DateTime) -> bool {
    SystemTime::UNIX_EPOCH + end.unix_duration() <= SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Returns a certificate and key, as PEM.
    fn made(name: &str, expired: bool) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn tls3_what_cannot_be_used_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key, client_ca] = ["cert", "key", "ca"].map(|name| dir.path().join(name));
        let ((old, old_key), (new, new_key), (expired, expired_key)) =
            (made("old", false), made("new", false), made("expired", true));
        for (path, content) in [(&cert, &old), (&key, &old_key), (&client_ca, &old)] {
            fs::write(path, content).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        let mut config = TlsConfig::new(&cert, &key);
        config.client_ca = Some(client_ca.clone());
        let certificates = Certificates::open(config).unwrap();
        let current = || Arc::clone(&certificates.state.lock().current);
        let first = current();
        certificates.look();
        assert!(Arc::ptr_eq(&first, &current()), "nothing has changed");

        for (changed, reason) in [
            ([&*new, &*old_key, &*old], "not the key of"),
            (["", &*old_key, &*old], "empty"),
            ([&*new, "rubbish", &*old], "no unencrypted key in it"),
            ([&*new, &*new_key, "rubbish"], "no certificate"),
            ([&*expired, &*expired_key, &*old], "expired"),
        ] {
            for (path, content) in [&cert, &key, &client_ca].into_iter().zip(changed) {
                fs::write(path, content).unwrap();
            }
            let refusal = certificates.reload().unwrap_err();
            assert!(refusal.message.contains(reason), "{reason}: {refusal}");
            certificates.look();
            assert!(Arc::ptr_eq(&first, &current()), "{refusal}");
        }
        fs::remove_file(&client_ca).unwrap();
        assert!(certificates.reload().is_err());

        for (path, content) in [(&cert, &new), (&key, &new_key), (&client_ca, &new)] {
            fs::write(path, content).unwrap();
        }
        certificates.look();
        assert!(!Arc::ptr_eq(&first, &current()));
    }
}
