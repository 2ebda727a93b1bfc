//! [`Ids`]: the slot of each job, by its id.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::JobSlot;
use crate::model::JobId;

/// The number of jobs whose slots are also cached: most jobs are looked up soon after they came, and
/// are then found as fast among a million others as alone.
const REMEMBERED: usize = 4_096;

/// In order of the ids, for lists; no job has the id 0.
#[derive(Debug)]
pub(super) struct Ids {
    slots: BTreeMap<JobId, JobSlot>,
    /// The most recent job for each remainder of the ids.
    remembered: Box<[(JobId, JobSlot)]>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), remembered: vec![(0, 0); REMEMBERED].into() }
    }
}

impl Ids {
    pub(super) fn get(&self, id: JobId) -> Option<JobSlot> {
        match self.remembered.get(place(id)) {
            Some((known, slot)) if *known == id && id > 0 => Some(*slot),
            _ => self.slots.get(&id).copied(),
        }
    }

    pub(super) fn insert(&mut self, id: JobId, slot: JobSlot) {
        self.slots.insert(id, slot);
        self.remember(id, (id, slot));
    }

    pub(super) fn remove(&mut self, id: JobId) {
        self.slots.remove(&id);
        if self.remembered.get(place(id)).is_some_and(|(known, _)| *known == id) {
            self.remember(id, (0, 0));
        }
    }

    fn remember(&mut self, id: JobId, what: (JobId, JobSlot)) {
        if let Some(place) = self.remembered.get_mut(place(id)) {
            *place = what;
        }
    }

    /// Returns the jobs with a higher id, in order.
    pub(super) fn after(&self, id: JobId) -> impl Iterator<Item = (JobId, JobSlot)> {
        let after = self.slots.range((Bound::Excluded(id), Bound::Unbounded));
        after.map(|(id, slot)| (*id, *slot))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

fn place(id: JobId) -> usize {
    (id % REMEMBERED as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_found_as_in_a_plain_map(
            ops in proptest::collection::vec((0_u64..4, 1_u64..4, any::<bool>()), 1..200),
        ) {
            let (mut ids, mut plain) = (Ids::default(), BTreeMap::new());
            for (step, (turn, id, comes)) in ops.into_iter().enumerate() {
                // Several jobs with the same remainder.
                let id = id + turn * REMEMBERED as u64;
                if comes {
                    ids.insert(id, step as JobSlot);
                    plain.insert(id, step as JobSlot);
                } else {
                    ids.remove(id);
                    plain.remove(&id);
                }
                for id in (0..4).flat_map(|turn| (0..5).map(move |id| id + turn * REMEMBERED as u64)) {
                    prop_assert_eq!(ids.get(id), plain.get(&id).copied());
                }
            }
            prop_assert_eq!(ids.after(1).collect::<Vec<_>>(), plain.into_iter().filter(|(id, _)| *id > 1).collect::<Vec<_>>());
        }
    }
}
