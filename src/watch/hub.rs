//! [`Hub`]: the store together with the waits and watches for its changes.
//!
//! Pure: requests and time come in; answers and batches go out as values. A watch is a cursor into the
//! history. An event only marks the watches of its key; its content is read from the history when the
//! stream's consumer is ready. An event therefore costs each watch a few nanoseconds, a slow consumer
//! costs no memory, and no event is lost between a registration and the next write, because both happen
//! here, one after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::environment::RandomState;
use slab::Slab;

use super::batch::EventBatch;
use super::notices::Notices;
use super::paused::PausedStreams;
use super::registry::WatcherRegistry;
use super::slot_set::SlotSet;
use super::stream::EventStream;
use super::watcher::{Count, Events, WaitSearch, WatchOwner, Watcher, WatcherHandle, WatcherRole};
use crate::buffered::{Buffered, Charge};
use crate::config::WatchConfig;
use crate::fair::{ClientId, FairShares};
use crate::journal::RecordBatch as Records;
use crate::model::{Reply, StatusReply, WaitOutcome, WatcherInfo, WatcherKind, WatchersReply};
use crate::store::{EventSeq, Mark, StoreError, StoreState};
use crate::time::Micros;

/// The store and its watchers; `P` addresses the party that waits.
#[derive(Debug)]
pub(crate) struct Hub<P> {
    pub(super) state: StoreState,
    pub(super) config: WatchConfig,
    pub(super) watchers: Slab<Watcher<P>>,
    /// The occupied slots of `watchers`, for listing them.
    places: SlotSet,
    pub(super) streams: Slab<EventStream<P>>,
    pub(super) registry: WatcherRegistry,
    pub(super) generation: u32,
    pub(super) waits: usize,
    /// The deadlines of waits and progress marks, with their watchers.
    pub(super) deadlines: BTreeSet<(Micros, u32)>,
    /// The number of watchers of each connection.
    pub(super) owners: HashMap<u64, usize, RandomState>,
    /// The watchers and streams of each client.
    pub(super) watcher_shares: FairShares<ClientId>,
    pub(super) stream_shares: FairShares<ClientId>,
    /// The waits that still search, by owner, and the owner whose turn it is, or the next one after it.
    pub(super) searching: BTreeSet<(u64, u32)>,
    pub(super) search_turn: u64,
    /// The number of keys and events that a wait examines before it is parked.
    pub(super) looks_max: usize,
    /// The streams that have something to show and a consumer that is ready.
    pub(super) touched: VecDeque<WatcherHandle>,
    pub(super) paused: PausedStreams,
    pub(super) answers: Vec<WaitAnswer<P>>,
    /// The events whose watchers are not all notified yet.
    pub(super) notices: Notices,
    /// The replies to large writes that are complete, in the order of the writes.
    pub(super) finished: VecDeque<Result<Reply, StoreError>>,
    /// The changes that were not handed to the journal yet; empty without a journal.
    records: Records,
}

/// The answer to a wait.
#[derive(Debug)]
pub(crate) struct WaitAnswer<P> {
    pub(crate) address: P,
    pub(crate) outcome: Result<WaitOutcome, StoreError>,
}

impl<P> Hub<P> {
    pub(crate) fn new(state: StoreState, config: WatchConfig) -> Self {
        let looks_max = state.config().steps_max;
        Self {
            state,
            config,
            watchers: Slab::new(),
            places: SlotSet::default(),
            streams: Slab::new(),
            registry: WatcherRegistry::default(),
            generation: 0,
            waits: 0,
            deadlines: BTreeSet::new(),
            owners: HashMap::default(),
            watcher_shares: FairShares::default(),
            stream_shares: FairShares::default(),
            searching: BTreeSet::new(),
            search_turn: 0,
            looks_max,
            touched: VecDeque::new(),
            paused: PausedStreams::default(),
            answers: Vec::new(),
            notices: Notices::default(),
            finished: VecDeque::new(),
            records: Records::new(),
        }
    }

    pub(crate) fn state(&self) -> &StoreState {
        &self.state
    }

    /// Returns the consumer of a stream.
    pub(crate) fn address(&self, stream: WatcherHandle) -> Option<&P> {
        self.stream(stream).ok().map(|stream| &stream.address)
    }

    /// Warms the cache for several requests that will be executed one after another.
    pub(crate) fn prefetch<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        writes: usize,
    ) {
        self.state.prefetch(keys, writes);
    }

    /// Does the work that is due, up to about `slice_max` units.
    pub(crate) fn advance(&mut self, now: Micros) {
        let slice = self.state.config().slice_max;
        self.state.reclaim(slice);
        let (mut work, mut watchers) = (0, slice);
        if self.state.is_open() {
            self.go_on(now, slice);
            work = slice;
        }
        // One lease at a time: with a short history, the next one might compact the events of the last.
        while work < slice && self.notify_some(&mut watchers) {
            let before = self.state.history().end();
            let Some(deleted) = self.state.begin_to_expire(now) else { break };
            if self.state.is_open() {
                break;
            }
            self.record(now);
            self.begin_to_notify(before);
            work += 1 + deleted;
        }
        // Deadlines and searches report everything up to the visible revision as considered.
        if !self.notify_some(&mut watchers) {
            return;
        }
        for _ in 0..slice {
            let Some((deadline, index)) = self.deadlines.first().copied() else { break };
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            self.due(now, index);
        }
        self.search(slice);
    }

    /// Compacts the events of the last revision, if the history has no others.
    pub(crate) fn give_up_last_revision(&mut self, now: Micros) {
        self.state.give_up_last_revision();
        self.record(now);
    }

    pub(crate) fn state_mut(&mut self) -> &mut StoreState {
        &mut self.state
    }

    /// Returns the changes since the journal was last handed some.
    pub(crate) fn records(&mut self) -> &mut Records {
        &mut self.records
    }

    /// Makes changes up to `mark`, which are now durable, visible: up to `slice` revisions of them, and
    /// notifies about `slice_max` watchers; returns whether everything is visible. Goes revision by
    /// revision, so that a condition is judged by the state of each.
    pub(crate) fn show_some(&mut self, mark: Mark, slice: usize) -> bool {
        let mut watchers = self.state.config().slice_max;
        for _ in 0..slice {
            if !self.notify_some(&mut watchers) {
                return false;
            }
            let next = self.state.visible() + 1;
            if next > mark.revision {
                break;
            }
            let before = self.state.history().end();
            self.state.show(next);
            self.begin_to_notify(before);
        }
        let all = self.notify_some(&mut watchers) && self.state.visible() >= mark.revision;
        if all {
            self.state.settle(mark);
        }
        all
    }

    /// Runs [`show_some`](Self::show_some) to its end.
    #[cfg(test)]
    pub(crate) fn show_up_to(&mut self, mark: Mark) {
        while !self.show_some(mark, 1) {}
    }

    pub(super) fn record(&mut self, now: Micros) {
        // A large write becomes one record, at its end.
        if !self.state.is_journaled() || self.state.is_open() {
            return;
        }
        let state = &mut self.state;
        self.records.push_if(|out| state.take_record(now, out));
    }

    /// Returns whether [`advance`](Self::advance) left work that is already due.
    pub(crate) fn must_advance(&self, now: Micros) -> bool {
        self.state.must_reclaim()
            || !self.searching.is_empty()
            || self.is_busy()
            || !self.touched.is_empty()
            || self.paused.may_go_on()
            || self.next_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Returns the time at which [`advance`](Self::advance) has work to do.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        let watchers = self.deadlines.first().map(|(deadline, _)| *deadline);
        watchers.into_iter().chain(self.state.next_deadline()).min()
    }

    /// Takes the answers to waits since the last call.
    pub(crate) fn take_answers(&mut self) -> Vec<WaitAnswer<P>> {
        std::mem::take(&mut self.answers)
    }

    /// Returns whether [`next_batch`](Self::next_batch) has a stream to look at.
    pub(crate) fn has_batch(&self) -> bool {
        self.is_notifying() || !self.touched.is_empty() || self.paused.may_go_on()
    }

    /// Returns the batch of the next ready stream, whose consumer is then not ready until
    /// [`ready`](Self::ready) is called.
    ///
    /// Each call reads up to a few thousand events of the history. Returns `Idle` when there is nothing
    /// to read now, and `Again` when it read some events and found nothing to show, or notified some
    /// watchers of the newest events: nothing is shown before all of them are notified.
    pub(crate) fn next_batch(&mut self) -> NextBatch {
        if self.is_notifying() {
            self.notify_some(&mut { self.state.config().slice_max });
            return NextBatch::Again;
        }
        if self.touched.is_empty() {
            self.resume_paused();
        }
        while let Some(handle) = self.touched.pop_front() {
            let Ok(stream) = self.stream(handle) else { continue };
            if !stream.touched {
                continue;
            }
            let owner = Arc::clone(&stream.owner);
            let allowance = owner.buffered.allowance();
            if allowance.bytes == 0 {
                self.pause(&owner, handle);
                return NextBatch::Again;
            }
            let (batch, held_back) = self.collect(handle, allowance);
            let Ok(stream) = self.stream_mut(handle) else { continue };
            if batch.deliveries.is_empty() && held_back {
                self.pause(&owner, handle);
                return NextBatch::Again;
            }
            stream.touched = false;
            if !batch.deliveries.is_empty() {
                stream.credit = 0;
                let charge = Charge::new(&owner.buffered, batch.bytes());
                return NextBatch::Batch(handle, Buffered::new(batch, charge));
            }
            if !stream.queue.is_empty() {
                stream.touched = true;
                self.touched.push_back(handle);
            }
            return NextBatch::Again;
        }
        if self.paused.may_go_on() { NextBatch::Again } else { NextBatch::Idle }
    }

    /// Handles a deadline of `index`: a wait's timeout, or a progress mark.
    fn due(&mut self, now: Micros, index: u32) {
        match self.watchers.get(index as usize).map(|watcher| &watcher.role) {
            Some(WatcherRole::Wait(_)) => self.time_out(index),
            Some(WatcherRole::Watch(_)) => self.mark_progress(now, index),
            None => {}
        }
    }

    /// Checks the limits for one more watcher: of this owner, of its client and in all.
    pub(super) fn check_capacity(&self, owner: &WatchOwner) -> Result<(), StoreError> {
        let what = "too many waits and watches; try again later";
        let (shares, max) = (&self.watcher_shares, self.config.watches_max);
        StoreError::share(shares, owner.client, "watch.watches_max", max, what)?;
        let max = self.config.watches_per_connection_max;
        if owner.id != 0 && self.owners.get(&owner.id).is_some_and(|count| *count >= max) {
            let what = "too many waits and watches on this connection; end some first";
            return Err(StoreError::limit("watch.watches_per_connection_max", max, what));
        }
        Ok(())
    }

    /// Adds a watcher that was checked; registers it unless it searches first.
    pub(super) fn insert(&mut self, owner: &WatchOwner, watcher: Watcher<P>) -> WatcherHandle {
        self.watcher_shares.take(owner.client, 1);
        if owner.id != 0 {
            *self.owners.entry(owner.id).or_default() += 1;
        }
        self.waits += usize::from(matches!(watcher.role, WatcherRole::Wait(_)));
        let generation = watcher.generation;
        let index = self.watchers.insert(watcher) as u32;
        self.places.insert(index);
        if let Some(watcher) = self.watchers.get(index as usize) {
            self.registry.insert(&watcher.range, index);
        }
        WatcherHandle { index, generation }
    }

    /// Removes a watcher from every table.
    pub(super) fn remove(&mut self, index: u32) -> Option<Watcher<P>> {
        let watcher = self.watchers.try_remove(index as usize)?;
        self.places.remove(index);
        self.registry.remove(&watcher.range, index);
        let (deadline, owner) = match &watcher.role {
            WatcherRole::Wait(wait) => {
                self.waits -= 1;
                self.searching.remove(&(wait.owner.id, index));
                (wait.deadline, Some(&wait.owner))
            }
            WatcherRole::Watch(watch) => {
                let stream = self.streams.get(watch.stream as usize);
                (watch.progress_due, stream.map(|stream| &stream.owner))
            }
        };
        self.deadlines.remove(&(deadline, index));
        let Some(WatchOwner { id, client, .. }) = owner.map(|owner| &**owner) else {
            return Some(watcher);
        };
        self.watcher_shares.give_back(*client, 1);
        if let Some(count) = self.owners.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(id);
            }
        }
        Some(watcher)
    }

    pub(super) fn new_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    pub(super) fn find(&self, handle: WatcherHandle) -> Option<&Watcher<P>> {
        self.watchers
            .get(handle.index as usize)
            .filter(|watcher| watcher.generation == handle.generation)
    }

    /// Returns the number of open streams.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn status(&self) -> StatusReply {
        StatusReply {
            waits: self.waits as u64,
            watches: (self.watchers.len() - self.waits) as u64,
            streams: self.streams.len() as u64,
            ..self.state.status()
        }
    }

    pub(super) fn list(&self, after: u64, limit: usize) -> Result<WatchersReply, StoreError> {
        let limit = self.state.page_limit(limit)?;
        // Continues from the slot of the last one listed, which another watcher may have taken since.
        let found = self
            .places
            .from(WatcherHandle::from_u64(after).index)
            .filter_map(|index| Some(self.describe(index, self.watchers.get(index as usize)?)))
            .filter(|watcher| watcher.id > after);
        let bytes_max = self.state.config().range_bytes_max;
        let (mut watchers, mut bytes, mut more) = (Vec::new(), 0, false);
        for watcher in found {
            bytes += watcher.owner.len() + watcher.range.bytes();
            more = watchers.len() == limit || bytes > bytes_max && !watchers.is_empty();
            if more {
                break;
            }
            watchers.push(watcher);
        }
        Ok(WatchersReply { revision: self.state.visible(), watchers, more })
    }

    fn describe(&self, index: u32, watcher: &Watcher<P>) -> WatcherInfo {
        let (kind, owner, behind) = match &watcher.role {
            WatcherRole::Wait(wait) => (
                WatcherKind::Wait,
                Some(&wait.owner),
                wait.search.as_ref().map_or(0, |search| match **search {
                    WaitSearch::Events(Events { cursor, .. }) if cursor != 0 => self.behind(cursor),
                    WaitSearch::Count(Count { first, .. }) => self.behind(first),
                    WaitSearch::Events(_) | WaitSearch::Keys { .. } => 0,
                }),
            ),
            WatcherRole::Watch(watch) => {
                let behind = match &watch.snapshot {
                    Some(snapshot) => self.state.visible() - snapshot.revision,
                    None if watch.cursor == 0 => 0,
                    None => self.behind(watch.cursor),
                };
                let stream = self.streams.get(watch.stream as usize);
                (WatcherKind::Watch, stream.map(|stream| &stream.owner), behind)
            }
        };
        WatcherInfo {
            id: WatcherHandle { index, generation: watcher.generation }.to_u64(),
            kind,
            owner: owner.map(|owner| owner.name.clone()).unwrap_or_default(),
            range: watcher.range.clone(),
            behind,
        }
    }

    /// Returns the number of revisions from the event at `cursor` on; all in the history, if the event
    /// is compacted.
    fn behind(&self, cursor: EventSeq) -> u64 {
        let history = self.state.history();
        let revision = match history.get(cursor) {
            Some(entry) => entry.event.revision(),
            None if cursor >= history.end() => return 0,
            None => history.oldest(),
        };
        self.state.visible() + 1 - revision
    }

    pub(super) fn end(&mut self, id: u64) -> Result<(), StoreError> {
        let handle = WatcherHandle::from_u64(id);
        let watcher = self.find(handle).ok_or(StoreError::WatchNotFound(id))?;
        match &watcher.role {
            WatcherRole::Wait(_) => {
                let unfinished = self.unfinished();
                self.end_wait(handle.index, |resume| match resume {
                    Some(resume) => StoreError::EndedByOperator { resume },
                    None => unfinished,
                });
            }
            WatcherRole::Watch(_) => {
                self.end_watch(handle.index);
            }
        }
        Ok(())
    }

    /// Ends up to `slice` waits and watches, from the slot `first` on, because the service stops. Returns
    /// the last batches of their streams, and the slot to continue from; `None` after the last one. All
    /// watchers of the newest events must be notified.
    pub(crate) fn end_some(
        &mut self,
        first: u32,
        slice: usize,
    ) -> (Vec<(WatcherHandle, EventBatch)>, Option<u32>) {
        debug_assert!(!self.is_notifying(), "a condition that is met is answered first");
        let slots: Vec<u32> = self.places.from(first).take(slice).collect();
        self.state.count_steps(slots.len());
        let mut last = BTreeMap::<u32, EventBatch>::new();
        for index in &slots {
            match self.watchers.get(*index as usize).map(|watcher| &watcher.role) {
                Some(WatcherRole::Wait(_)) => {
                    self.end_wait(*index, |resume| StoreError::Stopping { resume });
                }
                Some(WatcherRole::Watch(watch)) => {
                    let stream = watch.stream;
                    let delivery = self.end_for_stop(*index);
                    last.entry(stream).or_default().deliveries.extend(delivery);
                }
                None => {}
            }
        }
        let handle = |index: u32| {
            let stream = self.streams.get(index as usize)?;
            Some(WatcherHandle { index, generation: stream.generation })
        };
        let last = last.into_iter().filter_map(|(stream, batch)| Some((handle(stream)?, batch)));
        let next = slots.last().filter(|_| slots.len() == slice).map(|index| index + 1);
        (last.collect(), next)
    }

    /// Runs [`end_some`](Self::end_some) to its end.
    #[cfg(test)]
    pub(crate) fn stop(&mut self) -> Vec<(WatcherHandle, EventBatch)> {
        self.finish_notifying();
        let (mut last, mut next) = (Vec::new(), Some(0));
        while let Some(first) = next {
            let (batches, more) = self.end_some(first, 2);
            last.extend(batches);
            next = more;
        }
        last
    }
}

/// The result of [`Hub::next_batch`].
pub(crate) enum NextBatch {
    /// A batch for this stream.
    Batch(WatcherHandle, Buffered<EventBatch>),
    /// There may be a batch in the next turn.
    Again,
    /// There is nothing to show.
    Idle,
}
