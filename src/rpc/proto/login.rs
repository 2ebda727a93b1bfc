//! A login, in bytes.

use serde::{Deserialize, Serialize};

use crate::model::Credentials;
use crate::session::{Identity, Via};

/// The credentials of a login.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireCredentials<'a> {
    Password {
        #[serde(borrow)]
        user: &'a str,
        #[serde(borrow)]
        password: &'a str,
    },
    Token(#[serde(borrow)] &'a str),
}

/// The proved identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireIdentity<'a> {
    #[serde(borrow)]
    user: &'a str,
    via: WireVia,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireVia {
    Password,
    Token,
    Certificate,
}

/// Does not print secrets.
impl std::fmt::Debug for WireCredentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireCredentials(..)")
    }
}

impl<'a> From<&'a Credentials> for WireCredentials<'a> {
    fn from(credentials: &'a Credentials) -> Self {
        match credentials {
            Credentials::Password { user, password } => Self::Password { user, password },
            Credentials::Token(token) => Self::Token(token),
        }
    }
}

impl From<WireCredentials<'_>> for Credentials {
    fn from(wire: WireCredentials<'_>) -> Self {
        match wire {
            WireCredentials::Password { user, password } => Self::password(user, password),
            WireCredentials::Token(token) => Self::token(token),
        }
    }
}

impl<'a> From<&'a Identity> for WireIdentity<'a> {
    fn from(identity: &'a Identity) -> Self {
        let via = match identity.via {
            Via::Password => WireVia::Password,
            Via::Token => WireVia::Token,
            Via::Certificate => WireVia::Certificate,
        };
        Self { user: &identity.name, via }
    }
}

impl From<WireIdentity<'_>> for Identity {
    fn from(wire: WireIdentity<'_>) -> Self {
        let via = match wire.via {
            WireVia::Password => Via::Password,
            WireVia::Token => Via::Token,
            WireVia::Certificate => Via::Certificate,
        };
        Self { name: wire.user.to_owned(), via }
    }
}
