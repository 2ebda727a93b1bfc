//! [`LinkUsers`]: admits users of a user file.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::authenticate::{Admission, Authenticate, Presented};
use crate::auth::{Auth, Login};
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::runtime::require_tokio;
use crate::session::Peer;

/// Admits users who show their password or a token, under the names on which they have the grant
/// `dial`. A user who loses the grant or the proof loses the link. The file is checked for changes
/// every `auth.reload_interval`, until this is dropped.
#[derive(Debug)]
pub struct LinkUsers {
    auth: Auth,
    reloading: AbortHandle,
}

impl LinkUsers {
    /// Admits the users of `auth`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` outside a tokio runtime.
    pub fn new(auth: Auth) -> Result<Self, Error> {
        require_tokio("LinkUsers::new")?;
        let looking = auth.clone();
        let reloading = tokio::spawn(async move { looking.keep_reloading().await });
        Ok(Self { auth, reloading: reloading.abort_handle() })
    }
}

impl Drop for LinkUsers {
    fn drop(&mut self) {
        self.reloading.abort();
    }
}

impl Authenticate for LinkUsers {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Admission, Error>> {
        let auth = self.auth.clone();
        async move {
            let Presented { name, credentials, addr, identity } = presented.clone();
            let login = match (credentials, identity) {
                (Some(credentials), _) => auth.login(&Peer::Tcp(addr), credentials).await?,
                (None, Some(identity)) => {
                    let entered = auth.enter_by_certificate(&Peer::Tcp(addr), identity);
                    entered.ok_or_else(refused)?.0
                }
                (None, None) => return Err(refused()),
            };
            may(&auth, &login, &name)?;
            let admission = Admission::of(login.identity.clone());
            Ok(admission.until(no_longer(auth, login, name)))
        }
        .boxed()
    }
}

/// Checks that a login may dial under `name` now.
fn may(auth: &Auth, login: &Login, name: &str) -> Result<(), Error> {
    let access = auth.access(login).ok_or_else(refused)?;
    access.permits_dial(name).map_err(Error::from)
}

fn refused() -> Error {
    Error::new(ErrorCode::LoginFailed, "the link is refused: unknown user or token")
}

/// Completes when a login may no longer dial under `name`.
async fn no_longer(auth: Auth, login: Login, name: String) {
    let changed = Arc::new(Notify::new());
    let listening = Listening { auth, number: environment::next_owner() };
    let tell = Arc::clone(&changed);
    listening.auth.listen(listening.number, move || tell.notify_one());
    while may(&listening.auth, &login, &name).is_ok() {
        changed.notified().await;
    }
}

/// Receives notifications of changes until dropped.
struct Listening {
    auth: Auth,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.auth.leave(self.number);
    }
}
