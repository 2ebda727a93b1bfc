//! Links: TCP connections that each carry any number of connections of the protocol, opened by
//! either end, so that a server behind a firewall can dial out and serve.
//!
//! Owns the handshake of a link, the names of links, and the transport of connections. It does not
//! interpret what a link carries, except for the hello from which a [`Relay`] learns the name of
//! the server.
//!
//! # Layout
//!
//! `hello` is the handshake; `authenticate` decides who may dial, `users` by a user file. `carrier`
//! runs yamux over the socket, and a `Link` is its handle; `keep_alive` checks that both ends are alive.
//! `dial` keeps a link for ever; `accept` accepts links, and `registry` has their names; `listener`
//! makes clients of them, and `relay` a gateway.
//!
//! # Design
//!
//! - **A connection is a connection.** A connection over a link uses the same `Connection` as one
//!   over TCP, and a client over a link runs the same driver; only the socket differs. So
//!   watches, workers, logins and limits are implemented once.
//! - A `LinkDriver` is the only task that polls yamux; a `Link` asks it for streams. The phase of a
//!   link only advances, and any task may wait for it.
//! - Connections are handed to the arbiter of the service that serves them, through a channel
//!   that its permits bound. When the service stops, the channel closes, which ends the links.
//! - yamux cannot check whether an idle link is alive, and has no goodbye; the control stream
//!   does both. (Two ends that are at the limit of their sockets and owe each other a pong at the
//!   same time would wait for ever; the silence of the control stream ends that too.)
//! - A relay reads a hello and only forwards bytes after that. It holds no buffer for a silent
//!   peer.

mod accept;
mod authenticate;
mod carrier;
mod control;
mod dial;
mod hello;
mod listener;
mod registry;
mod relay;
mod users;

pub use authenticate::{Admission, Anyone, Authenticate, Presented, SharedToken};
pub(crate) use dial::dial;
pub use dial::{DialHandle, DialOptions, DialState};
pub use listener::{Dialer, ReverseListener, ReverseOptions};
pub use relay::{Relay, RelayOptions};
pub use users::LinkUsers;

use crate::config::SERVER_NAME_BYTES_MAX;
use crate::error::{Details, Error, ErrorCode};

/// Checks that `name` can be the name of a server.
///
/// # Errors
///
/// `InvalidArgument` for a name that is empty, too long, or has control characters.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > SERVER_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!(
            "the name of a server must have 1 to {SERVER_NAME_BYTES_MAX} bytes and no control characters"
        );
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    Ok(())
}

/// Returns the error for a reached limit of links.
fn limit(name: &str, value: usize, what: &str) -> Error {
    let message = format!("{what}: the limit {name} is {value}; try again later");
    Error::new(ErrorCode::LimitExceeded, message)
        .with_details(Details::Limit { name: name.to_owned(), value: value as u64 })
}
