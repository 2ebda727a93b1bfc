//! A service that cannot go on: how it tells, and how long it then stays.

use std::time::Duration;

use super::{Inner, Wakeful, gone};
use crate::error::Error;

impl Wakeful {
    /// Waits until the service has failed, and tells why. Either a write or sync of the journal
    /// failed (`JournalFailed`): reads of what was durable and watches go on until
    /// [`stop`](Self::stop), every write is refused with this error. Or an actor without which it
    /// cannot go on has ended by a panic (`Internal`), which in memory is the only reason: stop it,
    /// and start another.
    ///
    /// Cancel: harmless.
    pub async fn failed(&self) -> Error {
        let mut failure = self.inner.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    /// How long requests in flight may take; of those to an actor that is gone none will be answered.
    pub(super) fn grace(&self) -> Duration {
        let Inner { store, queue, storage, .. } = &*self.inner;
        let whole = store.connected() && queue.connected() && storage.connected();
        if whole { self.rpc().shutdown_grace } else { Duration::ZERO }
    }
}
