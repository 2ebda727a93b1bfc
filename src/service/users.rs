//! Who may come in by the doors of a service.

use super::Wakeful;
use crate::auth::Auth;
use crate::error::{Error, ErrorCode};
use crate::runtime::require_arbiter;

impl Wakeful {
    /// From now on, whoever comes in by a door must log in as one of the users of `auth`, and may do
    /// what their roles grant. Its file is looked at every `auth.reload_interval`, until
    /// [`stop`](Self::stop). Must be called on an arbiter, and before [`listen`](Self::listen). This
    /// process itself may do everything.
    ///
    /// # Errors
    /// `InvalidArgument` if a door is open already, this was called before, or the call is made
    /// outside an actix system. Nothing has changed.
    pub async fn require_login(&self, auth: Auth) -> Result<(), Error> {
        require_arbiter("Wakeful::require_login")?;
        let house = self.inner.house.lock().await;
        let refuse = |message| Err(Error::new(ErrorCode::InvalidArgument, message));
        if !house.doors.is_empty() {
            return refuse("a door is open already: require a login before listening");
        }
        if self.inner.auth.set(auth.clone()).is_err() {
            return refuse("a login is required already");
        }
        let mut stopped = self.inner.stopped.subscribe();
        actix_rt::spawn(async move {
            tokio::select! {
                // An error: the service is gone.
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = auth.keep_reloading() => {}
            }
        });
        Ok(())
    }

    /// Who may come in by a door; `None` for everybody.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.inner.auth.get()
    }
}
