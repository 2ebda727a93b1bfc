//! Streams of [`Hub`]: many watches shown to one consumer, a batch at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::environment::RandomState;

use super::batch::{WatchDelivery, WatchUpdate};
use super::collect::end_error;
use super::hub::Hub;
use super::watcher::{
    StreamWatch, View, WatchOptions, WatchOwner, WatchSnapshot, Watcher, WatcherHandle, WatcherRole,
};
use crate::model::{Delivery as Policy, Event, KeyRange, Revision, WatchFrom, WatchRequest};
use crate::store::{EventSeq, StoreError};
use crate::time::Micros;

/// The number of queue entries of ended watches that a stream tolerates beyond one per watch.
const QUEUE_SLACK: usize = 64;

#[derive(Debug)]
pub(super) struct EventStream<P> {
    pub(super) generation: u32,
    pub(super) address: P,
    pub(super) owner: Arc<WatchOwner>,
    /// The bytes that the consumer takes now; 0 until it has read the last batch and accepts another.
    pub(super) credit: usize,
    /// Whether the stream is in the hub's list of streams with something to show, or paused.
    pub(super) touched: bool,
    /// The watches with something to show.
    pub(super) queue: VecDeque<u32>,
    ids: HashMap<u64, u32, RandomState>,
}

impl<P> Hub<P> {
    /// Opens a stream whose consumer takes `credit` bytes.
    pub(crate) fn open_stream(
        &mut self,
        owner: &Arc<WatchOwner>,
        credit: usize,
        address: impl FnOnce() -> P,
    ) -> Result<WatcherHandle, StoreError> {
        let what = "too many streams of watches; try again later";
        let (shares, max) = (&self.stream_shares, self.config.streams_max);
        StoreError::share(shares, owner.client, "watch.streams_max", max, what)?;
        self.stream_shares.take(owner.client, 1);
        let generation = self.new_generation();
        let index = self.streams.insert(EventStream {
            generation,
            address: address(),
            owner: Arc::clone(owner),
            credit,
            touched: false,
            queue: VecDeque::new(),
            ids: HashMap::default(),
        });
        Ok(WatcherHandle { index: index as u32, generation })
    }

    /// Ends up to `slice` watches of a stream silently, and the stream when none is left; returns
    /// whether the stream has ended.
    pub(crate) fn close_stream(&mut self, handle: WatcherHandle, slice: usize) -> bool {
        let Ok(stream) = self.stream_mut(handle) else { return true };
        let watches: Vec<u32> = stream.ids.values().copied().take(slice).collect();
        for index in watches {
            self.drop_watch(index);
        }
        match self.stream(handle) {
            Ok(stream) if !stream.ids.is_empty() => false,
            Ok(stream) => {
                let (owner, client) = (stream.owner.id, stream.owner.client);
                self.paused.remove(&(owner, handle));
                self.stream_shares.give_back(client, 1);
                self.streams.try_remove(handle.index as usize);
                true
            }
            Err(_) => true,
        }
    }

    /// Adds a watch to a stream; returns the revision after which, or from which, it shows events.
    pub(crate) fn watch(
        &mut self,
        now: Micros,
        handle: WatcherHandle,
        watch_id: u64,
        request: WatchRequest,
    ) -> Result<Revision, StoreError> {
        self.finish_notifying();
        let stream = self.stream(handle)?;
        if stream.ids.contains_key(&watch_id) {
            return Err(StoreError::WatchExists(watch_id));
        }
        let owner = Arc::clone(&stream.owner);
        let progress = self.check_watch(&request)?;
        self.check_capacity(&owner)?;
        let current = self.state.visible();
        let cursor = match request.from {
            WatchFrom::Now => 0,
            WatchFrom::Revision(from) => self.first_to_show(&request.range, from)?,
            WatchFrom::Snapshot => 0,
        };
        let snapshot = (request.from == WatchFrom::Snapshot)
            .then(|| Box::new(WatchSnapshot { revision: current, after: None }));
        let due = cursor != 0 || snapshot.is_some();
        let watch = StreamWatch {
            stream: handle.index,
            watch_id,
            options: options_of(&request),
            cursor,
            skipped: 0,
            registered: true,
            queued: false,
            mark: false,
            progress,
            progress_due: now.saturating_add(progress),
            snapshot,
            ended: false,
        };
        let generation = self.new_generation();
        let range = request.range;
        let watcher = Watcher { generation, range, role: WatcherRole::Watch(watch) };
        let index = self.insert(&owner, watcher).index;
        if progress > 0 {
            self.deadlines.insert((now.saturating_add(progress), index));
        }
        if let Ok(stream) = self.stream_mut(handle) {
            stream.ids.insert(watch_id, index);
        }
        if due {
            self.queue(index);
        }
        Ok(current)
    }

    /// Ends one watch of a stream silently, without effect on the others.
    pub(crate) fn cancel_watch(
        &mut self,
        handle: WatcherHandle,
        watch_id: u64,
    ) -> Result<(), StoreError> {
        let index = self.stream(handle)?.ids.get(&watch_id).copied();
        self.drop_watch(index.ok_or(StoreError::WatchNotFound(watch_id))?);
        Ok(())
    }

    /// Notes that the consumer has read the last batch and takes `credit` bytes.
    pub(crate) fn ready(&mut self, handle: WatcherHandle, credit: usize) {
        let Ok(stream) = self.stream_mut(handle) else { return };
        stream.credit = credit;
        self.touch(handle);
    }

    fn check_watch(&self, request: &WatchRequest) -> Result<Micros, StoreError> {
        self.state.check_range(&request.range)?;
        if !request.puts && !request.deletes {
            let message = "a watch without puts and deletes shows nothing";
            return Err(StoreError::InvalidArgument(message.to_owned()));
        }
        let Some(interval) = request.progress else { return Ok(0) };
        let min = self.config.progress_interval_min;
        if interval < min {
            let what = "progress marks cannot come so often";
            return Err(StoreError::limit_ms("watch.progress_interval_min", min, what));
        }
        Ok(u64::try_from(interval.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns the first event of `range` at or after `from`; 0 if there is none so far.
    fn first_to_show(&self, range: &KeyRange, from: Revision) -> Result<EventSeq, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.visible());
        if from < oldest {
            return Err(StoreError::Compacted { asked: from, oldest, current });
        }
        if from > current + 1 {
            return Err(StoreError::Future { asked: from, oldest, current });
        }
        let history = self.state.history();
        Ok(match range {
            KeyRange::Key(key) => self.state.first_event_after(key, from - 1),
            _ => Some(history.first_of(from)).filter(|seq| *seq < history.end()).unwrap_or(0),
        })
    }

    /// Notifies a watch of a new event in its range. A watch that is behind will reach the event
    /// through its cursor, and leaves the registry until then: an event costs nothing for watches that
    /// are behind.
    pub(super) fn notify_watch(&mut self, index: u32, seq: EventSeq, event: &Event) {
        let Some(watcher) = self.watchers.get_mut(index as usize) else { return };
        let WatcherRole::Watch(watch) = &mut watcher.role else { return };
        if watch.cursor != 0 {
            watch.registered = false;
            self.registry.remove(&watcher.range, index);
            return;
        }
        if !watch.options.shows(event) {
            return;
        }
        watch.cursor = seq;
        self.queue(index);
    }

    /// Handles a progress mark that is due.
    pub(super) fn mark_progress(&mut self, now: Micros, index: u32) {
        let Some(watch) = self.watch_mut(index) else { return };
        watch.progress_due = now.saturating_add(watch.progress);
        watch.mark = true;
        let due = watch.progress_due;
        self.deadlines.insert((due, index));
        self.queue(index);
    }

    /// Ends a watch at an operator's request; its consumer learns of it in turn.
    pub(super) fn end_watch(&mut self, index: u32) {
        if let Some(watch) = self.watch_mut(index) {
            watch.ended = true;
            self.queue(index);
        }
    }

    /// Adds a watch to its stream's queue.
    fn queue(&mut self, index: u32) {
        let Some(watch) = self.watch_mut(index) else { return };
        if std::mem::replace(&mut watch.queued, true) {
            return;
        }
        let stream_index = watch.stream;
        let Some(stream) = self.streams.get_mut(stream_index as usize) else { return };
        stream.queue.push_back(index);
        let handle = WatcherHandle { index: stream_index, generation: stream.generation };
        self.touch(handle);
    }

    /// Lists a stream that has something to show to a ready consumer.
    fn touch(&mut self, handle: WatcherHandle) {
        let Ok(stream) = self.stream_mut(handle) else { return };
        if stream.credit > 0 && !stream.touched && !stream.queue.is_empty() {
            stream.touched = true;
            self.touched.push_back(handle);
        }
    }

    /// Removes a watch from its stream and from every table.
    pub(super) fn drop_watch(&mut self, index: u32) {
        let Some(Watcher { role: WatcherRole::Watch(watch), .. }) = self.remove(index) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(watch.stream as usize) {
            stream.ids.remove(&watch.watch_id);
            // Its queue entry is skipped later; frequent changes of watches must not make the queue
            // grow.
            if stream.queue.len() > 2 * stream.ids.len() + QUEUE_SLACK {
                let mut left: HashSet<u32, RandomState> = stream.ids.values().copied().collect();
                stream.queue.retain(|index| left.remove(index));
            }
        }
    }

    /// Ends a watch because the service stops; returns its last delivery, which states where to resume.
    pub(super) fn end_for_stop(&mut self, index: u32) -> Option<WatchDelivery> {
        let watch = self.watch_mut(index)?;
        let (watch_id, cursor, snapshot) = (watch.watch_id, watch.cursor, watch.snapshot.take());
        let error = end_error(&self.state, cursor, snapshot.as_deref(), |resume| {
            StoreError::Stopping { resume: Some(resume) }
        });
        self.drop_watch(index);
        let view = View { previous: false, keys_only: false };
        Some(WatchDelivery { watch_id, view, update: WatchUpdate::Ended(error) })
    }

    pub(super) fn stream(&self, handle: WatcherHandle) -> Result<&EventStream<P>, StoreError> {
        self.streams
            .get(handle.index as usize)
            .filter(|stream| stream.generation == handle.generation)
            .ok_or(StoreError::WatchNotFound(handle.to_u64()))
    }

    pub(super) fn stream_mut(
        &mut self,
        handle: WatcherHandle,
    ) -> Result<&mut EventStream<P>, StoreError> {
        self.streams
            .get_mut(handle.index as usize)
            .filter(|stream| stream.generation == handle.generation)
            .ok_or(StoreError::WatchNotFound(handle.to_u64()))
    }

    pub(super) fn watch_mut(&mut self, index: u32) -> Option<&mut StreamWatch> {
        match &mut self.watchers.get_mut(index as usize)?.role {
            WatcherRole::Watch(watch) => Some(watch),
            WatcherRole::Wait(_) => None,
        }
    }
}

fn options_of(request: &WatchRequest) -> WatchOptions {
    WatchOptions {
        puts: request.puts,
        deletes: request.deletes,
        latest: request.delivery == Policy::Latest,
        view: View { previous: request.previous, keys_only: request.keys_only },
    }
}
