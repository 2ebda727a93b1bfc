//! [`Authenticate`]: decides which peers may dial a link, and under which name.

use std::net::SocketAddr;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;

use crate::auth::Credentials;
use crate::error::{Error, ErrorCode};
use crate::secret_file;
use crate::session::{Identity, Via};

/// Minimum length of a [`SharedToken`], bytes: a token that can be guessed protects nothing.
const TOKEN_BYTES_MIN: usize = 16;

/// Maximum length, so that it fits in every hello.
const TOKEN_BYTES_MAX: usize = 512;

/// The claims and proofs of a dialing peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presented {
    /// The name it asks for.
    pub name: String,
    /// The peer's credentials for the name.
    pub credentials: Option<Credentials>,
    /// The peer's address.
    pub addr: SocketAddr,
    /// The identity it has already proved, for example by a client certificate.
    pub identity: Option<Identity>,
}

/// The permission to dial: the identity, and its duration.
pub struct Admission {
    pub(super) identity: Option<Identity>,
    pub(super) over: BoxFuture<'static, ()>,
}

impl Admission {
    /// Admits a peer with the proved `identity`, for as long as the link lasts.
    pub fn of(identity: Identity) -> Self {
        Self { identity: Some(identity), ..Self::of_anyone() }
    }

    /// Admits a peer of any identity.
    pub fn of_anyone() -> Self {
        Self { identity: None, over: std::future::pending().boxed() }
    }

    /// Limits the admission until `over` completes; then the link ends too.
    #[must_use]
    pub fn until(self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { over: over.boxed(), ..self }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Decides who may dial. Called before the link is visible to anyone else.
///
/// ```
/// use wakeful::link::{Admission, Authenticate, Presented};
/// use wakeful::{Error, ErrorCode};
///
/// /// Names that begin with `edge-`, from this machine.
/// struct Edges;
///
/// impl Authenticate for Edges {
///     fn authenticate<'a>(
///         &'a self,
///         presented: &'a Presented,
///     ) -> futures_util::future::BoxFuture<'a, Result<Admission, Error>> {
///         let may = presented.addr.ip().is_loopback() && presented.name.starts_with("edge-");
///         let refusal = || Error::new(ErrorCode::LinkRefused, "only edges of this machine");
///         Box::pin(async move { may.then(Admission::of_anyone).ok_or_else(refusal) })
///     }
/// }
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// Authenticates a peer and returns its admission.
    ///
    /// Errors: the refusal, which is sent to the peer. Nothing is registered then.
    /// Cancel: the future is dropped when `link.handshake_timeout` is over or the peer has gone.
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Admission, Error>>;
}

/// Admits every peer under any name: for networks in which everyone is trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anyone;

impl Authenticate for Anyone {
    fn authenticate<'a>(&'a self, _: &'a Presented) -> BoxFuture<'a, Result<Admission, Error>> {
        async { Ok(Admission::of_anyone()) }.boxed()
    }
}

/// Admits every peer that knows one token, under any name. Compared in constant time, and not
/// printed by `Debug`.
pub struct SharedToken(String);

impl SharedToken {
    /// Returns the token `token`, without surrounding white space.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a token of fewer than 16 or more than 512 bytes.
    pub fn new(token: &str) -> Result<Self, Error> {
        let token = token.trim();
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
            let message = format!(
                "the token of links must have {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes; generate a \
                 random one, as with `openssl rand -hex 32`"
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        Ok(Self(token.to_owned()))
    }

    /// Reads the token from the file `path`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if it cannot be read, if users other than its owner can read it, or those
    /// of [`new`](Self::new).
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = secret_file::open(path).and_then(std::io::read_to_string);
        let text = read.map_err(|error| {
            let message = format!("cannot read the token in {}: {error}", path.display());
            Error::new(ErrorCode::InvalidArgument, message)
        })?;
        Self::new(&text)
    }

    /// Returns the credentials that prove knowledge of the token.
    pub fn credentials(&self) -> Credentials {
        Credentials::token(&*self.0)
    }
}

impl std::fmt::Debug for SharedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedToken").finish_non_exhaustive()
    }
}

impl Authenticate for SharedToken {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Admission, Error>> {
        let known = match &presented.credentials {
            Some(Credentials::Token(token)) => {
                bool::from(token.as_bytes().ct_eq(self.0.as_bytes()))
            }
            _ => false,
        };
        // All who know the token share an identity, so that each may take its name back.
        let identity = Identity { name: "shared token".to_owned(), via: Via::Token };
        let answer = if known { Ok(Admission::of(identity)) } else { Err(refused()) };
        async { answer }.boxed()
    }
}

fn refused() -> Error {
    Error::new(ErrorCode::LinkRefused, "the link is refused: wrong or missing token")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shows(credentials: Option<Credentials>) -> Result<Option<Identity>, Error> {
        let identity = |admission: Admission| admission.identity;
        let token = SharedToken::new("  0123456789abcdef\n").unwrap();
        let addr = "127.0.0.1:1".parse().unwrap();
        let presented = Presented { name: "edge".to_owned(), credentials, addr, identity: None };
        token.authenticate(&presented).await.map(identity)
    }

    #[tokio::test]
    async fn l3_only_the_token_itself_is_the_token_and_all_failures_look_alike() {
        assert!(shows(Some(Credentials::token("0123456789abcdef"))).await.is_ok());
        let wrong = [
            None,
            Some(Credentials::token("")),
            Some(Credentials::token("0123456789abcde")),
            Some(Credentials::token("0123456789abcdeg")),
            Some(Credentials::token("0123456789abcdef0")),
            Some(Credentials::password("0123456789abcdef", "0123456789abcdef")),
        ];
        for credentials in wrong {
            assert_eq!(shows(credentials).await, Err(refused()));
        }
    }

    #[test]
    fn l3_a_token_that_could_be_guessed_is_none() {
        assert!(SharedToken::new("secret").is_err());
        assert!(SharedToken::new(&"x".repeat(513)).is_err());
        assert!(!format!("{:?}", SharedToken::new(&"x".repeat(16)).unwrap()).contains("xx"));
    }
}
