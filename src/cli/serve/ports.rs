//! [`Ports`]: the addresses that a server listens on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::address::cannot_listen;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
#[cfg(feature = "tls")]
use crate::rpc::tls::Certificates;
use crate::{Error, Wakeful};

/// Maximum number of connections that wait to be accepted; tokio's default.
const BACKLOG: u32 = 1024;

#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Listening sockets that replace the port of --listen, plain or TLS.
    pub(super) passed: Vec<TcpListener>,
    /// The address of the plain port; `None` for none.
    pub(super) plain: Option<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<(String, crate::TlsConfig)>,
}

impl Ports {
    #[cfg(not(feature = "tls"))]
    pub(super) fn plain(listen: Option<&str>) -> Self {
        Self { passed: Vec::new(), plain: listen.map(str::to_owned) }
    }

    /// Checks that the files of a TLS port can be used.
    pub(super) fn check_files(&self) -> Result<(), Error> {
        #[cfg(feature = "tls")]
        if let Some((_, tls)) = &self.tls {
            tls.check()?;
        }
        Ok(())
    }

    /// Binds the ports, so that an unavailable address is known before anything else starts.
    /// Clients cannot connect yet.
    pub(super) async fn bind(self) -> Result<BoundPorts, Failure> {
        let mut passed = self.passed;
        let mut bound = BoundPorts::default();
        if let Some(listen) = self.plain {
            let what = format!("(at {listen}); give another address with --listen");
            bound.plain =
                sockets(&mut passed, &listen).await.map_err(|error| cannot(error, &what))?;
        }
        #[cfg(feature = "tls")]
        if let Some((listen, tls)) = self.tls {
            let certificates = Certificates::open(tls)?;
            let what = format!("(for the TLS port at {listen})");
            let sockets = sockets(&mut passed, &listen).await;
            bound.tls = Some((certificates, sockets.map_err(|error| cannot(error, &what))?));
        }
        Ok(bound)
    }
}

/// Bound ports.
#[derive(Default)]
pub(super) struct BoundPorts {
    plain: Vec<PortSocket>,
    #[cfg(feature = "tls")]
    tls: Option<(Certificates, Vec<PortSocket>)>,
}

impl BoundPorts {
    /// Listens, and prints the addresses.
    pub(super) async fn open(
        self,
        wakeful: &Wakeful,
        out: &mut Output,
    ) -> Result<OpenPorts, Failure> {
        let mut opened = OpenPorts::default();
        for socket in self.plain {
            let (listener, what) = socket.listen()?;
            let addr = wakeful.listen_on(listener).await.map_err(|error| cannot(error, what))?;
            opened.note(addr, false, out);
        }
        #[cfg(feature = "tls")]
        if let Some((certificates, sockets)) = self.tls {
            let door = wakeful.tls_door(certificates)?;
            for socket in sockets {
                let (listener, what) = socket.listen()?;
                let listened = wakeful.listen_at_door(listener, &door).await;
                let port = listened.map_err(|error| cannot(error, what))?;
                opened.note(port.addr(), true, out);
                opened.tls.push(port);
            }
        }
        Ok(opened)
    }
}

/// The socket of a port.
enum PortSocket {
    Bound(TcpSocket),
    Passed(TcpListener),
}

impl PortSocket {
    /// Starts to listen. Also returns a description of the socket, for errors.
    fn listen(self) -> Result<(TcpListener, &'static str), Failure> {
        match self {
            Self::Passed(listener) => Ok((listener, "(on a passed socket)")),
            // Two processes may bind the same address, but only one can listen.
            Self::Bound(socket) => {
                let what = "(another process took the port in the meantime)";
                let listener = socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
                match listener {
                    Ok(listener) => Ok((listener, what)),
                    Err(error) => Err(cannot(cannot_listen(&error), what)),
                }
            }
        }
    }
}

/// Returns the passed sockets, if any remain; else one bound to `listen`.
async fn sockets(passed: &mut Vec<TcpListener>, listen: &str) -> Result<Vec<PortSocket>, Error> {
    if passed.is_empty() {
        let bound = bind(listen).await.map_err(|error| cannot_listen(&error))?;
        return Ok(vec![PortSocket::Bound(bound)]);
    }
    tracing::info!(%listen, "listening on passed sockets instead");
    Ok(std::mem::take(passed).into_iter().map(PortSocket::Passed).collect())
}

/// Returns a socket at the first available address of `listen`.
async fn bind(listen: &str) -> io::Result<TcpSocket> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for addr in tokio::net::lookup_host(listen).await? {
        let bound = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let bound = bound.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            Ok(socket)
        });
        match bound {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Open ports.
#[derive(Debug, Default)]
pub(super) struct OpenPorts {
    pub(super) addresses: Vec<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Vec<crate::TlsListener>,
}

impl OpenPorts {
    fn note(&mut self, addr: SocketAddr, tls: bool, out: &mut Output) {
        self.addresses.push(addr.to_string());
        print_listening(addr, tls, out);
    }
}

/// Returns a failure of this process: neither a wrong argument nor an unreachable server.
fn cannot(error: Error, where_to: &str) -> Failure {
    Failure::told(Exit::Failed, error.code.to_string(), format!("{} {where_to}", error.message))
}

fn print_listening(addr: SocketAddr, tls: bool, out: &mut Output) {
    if out.json() {
        let listening = addr.to_string();
        out.object(&match tls {
            true => json!({ "listening": listening, "tls": true }),
            false => json!({ "listening": listening }),
        });
    } else {
        out.line(format_args!("listening on {addr}{}", if tls { " with TLS" } else { "" }));
    }
}
