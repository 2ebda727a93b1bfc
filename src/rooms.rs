//! [`Rooms`]: everything that the journal's records are of.

use crate::config::Config;
use crate::queue::{self, Now, Outcomes};
use crate::store;

/// The states of a service, as records made them.
pub(crate) struct Rooms {
    pub(crate) store: store::State,
    pub(crate) queue: queue::State,
    pub(crate) outcomes: Outcomes,
}

impl Rooms {
    /// Empty; `seed` is what the queue draws its jitter from.
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        Self {
            store: store::State::new(config.store.clone()),
            queue: queue::State::new(config.queue.clone(), seed),
            outcomes: Outcomes::new(config.queue.clone()),
        }
    }

    pub(crate) fn begin_replay(&mut self) {
        self.store.begin_replay();
    }

    /// Does again what a record says was done.
    ///
    /// Errors: a sentence, if it is no record of this version or does not follow on the last.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        if queue::State::owns(payload) {
            self.queue.replay(payload)
        } else if Outcomes::owns(payload) {
            self.outcomes.replay(payload, |of, state| self.queue.heard(of, state))
        } else {
            self.store.replay(payload)
        }
    }

    pub(crate) fn finish_replay(&mut self) {
        self.store.finish_replay();
    }

    /// Begins to write what happens as records. Jobs that were handed out when the records end are
    /// lost to their workers, except those that are recorded as done and those that may be resumed. With
    /// `fenced`, something that was seen may be lost: no reservation is resumed, and no id and no epoch
    /// that may have been seen is given again.
    pub(crate) fn recover(&mut self, now: Now, fenced: bool) {
        self.store.set_journaled(true);
        self.queue.set_journaled(true);
        self.outcomes.set_journaled(true);
        self.queue.recover(now, &mut self.outcomes, fenced);
    }
}
