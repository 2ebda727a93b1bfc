//! [`Credentials`]: the proof of identity at a login.

use std::fmt;

/// The proof of identity at a login. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and its password.
    Password {
        /// The user.
        user: String,
        /// The user's password.
        password: String,
    },
    /// A token as printed at its creation; it identifies its user.
    Token(String),
}

impl Credentials {
    /// Returns credentials with a user and a password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { user: user.into(), password: password.into() }
    }

    /// Returns credentials with a token.
    pub fn token(token: impl Into<String>) -> Self {
        Self::Token(token.into())
    }
}

/// Prints no secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::password("alice", "geheim"));
        assert!(shown.contains("alice") && !shown.contains("geheim"), "{shown}");
        assert!(!format!("{:?}", Credentials::token("wkt_1_geheim")).contains("geheim"));
    }
}
