//! The end of a [`RequestDispatcher`]: frees what its connection held.

use super::RequestDispatcher;
use crate::actor::message::{CancelWaits, CloseStream};
use crate::watch::WatcherHandle;

impl RequestDispatcher {
    /// Frees everything the connection held, a little at a time.
    pub(in crate::front) async fn free(&mut self) {
        self.jobs.end(&self.wakeful);
        self.calls.end_all();
        let slice = self.wakeful.config().store.slice_max;
        let store = self.wakeful.store();
        let waits = std::mem::take(&mut self.waits).into_values();
        let waits: Vec<WatcherHandle> = waits.map(|parked| parked.handle).collect();
        for some in waits.chunks(slice) {
            if store.send(CancelWaits(some.to_vec())).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        for stream in self.streams.close_all() {
            if store.send(CloseStream(stream)).await.is_err() {
                return;
            }
        }
    }
}

/// Frees what the connection held also if its task panics.
impl Drop for RequestDispatcher {
    fn drop(&mut self) {
        self.jobs.end(&self.wakeful);
        let store = self.wakeful.store();
        if !self.waits.is_empty() {
            // bound: once for each connection
            store.do_send(CancelWaits(self.waits.values().map(|it| it.handle).collect()));
        }
        for stream in self.streams.close_all() {
            // bound: one for each stream that was opened
            store.do_send(CloseStream(stream));
        }
    }
}
