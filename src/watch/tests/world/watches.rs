//! Streams and watches of [`World`]: the required items of each.

use std::collections::BTreeSet;

use super::*;
use crate::model::{Blob, Delivery as Policy};

/// Streams and watches.
impl World {
    pub(in super::super) fn open_stream(&mut self, owner_id: u64) {
        self.parties += 1;
        let address = self.parties;
        let left = self.config.watch.streams_max.saturating_sub(self.streams.len());
        let own = self.streams.values().filter(|stream| stream.owner == owner_id).count();
        let full = left == 0 || owner_id != 0 && own >= left;
        match self
            .hub
            .open_stream(&Arc::clone(&self.owners[owner_id as usize]), usize::MAX, || address)
        {
            Ok(handle) => {
                assert!(!full);
                let showing = Showing {
                    handle,
                    owner: owner_id,
                    ready: true,
                    kept: None,
                    watches: BTreeMap::new(),
                };
                self.streams.insert(address, showing);
            }
            Err(error) => assert!(full && reason(&error) == "watch.streams_max"),
        }
    }

    fn nth_stream(&self, n: usize) -> Option<u32> {
        self.streams.keys().nth(n % self.streams.len().max(1)).copied()
    }

    pub(in super::super) fn close_stream(&mut self, n: usize, slice: usize) {
        let Some(address) = self.nth_stream(n) else { return };
        let showing = self.streams.remove(&address).unwrap();
        while !self.hub.close_stream(showing.handle, slice) {}
        assert!(self.hub.close_stream(showing.handle, slice), "it stays gone");
        let asked = self.hub.cancel_watch(showing.handle, 1);
        assert!(matches!(asked, Err(StoreError::WatchNotFound(_))));
    }

    pub(in super::super) fn watch(&mut self, n: usize, watch_id: u64, request: WatchRequest) {
        let Some(address) = self.nth_stream(n) else { return };
        let (handle, owner) = (self.streams[&address].handle, self.streams[&address].owner);
        let mut expected = self.reasons_against_watch(&request);
        expected.extend(self.reasons_of_room(owner));
        if self.streams[&address].watches.contains_key(&watch_id) {
            expected.insert("WatchExists");
        }
        let result = self.hub.watch(self.now, handle, watch_id, request.clone());
        if !expected.is_empty() {
            let error = result.expect_err("it must be refused");
            assert!(expected.contains(reason(&error)), "{error:?}, not {expected:?}");
            return;
        }
        let current = self.model.revision();
        assert_eq!(result, Ok(current));
        let shown = match request.from {
            WatchFrom::Now | WatchFrom::Snapshot => current,
            WatchFrom::Revision(from) => from - 1,
        };
        let snapshot = (request.from == WatchFrom::Snapshot)
            .then(|| matching(self.model.keys_at(0), &request.range).into());
        let watching = Watching { request, shown, snapshot, ended: false };
        self.streams.get_mut(&address).unwrap().watches.insert(watch_id, watching);
    }

    pub(in super::super) fn cancel_watch(&mut self, n: usize, watch_id: u64) {
        let Some(address) = self.nth_stream(n) else { return };
        let showing = self.streams.get_mut(&address).unwrap();
        let expected = match showing.watches.remove(&watch_id) {
            Some(_) => Ok(()),
            None => Err(StoreError::WatchNotFound(watch_id)),
        };
        assert_eq!(self.hub.cancel_watch(showing.handle, watch_id), expected);
    }

    pub(in super::super) fn ready(&mut self, n: usize) {
        let Some(address) = self.nth_stream(n) else { return };
        let showing = self.streams.get_mut(&address).unwrap();
        showing.ready = true;
        showing.kept = None;
        self.hub.ready(showing.handle, usize::MAX);
        self.hub.note_capacity(showing.owner);
    }

    /// Takes the batch of the next stream; returns whether there was work to do.
    pub(in super::super) fn show(&mut self) -> bool {
        let (handle, batch) = match self.hub.next_batch() {
            NextBatch::Batch(handle, batch) => (handle, batch),
            NextBatch::Again => return true,
            NextBatch::Idle => return false,
        };
        let address = self.take_batch(handle, &batch);
        if let Some(showing) = self.streams.get_mut(&address) {
            showing.kept = Some(batch);
        }
        true
    }

    /// Checks a stream's batch; returns its party.
    pub(super) fn take_batch(&mut self, handle: WatcherHandle, batch: &EventBatch) -> u32 {
        let address = *self.hub.address(handle).expect("a stream that is there");
        let showing = self.streams.get_mut(&address).expect("a stream that is open");
        assert!(std::mem::take(&mut showing.ready), "at most one batch ahead of its consumer");
        assert!(!batch.deliveries.is_empty());
        for delivery in &batch.deliveries {
            let id = delivery.watch_id;
            let watching = showing.watches.get_mut(&id).expect("a watch that is there");
            if !matches!(delivery.update, WatchUpdate::Ended(_)) {
                assert_eq!(delivery.view.previous, watching.request.previous);
                assert_eq!(delivery.view.keys_only, watching.request.keys_only);
            }
            if watching.take(&self.model, batch, &delivery.update) {
                showing.watches.remove(&id);
            }
        }
        address
    }

    fn reasons_against_watch(&self, request: &WatchRequest) -> Reasons {
        let mut reasons = Reasons::new();
        self.model.refuse_range(&request.range, &mut reasons);
        if !request.puts && !request.deletes {
            reasons.insert("InvalidArgument");
        }
        if request.progress.is_some_and(|one| one < self.config.watch.progress_interval_min) {
            reasons.insert("watch.progress_interval_min");
        }
        if let WatchFrom::Revision(from) = request.from {
            if from < self.model.oldest {
                reasons.insert("Compacted");
            }
            if from > self.model.revision() + 1 {
                reasons.insert("Future");
            }
        }
        reasons
    }
}

impl Watching {
    /// Checks the watch's items; returns whether the watch has ended.
    fn take(&mut self, model: &Model, batch: &EventBatch, update: &WatchUpdate) -> bool {
        match update {
            WatchUpdate::Snapshot { revision, kvs } => {
                assert_eq!(*revision, self.shown);
                assert!(!kvs.is_empty());
                let left = self.snapshot.as_mut().expect("one snapshot");
                let expected: Vec<_> = left.drain(..kvs.len()).collect();
                assert_eq!(*kvs, expected);
            }
            WatchUpdate::SnapshotEnd { revision } => {
                assert_eq!(*revision, self.shown);
                let left = self.snapshot.take().expect("one end of the snapshot");
                assert!(left.is_empty(), "{left:?}");
            }
            WatchUpdate::Events { first, count, revision, skipped } => {
                let events = batch.events_of(*first, *count);
                self.take_events(model, events, *revision, *skipped);
            }
            WatchUpdate::Progress { revision } => {
                assert!(self.snapshot.is_none() && self.request.progress.is_some());
                assert_eq!(*revision, model.revision());
                assert_eq!(self.due(model, *revision), Vec::<&Event>::new());
                self.shown = *revision;
            }
            WatchUpdate::Ended(error) => {
                self.take_end(model, error);
                return true;
            }
        }
        false
    }

    /// Returns the events up to `revision` that were not shown yet.
    pub(super) fn due<'a>(&self, model: &'a Model, revision: Revision) -> Vec<&'a Event> {
        let wanted = |event: &&Event| {
            let kind = match event.kind() {
                EventKind::Put => self.request.puts,
                EventKind::Delete => self.request.deletes,
            };
            kind && self.request.range.contains(&event.kv.key)
        };
        let new = |event: &&Event| (self.shown + 1..=revision).contains(&event.revision());
        model.log.iter().filter(new).filter(wanted).collect()
    }

    fn take_events(&mut self, model: &Model, events: &[Event], revision: Revision, skipped: u64) {
        assert!(self.snapshot.is_none(), "the snapshot comes first");
        assert!(!events.is_empty() && revision > self.shown && revision <= model.revision());
        let mut expected = self.due(model, revision);
        let all = expected.len();
        if self.request.delivery == Policy::Latest {
            let mut seen: BTreeSet<&Blob> = BTreeSet::new();
            let everything = self.due(model, model.revision());
            let newest: Vec<&Event> =
                everything.into_iter().rev().filter(|event| seen.insert(&event.kv.key)).collect();
            expected.retain(|event| newest.contains(event));
        }
        let shown = expected.iter().map(|event| Event {
            kv: Arc::clone(&event.kv),
            previous: event.previous.clone().filter(|_| self.request.previous),
        });
        assert_eq!(events, shown.collect::<Vec<_>>());
        assert_eq!(skipped as usize, all - expected.len());
        self.shown = revision;
    }

    fn take_end(&self, model: &Model, error: &StoreError) {
        match error {
            StoreError::Overtaken { resume } => {
                assert_eq!(*resume, model.oldest);
                let behind = if self.snapshot.is_some() { self.shown } else { self.shown + 1 };
                assert!(behind < model.oldest, "nothing it needed was compacted");
            }
            StoreError::EndedByOperator { resume }
            | StoreError::Stopping { resume: Some(resume) } => {
                assert!(self.ended || matches!(error, StoreError::Stopping { .. }));
                if self.snapshot.is_some() {
                    assert_eq!(*resume, self.shown, "the state is not complete");
                } else {
                    assert!(*resume > self.shown && *resume <= model.revision() + 1);
                    let mut missed = self.due(model, resume - 1);
                    if self.request.delivery == Policy::Latest {
                        // An event may have been skipped in favour of a later one.
                        let left = self.due(model, model.revision());
                        let left = &left[missed.len()..];
                        missed.retain(|event| left.iter().all(|at| at.kv.key != event.kv.key));
                    }
                    assert!(missed.is_empty(), "{missed:?}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
}
