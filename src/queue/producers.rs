//! Pushes that wait for capacity, and the places where some may have become free.

use std::collections::{BTreeMap, BTreeSet};

use super::{ParkId, TopicNo};

/// The place where a push waits for capacity: a topic, or (`None`) the queue as a whole.
pub(super) type PushScope = Option<TopicNo>;

/// The waiting pushes of each place. The cost of a finished job does not depend on the number of topics
/// and pushes.
#[derive(Debug, Default)]
pub(super) struct Producers {
    waiting: BTreeMap<PushScope, BTreeSet<ParkId>>,
    /// The places where capacity may have become free for waiting pushes.
    opened: BTreeSet<PushScope>,
}

impl Producers {
    pub(super) fn wait(&mut self, place: PushScope, park: ParkId) {
        self.waiting.entry(place).or_default().insert(park);
    }

    /// Removes a waiting push; those behind it may fit.
    pub(super) fn leave(&mut self, place: PushScope, park: ParkId) {
        let Some(parks) = self.waiting.get_mut(&place) else { return };
        parks.remove(&park);
        if parks.is_empty() {
            self.waiting.remove(&place);
        }
        self.open(place);
    }

    /// Notes that capacity may have become free in a place.
    pub(super) fn open(&mut self, place: PushScope) {
        if self.waiting.contains_key(&place) {
            self.opened.insert(place);
        }
    }

    /// Notes that limits changed: pushes that wait anywhere may fit now, or never.
    pub(super) fn open_all(&mut self) {
        self.opened.extend(self.waiting.keys());
    }

    /// Notes that the pushes that still wait in a place were checked.
    pub(super) fn close(&mut self, place: PushScope) {
        self.opened.remove(&place);
    }

    pub(super) fn first_opened(&self) -> Option<PushScope> {
        self.opened.first().copied()
    }

    /// Returns whether no push waits anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the number of pushes that wait in a place.
    pub(super) fn count(&self, place: PushScope) -> usize {
        self.waiting.get(&place).map_or(0, BTreeSet::len)
    }

    /// Returns the push that has waited longest.
    pub(super) fn first(&self, place: PushScope) -> Option<ParkId> {
        self.waiting.get(&place)?.first().copied()
    }
}
