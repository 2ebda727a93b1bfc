//! [`LinkIntake`]: the door for connections over links.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::no_place;
use super::socket_acceptor::new_protocol;
use crate::error::{Error, ErrorCode};
use crate::front::{Guests, Server};
use crate::handle::Wakeful;
use crate::rpc::socket::Socket;
use crate::session::Peer;

/// A connection that arrived over a link.
pub(crate) struct IncomingConnection {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    /// The name of the server on this link, if it differs from its own.
    pub(crate) called: Option<Arc<str>>,
    /// Completes when the link takes no new connections, so that this one should end, too.
    pub(crate) left: BoxFuture<'static, ()>,
}

/// Accepts the connections of links. Cheap to clone; the stop of the node waits for every clone.
#[derive(Clone)]
pub(crate) struct LinkIntake {
    arrivals: mpsc::UnboundedSender<IncomingConnection>,
    alive: mpsc::Sender<()>,
}

/// A [`LinkIntake`] for which the stop does not wait.
pub(crate) struct WeakLinkIntake {
    arrivals: mpsc::UnboundedSender<IncomingConnection>,
    alive: mpsc::WeakSender<()>,
}

impl WeakLinkIntake {
    /// Returns the intake, if it is open.
    pub(crate) fn upgrade(&self) -> Option<LinkIntake> {
        let alive = self.alive.upgrade()?;
        Some(LinkIntake { arrivals: self.arrivals.clone(), alive })
    }
}

impl LinkIntake {
    /// Opens a door for connections over links. Must be called on an arbiter.
    ///
    /// # Errors
    /// `Unavailable` if the service has stopped.
    pub(crate) async fn open(wakeful: &Wakeful) -> Result<Self, Error> {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let open = || {
            let (server, alive) = Server::over(wakeful, |guests| take_all(arriving, guests));
            Ok((server, Self { arrivals, alive }))
        };
        wakeful.add_door(open).await
    }

    /// Returns a reference for which the stop does not wait.
    pub(crate) fn downgrade(&self) -> WeakLinkIntake {
        WeakLinkIntake { arrivals: self.arrivals.clone(), alive: self.alive.downgrade() }
    }

    /// Serves a connection; drops it if the door is closed.
    pub(crate) fn enter(&self, arrival: IncomingConnection) {
        // bound: `link.streams_max` for each link
        let _ = self.arrivals.send(arrival);
    }

    /// Completes when no more connections are taken, because the node stops.
    pub(crate) async fn closed(&self) {
        self.arrivals.closed().await;
    }
}

/// Checks that the server named `called` is the one that the client requires, if it requires one.
///
/// # Errors
/// `NoSuchServer`.
pub(super) fn check_name(called: Option<&str>, meant: &str) -> Result<(), Error> {
    match called.filter(|called| !meant.is_empty() && *called != meant) {
        None => Ok(()),
        Some(called) => {
            let message = format!(
                "this is the server {}, not {}; connect to that one, or leave its name out",
                called.escape_debug(),
                meant.escape_debug()
            );
            Err(Error::new(ErrorCode::NoSuchServer, message))
        }
    }
}

async fn take_all(mut arriving: mpsc::UnboundedReceiver<IncomingConnection>, guests: Guests) {
    while let Some(arrival) = arriving.recv().await {
        let IncomingConnection { socket, peer, called, left } = arrival;
        // No address: all connections of a link have that of the link, and `link.streams_max` limits them.
        match guests.admit(None) {
            Ok(admitted) => {
                let protocol = new_protocol(guests.node(), called);
                actix_rt::spawn(admitted.run(socket, protocol, peer, left));
            }
            Err(error) => {
                guests.refuse(std::future::ready(Some(socket)), || no_place(&error));
            }
        }
    }
}
