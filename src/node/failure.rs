//! Failure reporting and the shutdown grace after a failure.

use std::time::Duration;

use crate::error::Error;
use crate::handle::{Wakeful, WakefulShared, gone};

impl Wakeful {
    /// Waits until the service has failed, and returns the reason. Either a write or sync of the
    /// journal failed (`JournalFailed`): reads of durable data and watches continue until
    /// [`stop`](Self::stop), and every write is refused with this error. Or an essential actor has
    /// ended by a panic (`Internal`), the only reason in memory: stop the service, and start
    /// another.
    ///
    /// Cancel: harmless.
    pub async fn failed(&self) -> Error {
        let mut failure = self.inner.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    /// Returns the grace period of requests in flight; zero if an essential actor is gone, since
    /// requests to it are never answered.
    pub(super) fn grace(&self) -> Duration {
        let WakefulShared { store, queue, storage, .. } = &*self.inner;
        let whole = store.connected() && queue.connected() && storage.connected();
        if whole { self.rpc().shutdown_grace } else { Duration::ZERO }
    }
}
