//! The users of a service's listeners.

use crate::auth::Auth;
use crate::error::{Error, ErrorCode};
use crate::handle::Wakeful;
use crate::runtime::require_arbiter;

impl Wakeful {
    /// Requires clients of every listener to log in as one of the users of `auth`, with the
    /// permissions of their roles. The user file is checked for changes every
    /// `auth.reload_interval`, until [`stop`](Self::stop). Must be called on an arbiter, and before
    /// [`listen`](Self::listen). This process itself may do everything.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if a listener is open, this was called before, or the call is made outside
    /// an actix system. Nothing was changed.
    pub async fn require_login(&self, auth: Auth) -> Result<(), Error> {
        require_arbiter("Wakeful::require_login")?;
        let listeners = self.inner.listeners.lock().await;
        let refuse = |message| Err(Error::new(ErrorCode::InvalidArgument, message));
        if !listeners.doors.is_empty() {
            return refuse("a listener is already open: require a login before listening");
        }
        if self.inner.auth.set(auth.clone()).is_err() {
            return refuse("a login is already required");
        }
        auth.bound_lines(self.strangers().clone());
        let mut stopped = self.inner.stopped.subscribe();
        actix_rt::spawn(async move {
            tokio::select! {
                // An error means that the service is gone.
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = auth.keep_reloading() => {}
            }
        });
        Ok(())
    }
}
