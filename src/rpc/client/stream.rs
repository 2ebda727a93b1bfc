//! [`ClientStream`]: the watches of one stream, the items that wait for its consumer, and the credit that
//! bounds them.
//!
//! Pure: pushes in, items and needs out.

mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

use self::watch::{ClientWatch, WatchInFlight, WatchPosition};
use super::inbound::{CallOutcome, Push, protocol};
use crate::error::{Details, Error};
use crate::model::{Event, KeyValue, RangeReply, Revision, WatchFrom, WatchItem, WatchRequest};
use crate::rpc::proto::WireDelivery;

pub(super) use self::watch::WatchNeed;

/// An item of a stream: the id of a watch, and its next item.
pub(super) type StreamItem = (u64, Result<WatchItem, Error>);

/// The watches of one stream.
#[derive(Debug)]
pub(super) struct ClientStream {
    /// Bytes that the server may send ahead of the consumer.
    window: u32,
    /// The number of uncredited bytes that proves a fault of the server: it may exceed the window by
    /// one frame.
    overrun: u64,
    /// The interval of progress marks that are not handed out; zero for none.
    bookmarks: Duration,
    watches: BTreeMap<u64, ClientWatch>,
    /// Watches that need a request to the server.
    need_request: Vec<u64>,
    /// The number of watches with a request to the server on this connection.
    asked: usize,
    next_watch: u64,
    queue: VecDeque<Queued>,
    /// Bytes of the items in the queue.
    queued_bytes: u64,
    /// Bytes received on this connection and not credited.
    outstanding: u64,
    /// Bytes consumed and not credited.
    consumed: u64,
    /// Counts connections: bytes from an earlier one are not credited on this one.
    epoch: u32,
    /// Whether the server has been asked to open the stream on this connection.
    pub(super) opened: bool,
    /// The reason why there are no more watches: the client is closed, or the server ended the stream.
    over: Option<Error>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Queued {
    watch: u64,
    item: Result<WatchItem, Error>,
    /// Bytes of the push that ends with this item; 0 for earlier items of the same push.
    bytes: u64,
    epoch: u32,
}

impl ClientStream {
    pub(super) fn new(window: u32, frame_bytes_max: usize, bookmarks: Duration) -> Self {
        Self {
            window,
            overrun: u64::from(window) + frame_bytes_max as u64,
            bookmarks,
            watches: BTreeMap::new(),
            need_request: Vec::new(),
            asked: 0,
            next_watch: 1,
            queue: VecDeque::new(),
            queued_bytes: 0,
            outstanding: 0,
            consumed: 0,
            epoch: 0,
            opened: false,
            over: None,
            waker: None,
        }
    }

    /// Adds a watch, and returns its id.
    pub(super) fn add(
        &mut self,
        request: WatchRequest,
        added: oneshot::Sender<CallOutcome>,
    ) -> Result<u64, (Error, oneshot::Sender<CallOutcome>)> {
        if let Some(error) = &self.over {
            return Err((error.clone(), added));
        }
        let id = self.next_watch;
        self.next_watch += 1;
        self.need_request.push(id);
        self.watches.insert(id, ClientWatch::new(request, added));
        Ok(id)
    }

    /// Removes a watch and its queued items; returns whether the server knows the watch.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let mut freed = 0;
        let epoch = self.epoch;
        let queued_bytes = &mut self.queued_bytes;
        self.queue.retain(|queued| {
            if queued.watch == id {
                *queued_bytes -= queued.bytes;
                freed += if queued.epoch == epoch { queued.bytes } else { 0 };
            }
            queued.watch != id
        });
        self.consumed += freed;
        let Some(watch) = self.watches.remove(&id) else { return false };
        self.asked -= usize::from(watch.asked != WatchInFlight::Nothing);
        watch.asked == WatchInFlight::Add
    }

    /// Returns whether the stream has watches.
    pub(super) fn is_active(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Returns whether the consumer has taken enough for the server to send more.
    pub(super) fn has_capacity(&self) -> bool {
        self.queued_bytes <= u64::from(self.window / 2)
    }

    /// Returns what the watches need from the server now. Pages of snapshots are requested only if
    /// there is space for them, because the flow control of pushes does not bound them.
    pub(super) fn needs(&mut self) -> Vec<(u64, WatchNeed)> {
        let room = self.has_capacity();
        let mut needs = Vec::new();
        for id in mem::take(&mut self.need_request) {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            if watch.asked != WatchInFlight::Nothing {
                continue;
            }
            let need = watch.need(self.bookmarks);
            let asked = if matches!(need, WatchNeed::Page(_)) {
                WatchInFlight::Page
            } else {
                WatchInFlight::Add
            };
            if asked == WatchInFlight::Page && !room {
                self.need_request.push(id);
            } else {
                watch.asked = asked;
                self.asked += 1;
                needs.push((id, need));
            }
        }
        needs
    }

    /// Returns whether there was a request to the server for any watch on this connection.
    pub(super) fn is_asked(&self) -> bool {
        self.asked > 0
    }

    /// Returns whether a watch still needs a request.
    pub(super) fn needs_request(&self) -> bool {
        !self.need_request.is_empty()
    }

    /// Detaches from a connection that is lost or about to be closed by the server: all watches
    /// continue on the next one. Partially received revisions are dropped and will come again.
    pub(super) fn detach(&mut self) {
        self.opened = false;
        self.epoch = self.epoch.wrapping_add(1);
        (self.outstanding, self.consumed) = (0, 0);
        self.need_request.clear();
        self.asked = 0;
        for (id, watch) in &mut self.watches {
            watch.forget();
            self.need_request.push(*id);
        }
    }

    /// Does the same as [`detach`](Self::detach) for one watch.
    pub(super) fn detach_watch(&mut self, id: u64) {
        if let Some(watch) = self.watches.get_mut(&id) {
            self.asked -= usize::from(watch.asked != WatchInFlight::Nothing);
            watch.forget();
            self.need_request.push(id);
        }
    }

    /// Notes that the server has added the watch; returns the sender that waits for that.
    pub(super) fn added(
        &mut self,
        id: u64,
        revision: Revision,
    ) -> Option<oneshot::Sender<CallOutcome>> {
        let watch = self.watches.get_mut(&id)?;
        if watch.at == WatchPosition::Start {
            match watch.request.from {
                WatchFrom::Now => watch.at = WatchPosition::Next(revision.saturating_add(1)),
                WatchFrom::Revision(from) => watch.at = WatchPosition::Next(from),
                WatchFrom::Snapshot => {}
            }
        }
        watch.added.take()
    }

    /// Reduces the rate of progress marks, if the server refused a watch because this client requested
    /// them too often; returns whether it did.
    pub(super) fn bookmark_less(&mut self, id: u64, error: &Error) -> bool {
        let Some(watch) = self.watches.get(&id) else { return false };
        let Details::Limit { name, value } = &error.details else { return false };
        let allowed = Duration::from_millis(*value);
        // The interval grows with each refusal, so a server that contradicts itself cannot cause a
        // loop.
        let less = name == "watch.progress_interval_min"
            && watch.bookmarks > Duration::ZERO
            && allowed > watch.bookmarks;
        if less {
            self.bookmarks = self.bookmarks.max(allowed);
            self.detach_watch(id);
        }
        less
    }

    /// Replaces a page with a scan, if the server refused the page because it looks at too many keys;
    /// returns whether it did.
    pub(super) fn scan_instead(&mut self, id: u64, error: &Error) -> bool {
        let Some(watch) = self.watches.get_mut(&id) else { return false };
        if watch.scans || watch.asked != WatchInFlight::Page || !error.is_limit("store.steps_max") {
            return false;
        }
        watch.scans = true;
        self.detach_watch(id);
        true
    }

    /// Ends a watch. Returns the sender that waits for it to be added; without one, queues the error.
    pub(super) fn end_watch(
        &mut self,
        id: u64,
        error: Error,
    ) -> Option<(oneshot::Sender<CallOutcome>, Error)> {
        let mut watch = self.watches.remove(&id)?;
        self.asked -= usize::from(watch.asked != WatchInFlight::Nothing);
        match watch.added.take() {
            Some(added) => Some((added, error)),
            None => {
                let error = watch.with_resume(error);
                self.enqueue(id, Err(error));
                None
            }
        }
    }

    /// Ends every watch and accepts no more.
    pub(super) fn end(&mut self, error: &Error) -> Vec<oneshot::Sender<CallOutcome>> {
        self.over.get_or_insert_with(|| error.clone());
        let ids: Vec<u64> = self.watches.keys().copied().collect();
        ids.into_iter()
            .filter_map(|id| self.end_watch(id, error.clone()))
            .map(|(added, _)| added)
            .collect()
    }

    /// Processes a push of `bytes` bytes.
    ///
    /// # Errors
    /// The server violates the window or its own counts.
    pub(super) fn push(&mut self, push: Push, bytes: u32) -> Result<(), Error> {
        self.outstanding += u64::from(bytes);
        if self.outstanding > self.overrun {
            return Err(protocol("the server sends more on a stream than was credited"));
        }
        let before = self.queue.len();
        match push {
            Push::Events { events, deliveries } => self.events(events, &deliveries)?,
            Push::Snapshot { watch, revision, kvs } => self.snapshot(watch, revision, kvs),
            Push::SnapshotEnd { watch, revision } => {
                self.mark(watch, revision, WatchItem::SnapshotEnd { revision });
            }
            Push::Progress { watch, revision } => {
                self.progress(watch, revision);
            }
            Push::Ended { watch, error } => {
                self.end_watch(watch, error);
            }
            Push::Parked { .. } => return Err(protocol("a push of a wait to a stream")),
        }
        let grown = self.queue.len() > before;
        match self.queue.back_mut() {
            Some(last) if grown => {
                last.bytes = u64::from(bytes);
                self.queued_bytes += u64::from(bytes);
            }
            // Part of a revision: the rest of it may need the whole window.
            _ => self.consumed += u64::from(bytes),
        }
        Ok(())
    }

    /// Processes the next page of a snapshot that was interrupted.
    pub(super) fn page(&mut self, id: u64, reply: RangeReply) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let (WatchPosition::Snapshot { revision, .. }, WatchInFlight::Page) =
            (&watch.at, watch.asked)
        else {
            return;
        };
        let (revision, next) = (*revision, reply.next);
        watch.asked = WatchInFlight::Nothing;
        self.asked -= 1;
        let before = self.queue.len();
        let bytes = reply.kvs.iter().map(|kv| kv.bytes() as u64).sum::<u64>();
        self.snapshot(id, revision, reply.kvs);
        if let Some(last) = self.queue.get_mut(before) {
            // Counts for `has_capacity` only: a page is not a push, so it must not be credited.
            last.epoch = self.epoch.wrapping_sub(1);
            last.bytes = bytes;
            self.queued_bytes += bytes;
        }
        match (next, self.watches.get_mut(&id)) {
            (Some(last), Some(watch)) => watch.at = WatchPosition::Snapshot { revision, last },
            _ => self.mark(id, revision, WatchItem::SnapshotEnd { revision }),
        }
        self.need_request.push(id);
    }

    /// Takes the next item; if there is none, `waker` is woken for the next one.
    pub(super) fn take(&mut self, waker: &Waker) -> Poll<Option<StreamItem>> {
        let Some(queued) = self.queue.pop_front() else {
            if self.over.is_some() {
                return Poll::Ready(None);
            }
            if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                self.waker = Some(waker.clone());
            }
            return Poll::Pending;
        };
        self.queued_bytes -= queued.bytes;
        if queued.epoch == self.epoch {
            self.consumed += queued.bytes;
        }
        Poll::Ready(Some((queued.watch, queued.item)))
    }

    /// Returns the bytes to credit now, once half of the window has been consumed.
    pub(super) fn credit(&mut self) -> Option<u32> {
        if self.consumed == 0 || self.consumed < u64::from(self.window / 2) {
            return None;
        }
        let bytes = u32::try_from(self.consumed).unwrap_or(u32::MAX);
        self.consumed -= u64::from(bytes);
        self.outstanding = self.outstanding.saturating_sub(u64::from(bytes));
        Some(bytes)
    }

    /// Takes the waker of the consumer, if there is an item for it.
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        if self.queue.is_empty() && self.over.is_none() { None } else { self.waker.take() }
    }

    fn enqueue(&mut self, watch: u64, item: Result<WatchItem, Error>) {
        self.queue.push_back(Queued { watch, item, bytes: 0, epoch: self.epoch });
    }

    fn events(&mut self, events: Vec<Event>, deliveries: &[WireDelivery]) -> Result<(), Error> {
        let mut events = Some(events);
        for (nth, delivery) in deliveries.iter().enumerate() {
            let (first, count) = (delivery.first as usize, delivery.count as usize);
            let all = events.as_deref().unwrap_or_default();
            let Some(part) = all.get(first..first.saturating_add(count)) else {
                return Err(protocol("a delivery of events that do not exist"));
            };
            // A push usually has one delivery with all of its events: no copy.
            let alone = nth + 1 == deliveries.len() && part.len() == all.len();
            let Some(watch) = self.watches.get_mut(&delivery.watch_id) else { continue };
            let part = if alone { events.take().unwrap_or_default() } else { part.to_vec() };
            if let Some(item) = watch.deliver(part, delivery) {
                self.enqueue(delivery.watch_id, Ok(item));
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, id: u64, revision: Revision, kvs: Vec<Arc<KeyValue>>) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let Some(last) = kvs.last() else { return };
        watch.at = WatchPosition::Snapshot { revision, last: last.key.clone() };
        self.enqueue(id, Ok(WatchItem::Snapshot { revision, kvs }));
    }

    /// Notes that everything up to `revision` is shown. A consumer that requested progress gets an
    /// item; for others, it is only the revision to resume from, which is compacted later than their
    /// last event.
    fn progress(&mut self, id: u64, revision: Revision) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if watch.request.progress.is_some() {
            self.mark(id, revision, WatchItem::Progress { revision });
        } else if let WatchPosition::Next(next) = &mut watch.at
            && watch.held.is_empty()
        {
            *next = revision.saturating_add(1).max(*next);
        }
    }

    /// Notes that everything up to `revision` is shown, and queues `item`, which reports that.
    fn mark(&mut self, id: u64, revision: Revision, item: WatchItem) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.at = WatchPosition::Next(revision.saturating_add(1));
        self.enqueue(id, Ok(item));
    }
}
