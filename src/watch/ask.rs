//! Requests to [`Hub`]: each is executed at once, or begun and executed in slices.

use super::hub::Hub;
use crate::model::{HubRequest, KeyAction, KvCall, KvRequest, Reply, StoreRequest};
use crate::store::{Completed, IdempotentWrite, StoreError};
use crate::time::Micros;

impl<P> Hub<P> {
    /// Executes `request` to its end. Its events reach waits and streams as answers and batches.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn apply(
        &mut self,
        now: Micros,
        once: Option<IdempotentWrite>,
        request: KvRequest,
    ) -> Result<Reply, StoreError> {
        if let Some(reply) = self.begin(now, once, request.into()) {
            return reply;
        }
        self.finish_write(now);
        self.take_finished().unwrap_or(Err(StoreError::Cancelled))
    }

    /// Executes `request`. For a write of very many events, there is no reply until
    /// [`go_on`](Self::go_on) has finished it.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        now: Micros,
        once: Option<IdempotentWrite>,
        request: KvCall<'_>,
    ) -> Option<Result<Reply, StoreError>> {
        if self.is_busy() && !self.call_may_pass(&request) {
            self.finish_write(now);
            self.finish_notifying();
        }
        let before = self.state.history().end();
        let reply = self.state.begin(now, once, request).transpose()?;
        self.record(now);
        self.notify(before);
        Some(reply)
    }

    /// Answers requests about the store and its watchers.
    pub(crate) fn administer(
        &mut self,
        now: Micros,
        request: &HubRequest,
    ) -> Result<Reply, StoreError> {
        match request {
            HubRequest::Status => Ok(Reply::Status(Box::new(self.status()))),
            HubRequest::Watchers { after, limit } => self.list(*after, *limit).map(Reply::Watchers),
            HubRequest::EndWatcher(id) => {
                self.finish_write(now);
                self.finish_notifying();
                self.end(*id).map(|()| Reply::EndWatcher)
            }
        }
    }

    /// Applies about `slice` events of the large write in progress; returns whether it is complete.
    pub(crate) fn go_on(&mut self, now: Micros, slice: usize) -> bool {
        if !self.state.is_open() {
            return true;
        }
        let before = self.state.history().end();
        let Some(Completed { reply, is_expiry }) = self.state.go_on(slice) else { return false };
        self.record(now);
        self.notify(before);
        if !is_expiry {
            self.finished.push_back(reply);
        }
        true
    }

    /// Runs [`go_on`](Self::go_on) to its end.
    pub(crate) fn finish_write(&mut self, now: Micros) {
        while !self.go_on(now, usize::MAX) {}
    }

    /// Takes the reply to the first large write that is complete.
    pub(crate) fn take_finished(&mut self) -> Option<Result<Reply, StoreError>> {
        self.finished.pop_front()
    }

    /// Returns whether a large write is in progress, or its watchers are still to be notified. Every
    /// request, except those that [`may_pass`](Self::may_pass), completes both first.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.is_open() || self.is_notifying()
    }

    /// Returns whether a request can be executed while a large write is in progress or watchers are
    /// still to be notified.
    pub(crate) fn may_pass(&self, request: &StoreRequest) -> bool {
        match request {
            StoreRequest::Kv(request) => self.kv_may_pass(request),
            StoreRequest::Hub(HubRequest::Status | HubRequest::Watchers { .. }) => true,
            StoreRequest::Hub(HubRequest::EndWatcher(_)) | StoreRequest::Files(_) => false,
        }
    }

    /// Does the same for a request about one key.
    pub(crate) fn key_may_pass(&self, action: KeyAction) -> bool {
        !action.is_write() || self.write_may_pass()
    }

    fn call_may_pass(&self, request: &KvCall<'_>) -> bool {
        match request {
            KvCall::Key(view) => self.key_may_pass(view.action),
            KvCall::Owned(request) => self.kv_may_pass(request),
        }
    }

    fn write_may_pass(&self) -> bool {
        // With a journal, the events become visible later.
        !self.state.is_open() && self.state.is_journaled()
    }

    fn kv_may_pass(&self, request: &KvRequest) -> bool {
        match request {
            KvRequest::Get(_) => true,
            _ if self.state.is_open() => false,
            KvRequest::Range(_) | KvRequest::Scan(_) | KvRequest::LeaseKeepAlive(_) => true,
            KvRequest::LeaseTimeToLive(_)
            | KvRequest::LeaseList { .. }
            | KvRequest::LeaseKeys { .. } => true,
            request => request.is_write() && self.write_may_pass(),
        }
    }
}
