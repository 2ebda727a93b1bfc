//! [`World`]: a hub, the model of its store, and the items that each consumer has been shown.
//!
//! Everything the hub does is checked at once: an answer must be the one that the log of events
//! demands, and a delivery must be the next one.

mod waits;
mod watches;

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::model::KeyValue;
use crate::store::tests::model::{Model, Reasons, matching, reason, without_next};

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
    /// Owners with small limits, so that streams are often paused.
    owners: [Arc<WatchOwner>; 3],
}

fn owners() -> [Arc<WatchOwner>; 3] {
    let total = Arc::default();
    let of = |id| match id {
        0 => owner(0),
        _ => {
            let buffered = Arc::new(BufferedBytes::new(&total, 300, 500));
            Arc::new(WatchOwner {
                id,
                name: format!("owner {id}"),
                client: ClientId::Connection(id),
                buffered,
            })
        }
    };
    [0, 1, 2].map(of)
}

struct Waiting {
    handle: WatcherHandle,
    owner: u64,
    request: WaitRequest,
    /// Events of later revisions count.
    after: Revision,
    deadline: Micros,
    ended: bool,
    /// Whether the wait was parked before it had examined the whole state, and if so, whether that
    /// state met its condition.
    undecided: bool,
    held: bool,
}

struct Showing {
    handle: WatcherHandle,
    owner: u64,
    ready: bool,
    /// The last batch, until the consumer is ready again.
    kept: Option<Buffered<EventBatch>>,
    watches: BTreeMap<u64, Watching>,
}

struct Watching {
    request: WatchRequest,
    /// Everything up to this revision was shown.
    shown: Revision,
    /// The keys of the snapshot that were not shown yet, until its end.
    snapshot: Option<VecDeque<Arc<KeyValue>>>,
    ended: bool,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let state = StoreState::new(config.store.clone());
        let mut hub = Hub::new(state, config.watch.clone());
        hub.looks_max = config.store.slice_max;
        Self {
            now: 0,
            hub,
            model: Model::new(config.store.clone()),
            config,
            waits: BTreeMap::new(),
            streams: BTreeMap::new(),
            parties: 0,
            owners: owners(),
        }
    }

    pub(super) fn ask(&mut self, request: KvRequest) {
        if self.hub.state().is_open() {
            // The end of a lease, which comes first.
            self.model.expire_one(self.now).expect("a lease that ends");
        }
        let reply = self.hub.apply(self.now, None, request.clone());
        match (reply, self.model.apply(self.now, None, request)) {
            (Ok(reply), Ok(expected)) => assert_eq!(without_next(reply), expected),
            (Err(error), Err(reasons)) => assert!(reasons.contains(reason(&error)), "{error:?}"),
            (reply, expected) => panic!("{reply:?}, but {expected:?} was expected"),
        }
    }

    pub(super) fn advance(&mut self) {
        let (was_open, before) = (self.hub.state().is_open(), self.hub.state().revision());
        self.hub.advance(self.now);
        let (is_open, revision) = (self.hub.state().is_open(), self.hub.state().revision());
        let mut work = 0;
        if was_open {
            if !is_open {
                self.model.expire_one(self.now).expect("a lease that ends");
            }
            work = usize::MAX;
        } else if self.hub.is_notifying() && revision == before && !is_open {
            // Nothing ends before all watchers are notified of earlier events.
            work = usize::MAX;
        }
        while work < self.config.store.slice_max {
            // The next lease may only have begun to end, or some watchers may not be notified of the
            // last.
            let same = self.model.revision() == revision;
            if self.hub.is_busy() && same && self.model.due_keys(self.now) > Some(0) {
                break;
            }
            let Some(deleted) = self.model.expire_one(self.now) else { break };
            work += 1 + deleted;
        }
        assert_eq!(self.hub.state().revision(), self.model.revision());
    }

    /// Checks the state after a step: every watcher that must be notified is.
    pub(super) fn check(&mut self) {
        for WaitAnswer { address, outcome } in self.hub.take_answers() {
            let waiting = self.waits.remove(&address).expect("one answer to each wait");
            self.check_answer(&waiting, outcome);
        }
        for waiting in self.waits.values() {
            if !self.searches(waiting.handle) && !self.hub.is_notifying() {
                assert!(!waiting.held, "not answered by the state: {:?}", waiting.request);
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
        assert_eq!(self.hub.registry.len(), self.hub.watchers.len() - self.unregistered());
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

    /// Returns the number of watches that are not registered; each of them must be behind.
    fn unregistered(&self) -> usize {
        let watches = self.hub.watchers.iter().filter_map(|(_, watcher)| match &watcher.role {
            WatcherRole::Watch(watch) => Some(watch),
            WatcherRole::Wait(_) => None,
        });
        let unregistered = watches.filter(|watch| !watch.registered);
        unregistered.inspect(|watch| assert_ne!(watch.cursor, 0, "missed events")).count()
    }

    fn watchers_of(&self, owner: u64) -> usize {
        let waits = self.waits.values().filter(|wait| wait.owner == owner).count();
        let streams = self.streams.values().filter(|stream| stream.owner == owner);
        waits + streams.map(|stream| stream.watches.len()).sum::<usize>()
    }

    fn searches(&self, handle: WatcherHandle) -> bool {
        let watcher = self.hub.find(handle).expect("a wait without an answer is there");
        let WatcherRole::Wait(wait) = &watcher.role else { return false };
        wait.search.as_ref().is_some_and(|search| !search.is_over())
    }

    /// Returns the limits that one more watcher of this owner would exceed.
    fn reasons_of_room(&self, owner: u64) -> Reasons {
        let mut reasons = Reasons::new();
        let left = self.config.watch.watches_max.saturating_sub(self.hub.watchers.len());
        // The hub has already forgotten an ended watch whose batch nobody has read yet.
        let held = self.hub.owners.get(&owner).copied().unwrap_or(0);
        if left == 0 || owner != 0 && held >= left {
            reasons.insert("watch.watches_max");
        }
        if owner != 0 && self.watchers_of(owner) >= self.config.watch.watches_per_connection_max {
            reasons.insert("watch.watches_per_connection_max");
        }
        reasons
    }
}

/// Operators' requests, and the end.
impl World {
    /// Reads the list of watchers in pages and ends one of them.
    pub(super) fn end_watcher(&mut self, n: usize, limit: usize) {
        // Notifying may answer waits, which are then gone.
        self.hub.finish_notifying();
        self.check();
        let mut ids: Vec<u64> = Vec::new();
        loop {
            let after = ids.last().copied().unwrap_or(0);
            let request = HubRequest::Watchers { after, limit };
            let Ok(Reply::Watchers(page)) = self.hub.administer(self.now, &request) else {
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
        match &self.hub.find(WatcherHandle::from_u64(id)).expect("it was listed").role {
            WatcherRole::Wait(wait) => self.waits.get_mut(&wait.address).unwrap().ended = true,
            WatcherRole::Watch(watch) => {
                let address = self.hub.streams.get(watch.stream as usize).unwrap().address;
                let showing = self.streams.get_mut(&address).unwrap();
                showing.watches.get_mut(&watch.watch_id).unwrap().ended = true;
            }
        }
        let ended = self.hub.administer(self.now, &HubRequest::EndWatcher(id));
        assert_eq!(ended, Ok(Reply::EndWatcher));
    }

    /// Lets every consumer catch up, and checks that none is behind.
    pub(super) fn catch_up(&mut self) {
        let handles: Vec<WatcherHandle> =
            self.streams.values().map(|stream| stream.handle).collect();
        let mut turns = 0;
        loop {
            for (handle, showing) in handles.iter().zip(self.streams.values_mut()) {
                showing.ready = true;
                showing.kept = None;
                self.hub.ready(*handle, usize::MAX);
            }
            self.hub.look_for_capacity();
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

    /// Ends everything, one by one or by stopping the service, and checks that nothing is left.
    pub(super) fn end(mut self, stops: bool) {
        if stops {
            for (handle, batch) in self.hub.stop() {
                let address = *self.hub.address(handle).unwrap();
                self.streams.get_mut(&address).unwrap().ready = true;
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
