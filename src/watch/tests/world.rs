//! [`World`]: a hub, the model of its store, and what each consumer has been shown so far.
//!
//! Everything the hub does is checked at once: an answer must be the one that the log of events
//! asks for, a delivery must be what comes next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::model::{Blob, Delivery as Policy, KeyValue};
use crate::store::tests::model::{Model, Reasons, matching, reason};

pub(super) struct World {
    pub(super) now: Micros,
    pub(super) hub: TestHub,
    pub(super) model: Model,
    config: Config,
    /// Parked waits, by party.
    waits: BTreeMap<u32, Waiting>,
    /// Streams, by party.
    streams: BTreeMap<u32, Showing>,
    parties: u32,
}

struct Waiting {
    handle: Handle,
    owner: u64,
    request: WaitRequest,
    /// Events of later revisions count.
    after: Revision,
    deadline: Micros,
    ended: bool,
}

struct Showing {
    handle: Handle,
    owner: u64,
    ready: bool,
    watches: BTreeMap<u64, Watching>,
}

struct Watching {
    request: WatchRequest,
    /// Everything up to this revision was shown.
    shown: Revision,
    /// Keys of the state that are not shown yet, until its end is.
    snapshot: Option<VecDeque<Arc<KeyValue>>>,
    ended: bool,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let state = State::new(config.store.clone());
        Self {
            now: 0,
            hub: Hub::new(state, config.watch.clone()),
            model: Model::new(config.store.clone()),
            config,
            waits: BTreeMap::new(),
            streams: BTreeMap::new(),
            parties: 0,
        }
    }

    pub(super) fn ask(&mut self, request: Request) {
        let reply = self.hub.apply(self.now, None, request.clone());
        match (reply, self.model.apply(self.now, None, request)) {
            (Ok(reply), Ok(expected)) => assert_eq!(reply, expected),
            (Err(error), Err(reasons)) => assert!(reasons.contains(reason(&error)), "{error:?}"),
            (reply, expected) => panic!("{reply:?}, but {expected:?} was expected"),
        }
    }

    pub(super) fn advance(&mut self) {
        self.hub.advance(self.now);
        let mut work = 0;
        while work < self.config.store.slice_max {
            let Some(deleted) = self.model.expire_one(self.now) else { break };
            work += 1 + deleted;
        }
        assert_eq!(self.hub.state().revision(), self.model.revision());
    }

    /// One step is over: whoever must know of it does.
    pub(super) fn check(&mut self) {
        for Answer { party, outcome } in self.hub.take_answers() {
            let waiting = self.waits.remove(&party).expect("one answer to each wait");
            self.check_answer(&waiting, outcome);
        }
        for waiting in self.waits.values() {
            if !self.searches(waiting.handle) {
                let missed = self.first_met(&waiting.request, waiting.after);
                assert_eq!(missed, None, "missed by {:?}", waiting.request);
            }
        }
        self.check_tables();
    }

    fn check_tables(&self) {
        let watches: usize = self.streams.values().map(|stream| stream.watches.len()).sum();
        assert_eq!(self.hub.waits, self.waits.len());
        assert_eq!(self.hub.watchers.len(), self.waits.len() + watches);
        assert_eq!(self.hub.registry.len(), self.hub.watchers.len());
        assert_eq!(self.hub.streams.len(), self.streams.len());
        let marks = self.streams.values().flat_map(|stream| stream.watches.values());
        let marks = marks.filter(|watch| watch.request.progress.is_some()).count();
        assert_eq!(self.hub.deadlines.len(), self.waits.len() + marks);
        for owner in 0..3 {
            let counted = if owner == 0 { 0 } else { self.watchers_of(owner) };
            assert_eq!(self.hub.owners.get(&owner).copied().unwrap_or(0), counted);
        }
        let searching = self.waits.values().filter(|wait| self.searches(wait.handle)).count();
        assert_eq!(self.hub.searching.len(), searching);
        for (_, stream) in &self.hub.streams {
            assert!(stream.queue.len() < 100, "a queue grows");
        }
    }

    fn watchers_of(&self, owner: u64) -> usize {
        let waits = self.waits.values().filter(|wait| wait.owner == owner).count();
        let streams = self.streams.values().filter(|stream| stream.owner == owner);
        waits + streams.map(|stream| stream.watches.len()).sum::<usize>()
    }

    fn searches(&self, handle: Handle) -> bool {
        let watcher = self.hub.find(handle).expect("a wait without an answer is there");
        matches!(&watcher.role, Role::Wait(wait) if wait.search.is_some())
    }

    /// The limits that one more watcher of this owner would pass.
    fn reasons_of_room(&self, owner: u64) -> Reasons {
        let mut reasons = Reasons::new();
        if self.hub.watchers.len() >= self.config.watch.watches_max {
            reasons.insert("watch.watches_max");
        }
        if owner != 0 && self.watchers_of(owner) >= self.config.watch.watches_per_connection_max {
            reasons.insert("watch.watches_per_connection_max");
        }
        reasons
    }
}

/// Waits.
impl World {
    pub(super) fn wait(&mut self, owner_id: u64, request: WaitRequest) {
        self.parties += 1;
        let party = self.parties;
        let expected = self.reasons_against_wait(&request);
        let result = self.hub.wait(self.now, &owner(owner_id), request.clone(), || party);
        if !expected.is_empty() {
            let error = result.expect_err("it must be refused");
            assert!(expected.contains(reason(&error)), "{error:?}, not {expected:?}");
            return;
        }
        let at_once = self.holds_now(&request);
        let after = self.searched_after(&request);
        match result {
            Ok(WaitStart::Answered(outcome)) => match at_once {
                Some(expected) => assert_eq!(outcome, expected),
                None => {
                    let event = self.first_met(&request, after).expect("what it was answered with");
                    assert_eq!(outcome, met(event));
                }
            },
            Ok(WaitStart::Parked(handle, revision)) => {
                assert_eq!(at_once, None, "it holds already");
                assert_eq!(revision, self.model.revision());
                let timeout = request.timeout.unwrap_or(self.config.watch.wait_timeout_default);
                let deadline = self.now + timeout.as_micros() as Micros;
                let waiting =
                    Waiting { handle, owner: owner_id, request, after, deadline, ended: false };
                self.waits.insert(party, waiting);
            }
            Err(error) => {
                assert!(self.reasons_of_room(owner_id).contains(reason(&error)), "{error:?}");
                assert_eq!(at_once, None, "an answer needs no room");
            }
        }
    }

    pub(super) fn cancel_wait(&mut self, n: usize) {
        let Some(party) = self.waits.keys().nth(n % self.waits.len().max(1)).copied() else {
            return;
        };
        let handle = self.waits.remove(&party).unwrap().handle;
        assert_eq!(self.hub.cancel_wait(handle), Some(party));
        assert_eq!(self.hub.cancel_wait(handle), None, "it is gone");
    }

    fn reasons_against_wait(&self, request: &WaitRequest) -> Reasons {
        let mut reasons = Reasons::new();
        self.model.refuse_range(&request.range, &mut reasons);
        if request.timeout.is_some_and(|timeout| timeout > self.config.watch.wait_timeout_max) {
            reasons.insert("watch.wait_timeout_max");
        }
        if let Some(after) = request.after {
            if after < self.model.oldest - 1 {
                reasons.insert("Compacted");
            }
            if after > self.model.revision() {
                reasons.insert("Future");
            }
        }
        reasons
    }

    /// The answer to a wait that the present state gives.
    fn holds_now(&self, request: &WaitRequest) -> Option<WaitOutcome> {
        if request.after.is_some() {
            return None;
        }
        let revision = self.model.revision();
        let kvs = matching(self.model.keys_at(0), &request.range);
        let single = matches!(request.range, KeyRange::Key(_));
        let none = kvs.is_empty();
        let found = match &request.condition {
            WaitCondition::Changed => return None,
            WaitCondition::Absent if none => None,
            WaitCondition::Differs(_) if none && single => None,
            // Where all of it is in history, the first event is the answer.
            WaitCondition::ModRevisionAbove(above) if *above >= self.model.oldest - 1 => {
                return None;
            }
            condition => Some(kvs.iter().find(|kv| match condition {
                WaitCondition::Exists => true,
                WaitCondition::Equals(value) => kv.value == *value,
                WaitCondition::Differs(value) => kv.value != *value,
                WaitCondition::ModRevisionAbove(above) => kv.mod_revision > *above,
                _ => false,
            })?),
        };
        let event = found.map(|kv| Event { kv: kv.clone(), previous: None });
        Some(WaitOutcome::Met { revision, event })
    }

    /// The revision after which events count.
    fn searched_after(&self, request: &WaitRequest) -> Revision {
        let (oldest, current) = (self.model.oldest, self.model.revision());
        match (request.after, &request.condition) {
            (Some(after), _) => after,
            (None, WaitCondition::ModRevisionAbove(above)) => (*above).clamp(oldest - 1, current),
            (None, _) => current,
        }
    }

    /// The first event after `after` that makes the condition hold.
    fn first_met(&self, request: &WaitRequest, after: Revision) -> Option<Event> {
        let met = |event: &&Event| {
            let put = event.kind() == EventKind::Put;
            match &request.condition {
                WaitCondition::Changed => true,
                WaitCondition::Exists => put,
                WaitCondition::Absent => {
                    let keys = self.model.keys_at(event.revision());
                    !put && matching(keys, &request.range).is_empty()
                }
                WaitCondition::Equals(value) => put && event.kv.value == *value,
                WaitCondition::Differs(value) => !put || event.kv.value != *value,
                WaitCondition::ModRevisionAbove(above) => event.revision() > *above,
            }
        };
        let later = self.model.log.iter().filter(|event| event.revision() > after);
        later.filter(|event| request.range.contains(&event.kv.key)).find(met).cloned()
    }

    fn check_answer(&self, waiting: &Waiting, outcome: Result<WaitOutcome, StoreError>) {
        let first = self.first_met(&waiting.request, waiting.after);
        // Nothing before the revision that a wait without an answer is to resume from was missed.
        let check_resume = |resume: Revision| {
            assert!(resume > waiting.after && resume <= self.model.revision() + 1, "{resume}");
            assert!(first.as_ref().is_none_or(|event| event.revision() >= resume), "{first:?}");
        };
        match outcome {
            Ok(outcome @ WaitOutcome::Met { .. }) => {
                assert_eq!(outcome, met(first.expect("what it was answered with")));
            }
            Ok(WaitOutcome::Timeout { revision }) => {
                assert!(self.now >= waiting.deadline);
                check_resume(revision + 1);
            }
            Err(StoreError::Overtaken { resume }) => {
                assert_eq!(resume, self.model.oldest);
                assert!(resume > waiting.after + 1);
            }
            Err(StoreError::EndedByOperator { resume }) => {
                assert!(waiting.ended);
                check_resume(resume);
            }
            Err(StoreError::Stopping { resume: Some(resume) }) => check_resume(resume),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn met(event: Event) -> WaitOutcome {
    WaitOutcome::Met { revision: event.revision(), event: Some(event) }
}

/// Streams and watches.
impl World {
    pub(super) fn open_stream(&mut self, owner_id: u64) {
        self.parties += 1;
        let party = self.parties;
        let full = self.streams.len() >= self.config.watch.streams_max;
        match self.hub.open_stream(&owner(owner_id), || party) {
            Ok(handle) => {
                assert!(!full);
                let showing =
                    Showing { handle, owner: owner_id, ready: true, watches: BTreeMap::new() };
                self.streams.insert(party, showing);
            }
            Err(error) => assert!(full && reason(&error) == "watch.streams_max"),
        }
    }

    fn nth_stream(&self, n: usize) -> Option<u32> {
        self.streams.keys().nth(n % self.streams.len().max(1)).copied()
    }

    pub(super) fn close_stream(&mut self, n: usize, slice: usize) {
        let Some(party) = self.nth_stream(n) else { return };
        let showing = self.streams.remove(&party).unwrap();
        while !self.hub.close_stream(showing.handle, slice) {}
        assert!(self.hub.close_stream(showing.handle, slice), "it stays gone");
        let asked = self.hub.cancel_watch(showing.handle, 1);
        assert!(matches!(asked, Err(StoreError::WatchNotFound(_))));
    }

    pub(super) fn watch(&mut self, n: usize, watch_id: u64, request: WatchRequest) {
        let Some(party) = self.nth_stream(n) else { return };
        let (handle, owner) = (self.streams[&party].handle, self.streams[&party].owner);
        let mut expected = self.reasons_against_watch(&request);
        expected.extend(self.reasons_of_room(owner));
        if self.streams[&party].watches.contains_key(&watch_id) {
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
        self.streams.get_mut(&party).unwrap().watches.insert(watch_id, watching);
    }

    pub(super) fn cancel_watch(&mut self, n: usize, watch_id: u64) {
        let Some(party) = self.nth_stream(n) else { return };
        let showing = self.streams.get_mut(&party).unwrap();
        let expected = match showing.watches.remove(&watch_id) {
            Some(_) => Ok(()),
            None => Err(StoreError::WatchNotFound(watch_id)),
        };
        assert_eq!(self.hub.cancel_watch(showing.handle, watch_id), expected);
    }

    pub(super) fn ready(&mut self, n: usize) {
        let Some(party) = self.nth_stream(n) else { return };
        let showing = self.streams.get_mut(&party).unwrap();
        showing.ready = true;
        self.hub.ready(showing.handle);
    }

    /// Takes what the next stream is shown; tells whether there was a turn to take.
    pub(super) fn show(&mut self) -> bool {
        let (handle, batch) = match self.hub.next_batch() {
            NextBatch::Batch(handle, batch) => (handle, batch),
            NextBatch::Again => return true,
            NextBatch::Idle => return false,
        };
        self.take_batch(handle, &batch);
        true
    }

    fn take_batch(&mut self, handle: Handle, batch: &Batch) {
        let party = *self.hub.party(handle).expect("a stream that is there");
        let showing = self.streams.get_mut(&party).expect("a stream that is open");
        assert!(std::mem::take(&mut showing.ready), "at most one batch ahead of its consumer");
        assert!(!batch.deliveries.is_empty());
        for delivery in &batch.deliveries {
            let id = delivery.watch_id;
            let watching = showing.watches.get_mut(&id).expect("a watch that is there");
            if !matches!(delivery.news, News::Ended(_)) {
                assert_eq!(delivery.view.previous, watching.request.previous);
                assert_eq!(delivery.view.keys_only, watching.request.keys_only);
            }
            if watching.take(&self.model, batch, &delivery.news) {
                showing.watches.remove(&id);
            }
        }
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
    /// Checks what it is shown; tells whether that is its end.
    fn take(&mut self, model: &Model, batch: &Batch, news: &News) -> bool {
        match news {
            News::Snapshot { revision, kvs } => {
                assert_eq!(*revision, self.shown);
                assert!(!kvs.is_empty());
                let left = self.snapshot.as_mut().expect("one snapshot");
                let expected: Vec<_> = left.drain(..kvs.len()).collect();
                assert_eq!(*kvs, expected);
            }
            News::SnapshotEnd { revision } => {
                assert_eq!(*revision, self.shown);
                let left = self.snapshot.take().expect("one end of the snapshot");
                assert!(left.is_empty(), "{left:?}");
            }
            News::Events { first, count, revision, skipped } => {
                let events = batch.events_of(*first, *count);
                self.take_events(model, events, *revision, *skipped);
            }
            News::Progress { revision } => {
                assert!(self.snapshot.is_none() && self.request.progress.is_some());
                assert_eq!(*revision, model.revision());
                assert_eq!(self.due(model, *revision), Vec::<&Event>::new());
                self.shown = *revision;
            }
            News::Ended(error) => {
                self.take_end(model, error);
                return true;
            }
        }
        false
    }

    /// Events not shown yet, up to `revision`.
    fn due<'a>(&self, model: &'a Model, revision: Revision) -> Vec<&'a Event> {
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
        assert_eq!(events.iter().collect::<Vec<_>>(), expected);
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
                        // What a later event is shown instead of may have been passed over.
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

/// Operators, and the end.
impl World {
    /// Reads the list of watchers in pages and ends one of them.
    pub(super) fn end_watcher(&mut self, n: usize, limit: usize) {
        let mut ids: Vec<u64> = Vec::new();
        loop {
            let after = ids.last().copied().unwrap_or(0);
            let request = Request::Watchers { after, limit };
            let Ok(Reply::Watchers(page)) = self.hub.apply(self.now, None, request) else {
                panic!("a page of watchers")
            };
            ids.extend(page.watchers.iter().map(|watcher| watcher.id));
            if !page.more {
                break;
            }
        }
        assert!(ids.is_sorted_by(|a, b| a < b), "in order of id: {ids:?}");
        assert_eq!(ids.len(), self.hub.watchers.len());
        let Some(id) = ids.get(n % ids.len().max(1)).copied() else { return };
        match &self.hub.find(Handle::from_u64(id)).expect("it was listed").role {
            Role::Wait(wait) => self.waits.get_mut(&wait.party).unwrap().ended = true,
            Role::Watch(watch) => {
                let party = self.hub.streams.get(watch.stream as usize).unwrap().party;
                let showing = self.streams.get_mut(&party).unwrap();
                showing.watches.get_mut(&watch.watch_id).unwrap().ended = true;
            }
        }
        let ended = self.hub.apply(self.now, None, Request::EndWatcher(id));
        assert_eq!(ended, Ok(Reply::EndWatcher));
    }

    /// Everyone catches up; afterwards nobody is behind.
    pub(super) fn catch_up(&mut self) {
        let handles: Vec<Handle> = self.streams.values().map(|stream| stream.handle).collect();
        let mut turns = 0;
        loop {
            for (handle, showing) in handles.iter().zip(self.streams.values_mut()) {
                showing.ready = true;
                self.hub.ready(*handle);
            }
            let showed = self.show();
            if self.hub.must_advance(self.now) {
                self.advance();
            }
            self.check();
            if !showed && !self.hub.must_advance(self.now) {
                break;
            }
            turns += 1;
            assert!(turns < 10_000, "it never comes to rest");
        }
        for watching in self.streams.values().flat_map(|stream| stream.watches.values()) {
            let due = watching.due(&self.model, self.model.revision());
            assert!(due.is_empty(), "{:?} was not shown {due:?}", watching.request);
            assert!(watching.snapshot.is_none() && !watching.ended);
        }
        assert!(self.waits.values().all(|wait| wait.deadline > self.now && !wait.ended));
        assert!(self.hub.searching.is_empty());
    }

    /// Everything goes, one by one or as the service stops: nothing is left.
    pub(super) fn end(mut self, stops: bool) {
        if stops {
            for (handle, batch) in self.hub.stop() {
                let party = *self.hub.party(handle).unwrap();
                self.streams.get_mut(&party).unwrap().ready = true;
                if !batch.deliveries.is_empty() {
                    self.take_batch(handle, &batch);
                }
            }
            self.check();
            assert!(self.waits.is_empty());
        }
        while !self.waits.is_empty() {
            self.cancel_wait(0);
        }
        while !self.streams.is_empty() {
            self.close_stream(0, 1);
        }
        self.check();
        self.hub.assert_empty();
    }
}
