//! Pushes that wait for room, and where there may be some.

use std::collections::{BTreeMap, BTreeSet};

use super::{ParkId, TopicNo};

/// Where a push waits for room: in a topic, or (`None`) in the queue as a whole.
pub(super) type Place = Option<TopicNo>;

/// What it costs that a job leaves does not depend on how many topics and pushes there are.
#[derive(Debug, Default)]
pub(super) struct Producers {
    waiting: BTreeMap<Place, BTreeSet<ParkId>>,
    /// Where there may be room for those who wait there.
    opened: BTreeSet<Place>,
}

impl Producers {
    pub(super) fn wait(&mut self, place: Place, park: ParkId) {
        self.waiting.entry(place).or_default().insert(park);
    }

    /// One waits no more; those behind it may fit.
    pub(super) fn leave(&mut self, place: Place, park: ParkId) {
        let Some(parks) = self.waiting.get_mut(&place) else { return };
        parks.remove(&park);
        if parks.is_empty() {
            self.waiting.remove(&place);
        }
        self.open(place);
    }

    /// There may be room for those who wait there.
    pub(super) fn open(&mut self, place: Place) {
        if self.waiting.contains_key(&place) {
            self.opened.insert(place);
        }
    }

    /// Limits changed: what waits elsewhere for room there may never fit now.
    pub(super) fn open_all(&mut self) {
        self.opened.extend(self.waiting.keys());
    }

    /// Those who still wait there were looked at.
    pub(super) fn close(&mut self, place: Place) {
        self.opened.remove(&place);
    }

    pub(super) fn first_opened(&self) -> Option<Place> {
        self.opened.first().copied()
    }

    /// How many wait there.
    pub(super) fn count(&self, place: Place) -> usize {
        self.waiting.get(&place).map_or(0, BTreeSet::len)
    }

    /// The one that has waited longest.
    pub(super) fn first(&self, place: Place) -> Option<ParkId> {
        self.waiting.get(&place)?.first().copied()
    }
}
