//! [`Streams`]: the streams of watches of one connection, and their batches.

use std::collections::{HashMap, VecDeque};

use crate::environment::RandomState;

use super::pending_request::{PendingWatch, WatchScope};
use super::protocol::End;
use super::push_cursor::{PushCursor, WrittenPush};
use crate::actor::message::StreamReady;
use crate::auth::Access;
use crate::buffered::Buffered;
use crate::store::StoreError;
use crate::watch::{EventBatch, WatcherHandle};

/// The streams of watches of one connection, by request id, and their batches.
#[derive(Default)]
pub(super) struct Streams {
    open: HashMap<u64, ConnectionStream, RandomState>,
    /// Streams that have a batch to write and credit for it.
    sendable: VecDeque<u64>,
}

/// The connection's part of a stream of watches.
struct ConnectionStream {
    handle: WatcherHandle,
    /// Bytes of pushes that the client will still take.
    credit: i64,
    /// True if the store knows that the client takes more, or its last batch is not used up.
    asked: bool,
    /// Watches that have not ended.
    watches: usize,
    /// The scopes of the watches; only on a server with users.
    interests: HashMap<u64, WatchScope, RandomState>,
    /// True if the connection ended some watches, of which the store may still send events.
    cut: bool,
    /// At most one, and behind it a last one when the node stops.
    batches: VecDeque<PushCursor>,
    /// True while the stream is in `sendable`.
    listed: bool,
}

impl ConnectionStream {
    /// Returns the message to the store if the client takes more and the store does not know yet.
    fn ask(&mut self) -> Option<StreamReady> {
        let credit = usize::try_from(self.credit).unwrap_or(0);
        let asks = credit > 0 && !self.asked;
        self.asked |= asks;
        asks.then_some(StreamReady(self.handle, credit))
    }

    fn end(&mut self, watch_id: u64) {
        self.watches = self.watches.saturating_sub(1);
        self.interests.remove(&watch_id);
    }
}

impl Streams {
    pub(super) fn open(&mut self, id: u64, handle: WatcherHandle, window_bytes: u32) {
        let credit = i64::from(window_bytes);
        let stream = ConnectionStream {
            handle,
            credit,
            asked: credit > 0,
            watches: 0,
            interests: HashMap::default(),
            cut: false,
            batches: VecDeque::new(),
            listed: false,
        };
        self.open.insert(id, stream);
    }

    pub(super) fn handle(&self, id: u64) -> Option<WatcherHandle> {
        self.open.get(&id).map(|stream| stream.handle)
    }

    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = u64> {
        self.open.keys().copied()
    }

    /// Removes a stream; the store must close the returned handle.
    pub(super) fn close(&mut self, id: u64) -> Option<WatcherHandle> {
        self.open.remove(&id).map(|stream| stream.handle)
    }

    /// Removes all streams; the store must close the returned handles.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = WatcherHandle> + use<> {
        std::mem::take(&mut self.open).into_values().map(|stream| stream.handle)
    }

    /// Notes that a watch has begun, with its scope on a server with users.
    pub(super) fn begin_watch(&mut self, id: u64, awaits: Option<Box<PendingWatch>>) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.watches += 1;
            stream.interests.extend(awaits.map(|awaits| (awaits.watch_id, awaits.interest)));
        }
    }

    pub(super) fn end_watch(&mut self, id: u64, watch_id: u64) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.end(watch_id);
        }
    }

    /// Ends the watches that are no longer permitted: only their end is still sent. The store must
    /// cancel the returned watches.
    pub(super) fn end_denied(&mut self, access: &Access) -> Vec<(WatcherHandle, u64)> {
        let (mut ended, mut touched) = (Vec::new(), Vec::new());
        for (id, stream) in &mut self.open {
            let denied = stream.interests.extract_if(|_, interest| interest.is_denied(access));
            let denied: Vec<u64> = denied.map(|(watch_id, _)| watch_id).collect();
            if denied.is_empty() {
                continue;
            }
            stream.cut = true;
            stream.watches = stream.watches.saturating_sub(denied.len());
            for batch in &mut stream.batches {
                batch.keep(|watch_id| stream.interests.contains_key(&watch_id));
            }
            stream
                .batches
                .push_back(PushCursor::own(EventBatch::of_ends(&denied, &StoreError::Denied)));
            ended.extend(denied.into_iter().map(|watch_id| (stream.handle, watch_id)));
            touched.push(*id);
        }
        for id in touched {
            self.list(id);
        }
        ended
    }

    /// Returns true if there are no watches.
    pub(super) fn are_idle(&self) -> bool {
        self.open.values().all(|stream| stream.watches == 0)
    }

    /// Adds credit to a stream whose pushes the peer has consumed. Returns the message to the store.
    pub(super) fn add_credit(&mut self, id: u64, bytes: u32) -> Option<StreamReady> {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.credit = stream.credit.saturating_add(i64::from(bytes));
        }
        self.list(id);
        self.open.get_mut(&id)?.ask()
    }

    /// Allows one push of a stream, of any length. Returns the message to the store.
    pub(super) fn allow_one(&mut self, id: u64) -> Option<StreamReady> {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.credit = 1;
        }
        self.list(id);
        self.open.get_mut(&id)?.ask()
    }

    /// Takes a batch of a stream. The handle distinguishes the stream from an earlier one with the
    /// same id.
    pub(super) fn show(&mut self, id: u64, handle: WatcherHandle, batch: Buffered<EventBatch>) {
        if let Some(stream) = self.open.get_mut(&id)
            && stream.handle == handle
        {
            let mut writer = PushCursor::new(batch);
            if stream.cut {
                writer.keep(|watch_id| stream.interests.contains_key(&watch_id));
            }
            stream.batches.push_back(writer);
            self.list(id);
        }
    }

    /// Returns true if any stream can send.
    pub(super) fn have_more(&self) -> bool {
        !self.sendable.is_empty()
    }

    /// Calls `write` with one push of the next stream in turn; returns the message to the store if
    /// the batch is used up and the client takes more.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(u64, &mut PushCursor) -> Result<WrittenPush, End>,
    ) -> Result<Option<StreamReady>, End> {
        let Some(id) = self.sendable.pop_front() else { return Ok(None) };
        let Some(stream) = self.open.get_mut(&id) else { return Ok(None) };
        stream.listed = false;
        let Some(writer) = stream.batches.front_mut() else { return Ok(None) };
        let written = write(id, writer)?;
        stream.credit -= i64::try_from(written.bytes).unwrap_or(i64::MAX);
        let (own, done) = (writer.is_own(), writer.is_done());
        if let Some(watch_id) = written.ended.filter(|_| !own) {
            stream.end(watch_id);
        }
        if done {
            stream.batches.pop_front();
        }
        stream.asked &= !done || own;
        let ready = stream.ask();
        self.list(id);
        Ok(ready)
    }

    /// Adds a stream to `sendable` if it can send.
    fn list(&mut self, id: u64) {
        if let Some(stream) = self.open.get_mut(&id)
            && let Some(batch) = stream.batches.front_mut()
        {
            batch.set_uncredited(stream.credit <= 0);
            if stream.credit > 0 && !std::mem::replace(&mut stream.listed, true) {
                self.sendable.push_back(id);
            }
        }
    }
}
