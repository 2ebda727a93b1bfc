//! [`Authenticate`]: who may dial a link, and under which name.

use std::net::SocketAddr;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;

use crate::auth::Credentials;
use crate::error::{Error, ErrorCode};
use crate::secret_file;
use crate::session::{Identity, Via};

/// Shortest token that a [`SharedToken`] takes, bytes: one that can be guessed guards nothing.
const TOKEN_BYTES_MIN: usize = 16;

/// Longest, so that it fits in every hello.
const TOKEN_BYTES_MAX: usize = 512;

/// What whoever dials shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presented {
    /// What it wants to be called.
    pub name: String,
    /// What it shows for it.
    pub credentials: Option<Credentials>,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// What it has proved already, as by a client certificate.
    pub identity: Option<Identity>,
}

/// That somebody may dial: who it is, and for how long.
pub struct Admission {
    pub(super) identity: Option<Identity>,
    pub(super) over: BoxFuture<'static, ()>,
}

impl Admission {
    /// Of somebody who has proved to be `identity`, for as long as the link lasts.
    pub fn of(identity: Identity) -> Self {
        Self { identity: Some(identity), ..Self::of_anyone() }
    }

    /// Of somebody of whom it does not matter who it is.
    pub fn of_anyone() -> Self {
        Self { identity: None, over: std::future::pending().boxed() }
    }

    /// The same until `over` ends; then the link does, too.
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

/// Who may dial. It is asked before anything is known of the link by anybody else.
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
    /// Tells who it is that shows this, and for how long.
    ///
    /// Errors: what it is refused with, which it is told. Nothing is registered then.
    /// Cancel: the future is dropped when `link.handshake_timeout` is over or the peer went.
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Admission, Error>>;
}

/// Whoever reaches the port may dial, under any name: for networks in which everyone is trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anyone;

impl Authenticate for Anyone {
    fn authenticate<'a>(&'a self, _: &'a Presented) -> BoxFuture<'a, Result<Admission, Error>> {
        async { Ok(Admission::of_anyone()) }.boxed()
    }
}

/// Whoever knows the one token may dial, under any name. Compared in constant time, and not shown
/// by `Debug`.
pub struct SharedToken(String);

impl SharedToken {
    /// The token `token`, without the white space around it.
    ///
    /// # Errors
    /// `InvalidArgument` for one of fewer than 16 or more than 512 bytes.
    pub fn new(token: &str) -> Result<Self, Error> {
        let token = token.trim();
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
            let message = format!(
                "the token of links has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes; draw one at \
                 random, as with `openssl rand -hex 32`"
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        Ok(Self(token.to_owned()))
    }

    /// The token in the file `path`.
    ///
    /// # Errors
    /// `InvalidArgument` if it cannot be read, if others than its owner can, or as [`new`](Self::new).
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = secret_file::open(path).and_then(std::io::read_to_string);
        let text = read.map_err(|error| {
            let message = format!("cannot read the token in {}: {error}", path.display());
            Error::new(ErrorCode::InvalidArgument, message)
        })?;
        Self::new(&text)
    }

    /// What shows that one knows it.
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
        // All who know it are one, so that each may take back the name that it had.
        let identity = Identity { name: "shared token".to_owned(), via: Via::Token };
        let answer = if known { Ok(Admission::of(identity)) } else { Err(refused()) };
        async { answer }.boxed()
    }
}

fn refused() -> Error {
    Error::new(ErrorCode::LinkRefused, "the link is refused: it does not show the right token")
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
