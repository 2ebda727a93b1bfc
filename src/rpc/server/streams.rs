//! [`Streams`]: the streams of watches of one connection, and what they have to show.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use super::push_writer::{PushWriter, Written};
use crate::rpc::codec::CodecError;
use crate::watch::{Batch, Handle};

/// The streams of watches of one connection, by request id, and what they have to show.
#[derive(Default)]
pub(super) struct Streams {
    open: HashMap<u64, Stream, RandomState>,
    /// Those that have a batch to write and credit to do so.
    sendable: VecDeque<u64>,
}

/// A stream of watches, as the connection sees it.
struct Stream {
    handle: Handle,
    /// Bytes of pushes that the client will still take.
    credit: i64,
    /// Watches that have not ended.
    watches: usize,
    /// One, and when the service stops a last one behind it.
    batches: VecDeque<PushWriter>,
    /// It stands among the sendable.
    listed: bool,
}

impl Streams {
    pub(super) fn open(&mut self, id: u64, handle: Handle, window_bytes: u32) {
        let credit = i64::from(window_bytes);
        let stream = Stream { handle, credit, watches: 0, batches: VecDeque::new(), listed: false };
        self.open.insert(id, stream);
    }

    pub(super) fn handle(&self, id: u64) -> Option<Handle> {
        self.open.get(&id).map(|stream| stream.handle)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.open.keys().copied()
    }

    /// Forgets a stream, which the store is to close.
    pub(super) fn close(&mut self, id: u64) -> Option<Handle> {
        self.open.remove(&id).map(|stream| stream.handle)
    }

    /// Forgets all.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = Handle> + use<> {
        std::mem::take(&mut self.open).into_values().map(|stream| stream.handle)
    }

    pub(super) fn begin_watch(&mut self, id: u64) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.watches += 1;
        }
    }

    pub(super) fn end_watch(&mut self, id: u64) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.watches = stream.watches.saturating_sub(1);
        }
    }

    /// Whether nothing is watched.
    pub(super) fn are_idle(&self) -> bool {
        self.open.values().all(|stream| stream.watches == 0)
    }

    /// The peer has consumed pushes of a stream.
    pub(super) fn add_credit(&mut self, id: u64, bytes: u32) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.credit = stream.credit.saturating_add(i64::from(bytes));
        }
        self.list(id);
    }

    /// The peer asks for one push of a stream, however long.
    pub(super) fn allow_one(&mut self, id: u64) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.credit = 1;
        }
        self.list(id);
    }

    /// Takes what a stream is to show. The handle tells it from an earlier one with the same id.
    pub(super) fn show(&mut self, id: u64, handle: Handle, batch: Batch) {
        if let Some(stream) = self.open.get_mut(&id)
            && stream.handle == handle
        {
            stream.batches.push_back(PushWriter::new(batch));
            self.list(id);
        }
    }

    /// Whether any may show something.
    pub(super) fn have_more(&self) -> bool {
        !self.sendable.is_empty()
    }

    /// Has `write` write one push of the stream whose turn it is; the stream, if that used up its
    /// batch.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(u64, &mut PushWriter) -> Result<Written, CodecError>,
    ) -> Result<Option<Handle>, CodecError> {
        let Some(id) = self.sendable.pop_front() else { return Ok(None) };
        let Some(stream) = self.open.get_mut(&id) else { return Ok(None) };
        stream.listed = false;
        let Some(writer) = stream.batches.front_mut() else { return Ok(None) };
        let written = write(id, writer)?;
        stream.credit -= i64::try_from(written.body_bytes).unwrap_or(i64::MAX);
        stream.watches = stream.watches.saturating_sub(written.ended);
        let used_up = writer.is_done().then_some(stream.handle);
        if used_up.is_some() {
            stream.batches.pop_front();
        }
        self.list(id);
        Ok(used_up)
    }

    /// Lists a stream as sendable if it is.
    fn list(&mut self, id: u64) {
        if let Some(stream) = self.open.get_mut(&id)
            && !stream.batches.is_empty()
            && stream.credit > 0
            && !std::mem::replace(&mut stream.listed, true)
        {
            self.sendable.push_back(id);
        }
    }
}
