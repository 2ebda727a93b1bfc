//! [`WatchStream`] and [`WatchMux`]: the streams of watches.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::context::TokioContext;

use super::inbound::{CallOutcome, ServerAnswer, protocol};
use super::reason::closed;
use super::shared::ClientHandle;
use crate::error::{Error, ErrorCode};
use crate::model::{Revision, WatchFrom, WatchItem, WatchRequest};

/// Id of a watch on a [`WatchMux`]; never reused on it.
pub type WatchId = u64;

/// The items of one watch: whole revisions, in order, none lost and none twice, over any number of
/// reconnects.
///
/// A consumer that does not keep up holds about `client.watch_window_bytes`, or one revision if that is
/// larger; nothing else on the connection waits for it.
///
/// Errors: the first one ends it: `Compacted` if it fell too far behind, `StoreChanged` after a
/// reconnect to another store, `EndedByOperator`, `Unavailable` when the client is closed. Cancel:
/// dropping it frees everything, including on the server.
pub struct WatchStream {
    mux: WatchMux,
    revision: Revision,
    done: bool,
}

impl WatchStream {
    pub(super) async fn open(mux: WatchMux, request: WatchRequest) -> Result<Self, Error> {
        let from = request.from;
        let (_, added) = mux.add_at(request).await?;
        let revision = match from {
            WatchFrom::Now => added,
            WatchFrom::Revision(revision) => revision.saturating_sub(1),
            WatchFrom::Snapshot => 0,
        };
        Ok(Self { mux, revision, done: false })
    }

    /// Returns the revision up to which everything was yielded: a new watch resumes from the next one.
    /// 0 before the end of a snapshot: then, only a new snapshot can continue.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchItem, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut();
        if stream.done {
            return Poll::Ready(None);
        }
        let taken = Pin::new(&mut stream.mux).poll_next(context);
        taken.map(|taken| {
            let item = taken.map(|(_, item)| item);
            match &item {
                Some(Ok(
                    WatchItem::Events { revision, .. }
                    | WatchItem::SnapshotEnd { revision }
                    | WatchItem::Progress { revision },
                )) => stream.revision = *revision,
                Some(Ok(WatchItem::Snapshot { .. })) => {}
                Some(Err(_)) | None => stream.done = true,
            }
            item
        })
    }
}

/// Any number of watches that share one stream of the server: an event that several of them want is
/// sent once. Each behaves like a [`WatchStream`]; there is no order between them.
///
/// Yields the id of the watch with each item; after an error, that watch has ended, and the others
/// continue. Ends when the client is closed, or the server ends the stream, after an error for each
/// watch. Cancel: dropping it ends all its watches.
pub struct WatchMux {
    handle: Arc<ClientHandle>,
    stream: u64,
    deadline: Option<Duration>,
}

impl WatchMux {
    pub(super) fn new(handle: Arc<ClientHandle>, deadline: Option<Duration>) -> Self {
        let stream = handle.with(|session, _| session.make_stream());
        Self { handle, stream, deadline }
    }

    /// Adds a watch; its items are yielded with the returned id.
    ///
    /// Errors: those of a watch; `Unavailable` if the call deadline passes without a connection,
    /// `DeadlineExceeded` if it passes without an answer: no watch is left. Cancel: dropping the future
    /// withdraws the watch.
    pub async fn add(&self, request: WatchRequest) -> Result<WatchId, Error> {
        Ok(self.add_at(request).await?.0)
    }

    /// Ends a watch: nothing more of it is yielded. Unknown ids are ignored.
    pub fn cancel(&self, id: WatchId) {
        self.handle.with(|session, now| session.cancel_watch(self.stream, id, now));
    }

    /// Adds a watch; returns its id, and the revision at which the server added it.
    async fn add_at(&self, request: WatchRequest) -> Result<(WatchId, Revision), Error> {
        let (answer, added) = oneshot::channel();
        let watch =
            self.handle.with(|session, now| session.add_watch(self.stream, request, answer, now));
        let mut adding = AddWatch { mux: self, watch: Some(watch) };
        let outcome = match self.deadline {
            Some(deadline) => {
                // The caller may be a thread without a runtime, and so without timers.
                let timed = async { timeout(deadline, added).await };
                match TokioContext::new(timed, self.handle.runtime.clone()).await {
                    Ok(outcome) => outcome,
                    Err(_) => return Err(self.overdue(deadline)),
                }
            }
            None => added.await,
        };
        let revision = revision_of(outcome.unwrap_or_else(|_| Err(closed())))?;
        adding.watch = None;
        Ok((watch, revision))
    }

    fn overdue(&self, deadline: Duration) -> Error {
        let reason = self.handle.with(|session, _| session.why_down());
        match reason {
            Some(reason) => Error::new(
                ErrorCode::Unavailable,
                format!("no watch: no connection within {deadline:?} ({reason})"),
            ),
            None => Error::new(
                ErrorCode::DeadlineExceeded,
                format!("no watch: no answer within {deadline:?}"),
            ),
        }
    }
}

impl Stream for WatchMux {
    type Item = (WatchId, Result<WatchItem, Error>);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handle.with(|session, now| session.take_item(self.stream, context.waker(), now))
    }
}

impl Drop for WatchMux {
    fn drop(&mut self) {
        self.handle.with(|session, _| session.drop_stream(self.stream));
    }
}

/// Withdraws a watch unless it was added.
struct AddWatch<'a> {
    mux: &'a WatchMux,
    watch: Option<WatchId>,
}

impl Drop for AddWatch<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.watch {
            self.mux.cancel(watch);
        }
    }
}

fn revision_of(outcome: CallOutcome) -> Result<Revision, Error> {
    match outcome? {
        ServerAnswer::WatchAdd(revision) => Ok(revision),
        other => Err(protocol(format!("the reply does not fit a watch: {other:?}"))),
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchMux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchMux").field("stream", &self.stream).finish_non_exhaustive()
    }
}
