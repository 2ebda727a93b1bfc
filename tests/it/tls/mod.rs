//! TLS, with the real binary and certificates created for each test.

mod json;
mod links;
mod readme;
mod serving;
mod strangers;
mod trust;
mod users;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, RootCertStore, StreamOwned};
use wakeful::{Client, ClientCertificate, ClientConfig, ClientTls, Error};

use crate::process::{Ran, Running, wakeful};
use crate::support::{TIMEOUT, within, write_secret};

/// The first bytes of a handshake that is never continued.
const HALF_A_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// A CA, and the directory of its certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

/// The files of a certificate and its key.
#[derive(Clone)]
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Issues a certificate for a server at `name`.
    fn server(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("server", params)
    }

    /// Issues an expired certificate for a server.
    fn expired(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(2020, 1, 1);
        self.issue("expired", params)
    }

    /// Issues a certificate for the client `name`.
    fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, params)
    }

    fn issue(&self, file: &str, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let at = |kind: &str| self.dir.path().join(format!("{file}.{kind}"));
        let pair = Pair { cert: at("pem"), key: at("key") };
        fs::write(&pair.cert, cert.pem()).unwrap();
        write_secret(&pair.key, key.serialize_pem());
        pair
    }

    /// Returns the options of a client that trusts only this CA.
    fn trusted(&self) -> ClientTls {
        ClientTls { ca: Some(self.ca()), ..ClientTls::default() }
    }

    /// The same, with a client certificate.
    fn trusted_with(&self, pair: &Pair) -> ClientTls {
        let certificate = ClientCertificate { cert: pair.cert.clone(), key: pair.key.clone() };
        ClientTls { certificate: Some(certificate), ..self.trusted() }
    }
}

/// A server process with a TLS port and a plain one.
struct Server {
    process: Running,
    plain: SocketAddr,
    addr: SocketAddr,
}

impl Server {
    fn start(pair: &Pair, arguments: &[&str]) -> Self {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
        let files = ["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)];
        let mut process = Running::start(wakeful(&[&fixed, &files[..], arguments].concat()));
        let [plain, addr] = ["", " with TLS"].map(|end| {
            let line = process.line();
            let addr = line.strip_prefix("listening on ").and_then(|line| line.strip_suffix(end));
            addr.expect(&line).parse().expect(&line)
        });
        Self { process, plain, addr }
    }

    /// Runs a command for the TLS port.
    fn run(&self, arguments: &[&str]) -> Ran {
        let addr = self.addr.to_string();
        Running::start(wakeful(&[&["--addr", &addr], arguments].concat())).finish()
    }

    /// Stops the server; returns its log.
    fn stop(self) -> String {
        self.process.signal("TERM");
        let ran = self.process.finish();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stderr
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn config(addr: SocketAddr, tls: Option<ClientTls>) -> ClientConfig {
    ClientConfig {
        tls,
        reconnect_backoff_min: std::time::Duration::from_millis(1),
        connect_timeout: TIMEOUT,
        ..ClientConfig::new(addr.to_string())
    }
}

async fn connect(addr: SocketAddr, tls: Option<ClientTls>) -> Result<Client, Error> {
    within(Client::connect_with(config(addr, tls))).await
}

/// Connects with another TLS implementation, which trusts `authority`. Its handshake is sent with
/// the first bytes.
fn stream(addr: SocketAddr, authority: &Authority) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    StreamOwned::new(connection, socket)
}

/// Returns the error of a connection that must fail.
async fn refused(addr: SocketAddr, tls: Option<ClientTls>) -> Error {
    connect(addr, tls).await.expect_err("it is not to be trusted")
}
