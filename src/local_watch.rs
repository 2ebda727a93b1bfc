//! [`Watch`]: a watch consumed in this process, as a stream or by an actor.

use std::any::Any;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::Recipient;
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch::Receiver as Stopped;
use tokio::task::AbortHandle;

use crate::actor::message::{LocalStream, StreamReady, Watched};
use crate::buffered::Buffered;
use crate::error::{Error, ErrorCode};
use crate::model::{Event, WatchItem};
use crate::watch::{EventBatch, View, WatchDelivery, WatchUpdate};

/// A watch in this process: a stream of [`WatchItem`]s that ends after its first error.
///
/// Holds at most one batch (`watch.batch_events_max`, `watch.batch_bytes_max`); a stream that is
/// not polled costs nothing more. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    /// Dropping it closes the stream.
    stream: Option<LocalStream>,
    batches: UnboundedReceiver<Buffered<EventBatch>>,
    items: VecDeque<Result<WatchItem, Error>>,
    /// True if the store must be notified that the last batch is consumed.
    owes_ready: bool,
    /// Keeps the node while the watch lasts, even without another handle of it.
    _node: Arc<dyn Any + Send + Sync>,
}

impl Watch {
    pub(crate) fn new(
        stream: LocalStream,
        batches: UnboundedReceiver<Buffered<EventBatch>>,
        node: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        let (stream, items) = (Some(stream), VecDeque::new());
        Self { stream, batches, items, owes_ready: false, _node: node }
    }
}

impl Stream for Watch {
    type Item = Result<WatchItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                if item.is_err() {
                    self.stream = None;
                }
                return Poll::Ready(Some(item));
            }
            let Some(stream) = &self.stream else { return Poll::Ready(None) };
            if self.owes_ready {
                // bound: one for each batch
                stream.store.do_send(StreamReady(stream.handle, usize::MAX));
                self.owes_ready = false;
            }
            match self.batches.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(batch)) => {
                    self.items = batch.items();
                    self.owes_ready = true;
                }
                Poll::Ready(None) => {
                    let error = Error::new(ErrorCode::Unavailable, "the service has stopped");
                    self.items.push_back(Err(error));
                }
            }
        }
    }
}

impl EventBatch {
    fn items(&self) -> VecDeque<Result<WatchItem, Error>> {
        self.deliveries.iter().map(|delivery| self.item(delivery)).collect()
    }

    /// Converts a delivery to an item.
    fn item(&self, delivery: &WatchDelivery) -> Result<WatchItem, Error> {
        let view = delivery.view;
        Ok(match &delivery.update {
            WatchUpdate::Events { first, count, revision, skipped } => WatchItem::Events {
                revision: *revision,
                events: self.events_of(*first, *count).iter().map(|e| view.of(e)).collect(),
                skipped: *skipped,
            },
            WatchUpdate::Snapshot { revision, kvs } => WatchItem::Snapshot {
                revision: *revision,
                kvs: kvs
                    .iter()
                    .map(
                        |kv| if view.keys_only { Arc::new(kv.without_value()) } else { kv.clone() },
                    )
                    .collect(),
            },
            WatchUpdate::SnapshotEnd { revision } => WatchItem::SnapshotEnd { revision: *revision },
            WatchUpdate::Progress { revision } => WatchItem::Progress { revision: *revision },
            WatchUpdate::Ended(error) => return Err(error.clone().into()),
        })
    }
}

impl View {
    /// Removes the parts of an event that were not requested.
    fn of(self, event: &Event) -> Event {
        let mut event = event.clone();
        if !self.previous {
            event.previous = None;
        }
        if self.keys_only {
            event.kv = Arc::new(event.kv.without_value());
            event.previous = event.previous.map(|kv| Arc::new(kv.without_value()));
        }
        event
    }
}

/// A watch whose items are sent to an actor; dropping it ends the watch.
#[derive(Debug)]
pub struct ActorWatch {
    task: AbortHandle,
}

impl ActorWatch {
    /// Spawns the task, which also ends with `stopped`, because an actor may take forever to handle
    /// its last item. It holds `alive` for as long as it lives.
    pub(crate) fn spawn(
        watch_id: u64,
        mut watch: Watch,
        to: Recipient<Watched>,
        mut stopped: Stopped<bool>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let task = actix_rt::spawn(async move {
            let tell = async {
                while let Some(item) = watch.next().await {
                    // The actor is gone, so the watch has no purpose.
                    if to.send(Watched { watch_id, item }).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = tell => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            drop(alive);
        });
        Self { task: task.abort_handle() }
    }
}

impl Drop for ActorWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
