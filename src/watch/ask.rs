//! Requests to [`Hub`]: each is done, or begun and done in slices.

use super::hub::Hub;
use crate::model::{Reply, Request};
use crate::store::{Micros, Once, StoreError};

impl<P> Hub<P> {
    /// Executes `request` to its end. Waits and streams get its events in the answers and batches.
    pub(crate) fn apply(
        &mut self,
        now: Micros,
        once: Option<Once>,
        request: Request,
    ) -> Result<Reply, StoreError> {
        if let Some(reply) = self.begin(now, once, request) {
            return reply;
        }
        self.finish_write(now);
        self.finished.pop_back().unwrap_or(Err(StoreError::Cancelled))
    }

    /// Executes `request`. A write of very many events is only begun, without a reply, for
    /// [`go_on`](Self::go_on).
    pub(crate) fn begin(
        &mut self,
        now: Micros,
        once: Option<Once>,
        request: Request,
    ) -> Option<Result<Reply, StoreError>> {
        if self.is_busy() && !self.may_pass(&request) {
            self.finish_write(now);
            self.finish_notifying();
        }
        let reply = match (once, request) {
            (None, Request::Status) => Ok(Reply::Status(Box::new(self.status()))),
            (None, Request::Watchers { after, limit }) => {
                self.list(after, limit).map(Reply::Watchers)
            }
            (None, Request::EndWatcher(id)) => self.end(id).map(|()| Reply::EndWatcher),
            // With a key, the state refuses whatever is no write.
            (once, request) => {
                let before = self.state.history().end();
                let reply = self.state.begin(now, once, request).transpose()?;
                self.record(now);
                self.notify(before);
                reply
            }
        };
        Some(reply)
    }

    /// Applies about `slice` events of the write that was begun; returns whether none is left.
    pub(crate) fn go_on(&mut self, now: Micros, slice: usize) -> bool {
        if !self.state.is_open() {
            return true;
        }
        let before = self.state.history().end();
        let Some(reply) = self.state.go_on(slice) else { return false };
        self.record(now);
        self.notify(before);
        if !std::mem::take(&mut self.expiring) {
            self.finished.push_back(reply);
        }
        true
    }

    /// [`go_on`](Self::go_on), to its end.
    pub(crate) fn finish_write(&mut self, now: Micros) {
        while !self.go_on(now, usize::MAX) {}
    }

    /// Takes the reply to a write that was begun and is complete.
    pub(crate) fn take_finished(&mut self) -> Option<Result<Reply, StoreError>> {
        self.finished.pop_front()
    }

    /// Whether a large write is being applied, or watchers are still to be notified of one. Any request
    /// but those that [`may_pass`](Self::may_pass) completes both first.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.is_open() || self.is_notifying()
    }

    /// Whether a request needs neither the end of a large write nor that all watchers are notified.
    pub(crate) fn may_pass(&self, request: &Request) -> bool {
        match request {
            Request::Get(_) | Request::Status | Request::Watchers { .. } => true,
            _ if self.state.is_open() => false,
            Request::Range(_) | Request::Scan(_) | Request::LeaseKeepAlive(_) => true,
            Request::LeaseTimeToLive(_) | Request::LeaseList { .. } | Request::LeaseKeys { .. } => {
                true
            }
            // With a journal, its events become visible later.
            request => request.is_write() && self.state.is_journaled(),
        }
    }
}
