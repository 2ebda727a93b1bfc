//! The end of an [`Exchange`]: what its connection held is freed.

use super::Exchange;
use crate::actor::message::{CancelWaits, CloseStream};
use crate::watch::Handle;

impl Exchange {
    /// Frees everything the connection held, a little at a time.
    pub(in crate::rpc::server) async fn free(&mut self) {
        self.jobs.end(&self.service);
        self.calls.end_all();
        let slice = self.service.config().store.slice_max;
        let store = self.service.store();
        let waits = std::mem::take(&mut self.waits).into_values();
        let waits: Vec<Handle> = waits.map(|parked| parked.handle).collect();
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

/// For the day a connection ends by a panic: what it held is freed all the same.
impl Drop for Exchange {
    fn drop(&mut self) {
        self.jobs.end(&self.service);
        let store = self.service.store();
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
