//! The store with its watchers, and the registry of watchers alone.

use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::model::{KeyRange, KvRequest, Reply, WaitRequest, WatchRequest};
use crate::store::StoreState;
use crate::watch::{Hub, NextBatch, WatchOwner, WatcherHandle, WatcherRegistry};

/// The store and its watchers, without actors and the wire. Its time stands still.
#[derive(Debug)]
pub struct Core {
    hub: Hub<()>,
    owner: Arc<WatchOwner>,
    stream: WatcherHandle,
    watches: u64,
}

impl Core {
    /// Makes an empty store with one stream of watches.
    ///
    /// # Errors
    /// None, unless `config` allows no stream.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut hub = Hub::new(StoreState::new(config.store), config.watch);
        let owner = Arc::new(WatchOwner::unlimited(0, String::new()));
        let stream = hub.open_stream(&owner, usize::MAX, || ())?;
        Ok(Self { hub, owner, stream, watches: 0 })
    }

    /// Executes one request, as the actor does.
    ///
    /// # Errors
    /// Those of the request.
    pub fn apply(&mut self, request: KvRequest) -> Result<Reply, Error> {
        Ok(self.hub.apply(0, None, request)?)
    }

    /// Parks a wait.
    ///
    /// # Errors
    /// Those of the request.
    pub fn wait(&mut self, request: WaitRequest) -> Result<(), Error> {
        self.hub.wait(0, &self.owner, request, || ())?;
        Ok(())
    }

    /// Adds a watch to the stream.
    ///
    /// # Errors
    /// Those of the request.
    pub fn watch(&mut self, request: WatchRequest) -> Result<(), Error> {
        self.watches += 1;
        self.hub.watch(0, self.stream, self.watches, request)?;
        Ok(())
    }

    /// Takes all batches of the stream; returns the number of deliveries.
    pub fn show(&mut self) -> usize {
        let mut deliveries = 0;
        loop {
            match self.hub.next_batch() {
                NextBatch::Batch(stream, batch) => {
                    deliveries += batch.deliveries.len();
                    self.hub.ready(stream, usize::MAX);
                }
                NextBatch::Again => {}
                NextBatch::Idle => return deliveries,
            }
        }
    }
}

/// The registry of watchers.
#[derive(Debug, Default)]
pub struct Watchers(WatcherRegistry);

impl Watchers {
    /// Registers `watcher` for `range`; returns `false` if it already was.
    pub fn insert(&mut self, range: &KeyRange, watcher: u32) -> bool {
        self.0.insert(range, watcher)
    }

    /// Undoes [`insert`](Self::insert).
    pub fn remove(&mut self, range: &KeyRange, watcher: u32) -> bool {
        self.0.remove(range, watcher)
    }

    /// Calls `f` with every watcher whose range contains `key`.
    pub fn for_each(&self, key: &[u8], f: impl FnMut(u32)) {
        self.0.for_each(key, f);
    }
}
