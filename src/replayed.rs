//! [`ReplayedState`]: the states that the journal's records are replayed into.

use crate::config::Config;
use crate::queue::{self, Now, Outcomes};
use crate::store;

/// The states of a service, restored from records.
pub(crate) struct ReplayedState {
    pub(crate) store: store::StoreState,
    pub(crate) queue: queue::QueueState,
    pub(crate) outcomes: Outcomes,
}

impl ReplayedState {
    /// Makes empty states; `seed` is the seed of the queue's jitter.
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        Self {
            store: store::StoreState::new(config.store.clone()),
            queue: queue::QueueState::new(config.queue.clone(), seed),
            outcomes: Outcomes::new(config.queue.clone()),
        }
    }

    pub(crate) fn begin_replay(&mut self) {
        self.store.begin_replay();
    }

    /// Applies a record again.
    ///
    /// Returns an error text if the payload is not a record of this version or does not follow the last
    /// one.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        if queue::QueueState::owns(payload) {
            self.queue.replay(payload)
        } else if Outcomes::owns(payload) {
            self.outcomes.replay(payload, |of, state| self.queue.acknowledge(of, state))
        } else {
            self.store.replay(payload)
        }
    }

    pub(crate) fn finish_replay(&mut self) {
        self.store.finish_replay();
    }

    /// Ends the replay and begins to record changes. Jobs that were handed out when the records end are
    /// lost to their workers, except those that are recorded as done and those that may be resumed.
    /// With `fenced`, visible changes may be lost: no reservation is resumed, and no id and no epoch
    /// that may have been visible is assigned again.
    pub(crate) fn recover(&mut self, now: Now, fenced: bool) {
        self.store.set_journaled(true);
        self.queue.set_journaled(true);
        self.outcomes.set_journaled(true);
        self.queue.recover(now, &mut self.outcomes, fenced);
    }
}
