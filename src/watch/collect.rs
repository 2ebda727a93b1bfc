//! Collects the next batch of a stream of [`Hub`] from the history and the current state when its
//! consumer is ready.

use std::sync::Arc;

use super::batch::{EventBatch, WatchDelivery, WatchUpdate, event_bytes, page_bytes};
use super::hub::Hub;
use super::watcher::{
    StreamWatch, View, WatchOptions, WatchSnapshot, Watcher, WatcherHandle, WatcherRole,
};
use crate::buffered::Allowance;
use crate::model::{Event, EventKind, KeyRange, Revision};
use crate::store::{EventSeq, HistoryEntry, PageCapacity, StepBudget, StoreError, StoreState};

/// The most events read from the history for one batch, in units of `batch_events_max`.
const SCAN_FACTOR: usize = 8;

/// The remaining capacity of a batch.
struct Budget {
    events: usize,
    bytes: usize,
    scan: usize,
    /// The largest item to read.
    item_max: usize,
    /// Whether something larger was held back.
    held_back: bool,
}

impl Budget {
    /// Returns whether an event must be held back because it is too large, or because it is not the
    /// `whole` revision, whose other events may be too large.
    fn must_hold_back(&mut self, bytes: usize, whole: bool) -> bool {
        self.held_back |= bytes > self.item_max || (self.item_max < usize::MAX && !whole);
        self.held_back
    }
}

impl View {
    /// Returns the part of an event that is kept until it is shown.
    fn kept_of(self, event: &Event) -> Event {
        let previous = event.previous.as_ref().filter(|_| self.previous);
        Event { kv: Arc::clone(&event.kv), previous: previous.cloned() }
    }
}

/// The state of a watch after a part was collected.
enum CollectOutcome {
    Nothing,
    Something,
    Over,
}

impl<P> Hub<P> {
    /// Reads the next batch of a stream from the history, within the consumer's credit and `allowance`;
    /// also returns whether something must wait for a larger allowance.
    pub(super) fn collect(
        &mut self,
        handle: WatcherHandle,
        allowance: Allowance,
    ) -> (EventBatch, bool) {
        let mut batch = EventBatch::default();
        let scan = self.config.batch_events_max.saturating_mul(SCAN_FACTOR);
        let credit = self.stream(handle).map_or(0, |stream| stream.credit);
        let strict = allowance.is_strict;
        let mut budget = Budget {
            // One event at a time if each must be checked for its size.
            events: if strict { 1 } else { self.config.batch_events_max },
            bytes: self.config.batch_bytes_max.min(credit),
            scan,
            item_max: if strict { allowance.bytes } else { usize::MAX },
            held_back: false,
        };
        while budget.events > 0 && budget.bytes > 0 && budget.scan > 0 && !budget.held_back {
            let next = self.stream_mut(handle).ok().and_then(|stream| stream.queue.pop_front());
            let Some(index) = next else { break };
            // A watch in the queue may have ended, and another may have its index.
            let Some(watch) = self.watch_mut(index) else { continue };
            if watch.stream != handle.index || !std::mem::take(&mut watch.queued) {
                continue;
            }
            match self.collect_watch(index, &mut batch, &mut budget) {
                CollectOutcome::Nothing => {}
                CollectOutcome::Something => self.requeue(handle, index),
                CollectOutcome::Over => self.drop_watch(index),
            }
        }
        self.state.count_steps(scan - budget.scan);
        (batch, budget.held_back)
    }

    fn requeue(&mut self, handle: WatcherHandle, index: u32) {
        if let Some(watch) = self.watch_mut(index) {
            watch.queued = true;
        }
        if let Ok(stream) = self.stream_mut(handle) {
            stream.queue.push_back(index);
        }
    }

    /// Reads the next items of one watch.
    fn collect_watch(
        &mut self,
        index: u32,
        batch: &mut EventBatch,
        budget: &mut Budget,
    ) -> CollectOutcome {
        budget.scan = budget.scan.saturating_sub(1);
        let Some(Watcher { range, role: WatcherRole::Watch(watch), .. }) =
            self.watchers.get_mut(index as usize)
        else {
            return CollectOutcome::Nothing;
        };
        let (watch_id, view) = (watch.watch_id, watch.options.view);
        let mut show = |update| batch.deliveries.push(WatchDelivery { watch_id, view, update });
        if watch.ended {
            let ended = |resume| StoreError::EndedByOperator { resume };
            let snapshot = watch.snapshot.as_deref();
            show(WatchUpdate::Ended(end_error(&self.state, watch.cursor, snapshot, ended)));
            return CollectOutcome::Over;
        }
        if watch.snapshot.is_some() {
            return collect_snapshot(&self.state, range, watch, budget, show);
        }
        if watch.cursor == 0 {
            if std::mem::take(&mut watch.mark) {
                show(WatchUpdate::Progress { revision: self.state.visible() });
            }
            return CollectOutcome::Nothing;
        }
        self.collect_events(index, batch, budget)
    }

    /// Reads events from the watch's cursor on, in whole revisions, until the budget is used up.
    fn collect_events(
        &mut self,
        index: u32,
        batch: &mut EventBatch,
        budget: &mut Budget,
    ) -> CollectOutcome {
        let history = self.state.history();
        let Some(watcher) = self.watchers.get_mut(index as usize) else {
            return CollectOutcome::Nothing;
        };
        let WatcherRole::Watch(watch) = &mut watcher.role else { return CollectOutcome::Nothing };
        let single = matches!(watcher.range, KeyRange::Key(_));
        let first = batch.events.len();
        let mut shown = 0;
        let mut cursor = watch.cursor;
        let over = loop {
            if cursor == 0 || cursor >= history.end() {
                cursor = 0;
                break false;
            }
            let Some(entry) = history.get(cursor) else { break true };
            let event = &entry.event;
            let whole = single || history.ends_revision(cursor);
            if watch.options.shows(event) && (single || watcher.range.contains(&event.kv.key)) {
                if watch.options.latest
                    && superseded(&self.state, entry, &watch.options, &mut budget.scan)
                {
                    watch.skipped += 1;
                } else {
                    let event = watch.options.view.kept_of(event);
                    let bytes = event_bytes(&event);
                    if budget.must_hold_back(bytes, whole) {
                        break false;
                    }
                    budget.events = budget.events.saturating_sub(1);
                    budget.bytes = budget.bytes.saturating_sub(bytes);
                    batch.events.push(event);
                }
            }
            budget.scan = budget.scan.saturating_sub(1);
            shown = entry.event.revision();
            cursor = if single { entry.next } else { cursor + 1 };
            let used_up = budget.events == 0 || budget.bytes == 0 || budget.scan == 0;
            if used_up && whole && cursor != 0 && cursor < history.end() {
                break false;
            }
        };
        watch.cursor = cursor;
        if cursor == 0 && !std::mem::replace(&mut watch.registered, true) {
            self.registry.insert(&watcher.range, index);
        }
        let revision = if cursor == 0 { self.state.visible() } else { shown };
        let (watch_id, view) = (watch.watch_id, watch.options.view);
        if batch.events.len() > first {
            let skipped = std::mem::take(&mut watch.skipped);
            watch.mark &= cursor != 0;
            let (first, count) = batch.share(first);
            let update = WatchUpdate::Events { first, count, revision, skipped };
            batch.deliveries.push(WatchDelivery { watch_id, view, update });
        }
        if over {
            let resume = history.oldest();
            let update = WatchUpdate::Ended(StoreError::Overtaken { resume });
            batch.deliveries.push(WatchDelivery { watch_id, view, update });
            return CollectOutcome::Over;
        }
        if cursor == 0 && !watch.mark { CollectOutcome::Nothing } else { CollectOutcome::Something }
    }
}

/// Reads the next page of a watch's snapshot.
fn collect_snapshot(
    state: &StoreState,
    range: &KeyRange,
    watch: &mut StreamWatch,
    budget: &mut Budget,
    mut show: impl FnMut(WatchUpdate),
) -> CollectOutcome {
    let Some(mut snapshot) = watch.snapshot.take() else { return CollectOutcome::Nothing };
    let revision = snapshot.revision;
    let mut steps = StepBudget::new(budget.scan);
    let room = PageCapacity::of_snapshot(budget.events, budget.bytes, budget.item_max);
    let page = state.snapshot_page(range, revision, snapshot.after, room, &mut steps);
    budget.scan = budget.scan.saturating_sub(steps.taken());
    let Ok(page) = page else {
        show(WatchUpdate::Ended(StoreError::Overtaken { resume: state.history().oldest() }));
        return CollectOutcome::Over;
    };
    budget.events = budget.events.saturating_sub(page.kvs.len());
    budget.bytes = budget.bytes.saturating_sub(page_bytes(&page.kvs));
    budget.held_back |= page.more && page.kvs.is_empty() && !steps.are_used_up();
    snapshot.after = page.next;
    if !page.kvs.is_empty() {
        show(WatchUpdate::Snapshot { revision, kvs: page.kvs });
    }
    if page.more {
        watch.snapshot = Some(snapshot);
        return CollectOutcome::Something;
    }
    show(WatchUpdate::SnapshotEnd { revision });
    if watch.cursor == 0 && !watch.mark {
        CollectOutcome::Nothing
    } else {
        CollectOutcome::Something
    }
}

/// Returns whether a later event of the same key would be shown instead; subtracts the work from
/// `scan`.
fn superseded(
    state: &StoreState,
    entry: &HistoryEntry,
    options: &WatchOptions,
    scan: &mut usize,
) -> bool {
    let history = state.history();
    let Some(next) = history.get(entry.next) else { return false };
    *scan = scan.saturating_sub(1);
    if options.shows(&next.event) {
        return true;
    }
    if next.event.kind() == EventKind::Delete {
        // A put follows a delete.
        return history.get(next.next).is_some();
    }
    // Only deletes are shown, and a put follows. A later delete exists unless that put began the key's
    // current life, however often the key was set since.
    let (shown, steps) = state.shown_in(next.slot);
    *scan = scan.saturating_sub(steps);
    shown.is_none_or(|kv| kv.create_revision != next.event.kv.create_revision)
}

/// Returns the reason for the end of a watch, with the first revision that it was not shown; for an
/// incomplete snapshot, the snapshot's revision. If that revision is compacted, the watch was overtaken
/// before it was ended.
pub(super) fn end_error(
    state: &StoreState,
    cursor: EventSeq,
    snapshot: Option<&WatchSnapshot>,
    error: impl FnOnce(Revision) -> StoreError,
) -> StoreError {
    let history = state.history();
    let resume = match snapshot {
        Some(snapshot) => Some(snapshot.revision).filter(|at| *at >= history.oldest()),
        None if cursor == 0 => Some(state.visible() + 1),
        None => history.get(cursor).map(|entry| entry.event.revision()),
    };
    resume.map_or_else(|| StoreError::Overtaken { resume: history.oldest() }, error)
}
