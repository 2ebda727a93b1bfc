//! Links: one TCP connection that carries any number of connections of the protocol, opened by
//! either end, so that a server behind a firewall can dial out and serve.
//!
//! Owns: the handshake of a link, who may have which name, and what is carried. Never does: look
//! into what it carries, apart from the hello by which a [`Relay`] learns whom it is for.
//!
//! # Layout
//! `hello` is the handshake, `authenticate` who may dial, `users` by a
//! file of users; `carrier` runs yamux over the socket and
//! is held by a `Link`, `pulse` says over it that both ends are there. `dial` keeps a link for
//! ever; `accept` takes links in, `registry` knows their names; `listener` makes clients of them
//! and `relay` a gateway.

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
pub(crate) use hello::PREFACE as LINK_PREFACE;
pub use listener::{Dialer, ReverseListener, ReverseOptions};
pub use relay::{Relay, RelayOptions};
pub use users::LinkUsers;

use crate::error::{Details, Error, ErrorCode};

/// Longest name of a server behind a link, bytes.
pub(crate) const SERVER_NAME_BYTES_MAX: usize = 256;

/// That `name` can be the name of a server.
///
/// # Errors
/// `InvalidArgument` for one that is empty, too long, or has control characters.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > SERVER_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!(
            "the name of a server has 1 to {SERVER_NAME_BYTES_MAX} bytes and no control characters"
        );
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    Ok(())
}

/// That a limit of links is reached.
fn limit(name: &str, value: usize, what: &str) -> Error {
    let message = format!("{what}: the limit {name} is {value}; try again later");
    Error::new(ErrorCode::LimitExceeded, message)
        .with_details(Details::Limit { name: name.to_owned(), value: value as u64 })
}
