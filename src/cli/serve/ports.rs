//! [`Ports`]: where a server listens.

use std::net::{SocketAddr, TcpListener};

use crate::cli::failure::{Exit, Failure};
use crate::cli::json::Object;
use crate::cli::output::Output;
use crate::{Error, Wakeful};

#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Listen already, in the place of the port of --listen, be that plain or TLS.
    pub(super) passed: Vec<TcpListener>,
    /// Without TLS; `None` for none.
    pub(super) plain: Option<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<(String, crate::TlsConfig)>,
}

impl Ports {
    #[cfg(not(feature = "tls"))]
    pub(super) fn plain(listen: Option<&str>) -> Self {
        Self { passed: Vec::new(), plain: listen.map(str::to_owned) }
    }

    /// Opens them, and says so.
    pub(super) async fn open(self, wakeful: &Wakeful, out: &mut Output) -> Result<Opened, Failure> {
        let mut passed = self.passed;
        let mut opened = Opened::default();
        if let Some(listen) = self.plain {
            for place in Place::all(&mut passed, listen) {
                let door = match place {
                    Place::Addr(listen) => wakeful.listen(&listen).await.map_err(|error| {
                        cannot(error, &format!("(at {listen}); name another with --listen"))
                    }),
                    Place::Passed(listener) => wakeful
                        .listen_on(listener)
                        .await
                        .map_err(|error| cannot(error, "(on a socket that was passed)")),
                };
                opened.note(door?, false, out);
            }
        }
        #[cfg(feature = "tls")]
        if let Some((listen, config)) = self.tls {
            for place in Place::all(&mut passed, listen) {
                let door = match place {
                    Place::Addr(listen) => wakeful
                        .listen_tls(&listen, config.clone())
                        .await
                        .map_err(|error| cannot(error, &format!("(for the TLS port at {listen})"))),
                    Place::Passed(listener) => wakeful
                        .listen_tls_on(listener, config.clone())
                        .await
                        .map_err(|error| cannot(error, "(for TLS on a socket that was passed)")),
                }?;
                opened.note(door.addr(), true, out);
                opened.tls.push(door);
            }
        }
        Ok(opened)
    }
}

/// Where a port is opened.
enum Place {
    Addr(String),
    Passed(TcpListener),
}

impl Place {
    /// The sockets that were passed, as long as there are some; else at `listen`.
    fn all(passed: &mut Vec<TcpListener>, listen: String) -> Vec<Self> {
        if passed.is_empty() {
            return vec![Self::Addr(listen)];
        }
        tracing::info!(%listen, "listening on sockets that were passed instead");
        std::mem::take(passed).into_iter().map(Self::Passed).collect()
    }
}

/// The ports that are open.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) addresses: Vec<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Vec<crate::TlsDoor>,
}

impl Opened {
    fn note(&mut self, addr: SocketAddr, tls: bool, out: &mut Output) {
        self.addresses.push(addr.to_string());
        say(addr, tls, out);
    }
}

/// Neither a wrong argument nor a server that cannot be reached: it is this process that fails.
fn cannot(error: Error, where_to: &str) -> Failure {
    Failure::told(Exit::Failed, error.code.to_string(), format!("{} {where_to}", error.message))
}

fn say(addr: SocketAddr, tls: bool, out: &mut Output) {
    if out.json() {
        let listening = Object::new().text("listening", &addr.to_string());
        out.object(if tls { listening.flag("tls", true) } else { listening });
    } else {
        out.line(format_args!("listening on {addr}{}", if tls { " with TLS" } else { "" }));
    }
}
