//! [`Ports`]: where a server listens.

use std::net::SocketAddr;

use crate::cli::failure::{Exit, Failure};
use crate::cli::json::Object;
use crate::cli::output::Output;
use crate::{Error, Wakeful};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// Without TLS; `None` for none.
    pub(super) plain: Option<String>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<(String, crate::TlsConfig)>,
}

impl Ports {
    #[cfg(not(feature = "tls"))]
    pub(super) fn plain(listen: Option<&str>) -> Self {
        Self { plain: listen.map(str::to_owned) }
    }

    /// Opens them, and says so.
    pub(super) async fn open(self, wakeful: &Wakeful, out: &mut Output) -> Result<(), Failure> {
        if let Some(listen) = self.plain {
            let addr = wakeful.listen(&listen).await.map_err(|error| {
                cannot(error, &format!("(at {listen}); name another with --listen"))
            })?;
            say(addr, false, out);
        }
        #[cfg(feature = "tls")]
        if let Some((listen, config)) = self.tls {
            let door = wakeful
                .listen_tls(&listen, config)
                .await
                .map_err(|error| cannot(error, &format!("(for the TLS port at {listen})")))?;
            say(door.addr(), true, out);
        }
        Ok(())
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
