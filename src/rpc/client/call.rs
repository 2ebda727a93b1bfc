//! [`Call`]: a request in progress and its future answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::inbound::{CallOutcome, ServerAnswer};
use super::jobs::reserved;
use super::reason::closed;
use super::shared::ClientHandle;
use crate::error::{Error, ErrorCode};

/// A request in progress. Await it for the answer, poll it with [`try_take`](Self::try_take), or drop
/// it to cancel the request.
///
/// Errors: those of the method that made it. Cancel: dropping it notifies the server, which drops the
/// request if it has not begun; a request that was not sent yet is not sent. Jobs that were reserved
/// for it are given back.
#[must_use = "dropping a call cancels it"]
pub struct Call<T> {
    id: u64,
    receiver: oneshot::Receiver<CallOutcome>,
    /// `None` once the answer was taken.
    handle: Option<Arc<ClientHandle>>,
    fit: fn(ServerAnswer) -> Result<T, Error>,
}

impl<T> Call<T> {
    pub(super) fn new(
        id: u64,
        receiver: oneshot::Receiver<CallOutcome>,
        handle: Arc<ClientHandle>,
        fit: fn(ServerAnswer) -> Result<T, Error>,
    ) -> Self {
        Self { id, receiver, handle: Some(handle), fit }
    }

    /// Returns whether the answer is available or was taken.
    pub fn is_done(&self) -> bool {
        self.handle.is_none() || !self.receiver.is_empty()
    }

    /// Returns the answer if it is available and was not taken.
    pub fn try_take(&mut self) -> Option<Result<T, Error>> {
        self.handle.as_ref()?;
        match self.receiver.try_recv() {
            Ok(outcome) => Some(self.taken(outcome)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(self.taken(Err(closed()))),
        }
    }

    fn taken(&mut self, outcome: CallOutcome) -> Result<T, Error> {
        self.handle = None;
        outcome.and_then(self.fit)
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        if call.handle.is_none() {
            let error = Error::new(ErrorCode::Internal, "the answer of this call was taken before");
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut call.receiver).poll(context).map(|outcome| {
            // Without an answer, the sender is dropped only together with everything else.
            call.taken(outcome.unwrap_or_else(|_| Err(closed())))
        })
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let Some(handle) = &self.handle else { return };
        // From here on, an answer either is there or finds the receiver closed.
        self.receiver.close();
        match self.receiver.try_recv() {
            Ok(outcome) => {
                let jobs: Vec<_> = reserved(&outcome).iter().map(|job| job.reservation).collect();
                if !jobs.is_empty() {
                    handle.with(|session, now| session.give_back(jobs, now));
                }
            }
            Err(_) => handle.with(|session, _| session.abandon(self.id)),
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("id", &self.id).field("done", &self.is_done()).finish()
    }
}
