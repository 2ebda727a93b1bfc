//! [`Lane`]: the jobs of one order key and its slots.

use std::collections::BTreeSet;

use super::{JobSlot, QueueState, TopicNo};
use crate::model::{Blob, JobId, UnixMillis};

/// The jobs of one order key. A limited number of them, those with a slot, may be ready, run, or wait
/// for their next run.
///
/// The others wait here, in the order of their pushes. A job that gets a free slot goes behind all jobs
/// that are ready then, so keys take turns, however many jobs one of them has.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The number of slots in use.
    pub(super) busy: u32,
    pub(super) waiting: BTreeSet<(JobId, JobSlot)>,
}

impl Lane {
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0 && self.waiting.is_empty()
    }
}

impl QueueState {
    /// Takes a slot of the job's order key, if there is one that no other job waits for.
    pub(super) fn take_place(&mut self, slot: JobSlot) -> bool {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return false };
        let Some(topic) = self.topics.get_mut(job.topic as usize) else { return false };
        let Some(key) = job.extra.as_ref().and_then(|extra| extra.order_key.as_ref()) else {
            return false;
        };
        let limit = topic.order_limit();
        // Looked up before it is inserted, because most keys are already there.
        let lane = match topic.lanes.get_mut(key) {
            Some(lane) => lane,
            None => topic.lanes.entry(key.clone()).or_default(),
        };
        let free = lane.busy < limit && lane.waiting.is_empty();
        lane.busy += u32::from(free);
        job.holds_place = free;
        free
    }

    /// Passes the job's slot of the order key on to the next job.
    pub(super) fn give_up_place(&mut self, at: UnixMillis, slot: JobSlot) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        if !std::mem::take(&mut job.holds_place) {
            return;
        }
        let number = job.topic;
        let Some(key) = job.order_key().cloned() else { return };
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        if let Some(lane) = topic.lanes.get_mut(&key) {
            lane.busy = lane.busy.saturating_sub(1);
        }
        self.fill_places(at, number, &key);
    }

    pub(super) fn fill_all_places(&mut self, at: UnixMillis, number: TopicNo) {
        let Some(topic) = self.topic(number) else { return };
        let waited = topic.lanes.iter().filter_map(|(key, lane)| {
            let (first, _) = lane.waiting.first()?;
            Some((*first, key.clone()))
        });
        let mut keys: Vec<(JobId, Blob)> = waited.collect();
        // Sorted so that the order is the same on replay.
        keys.sort_unstable();
        keys.iter().for_each(|(_, key)| self.fill_places(at, number, key));
    }

    /// Gives free slots of an order key to waiting jobs.
    fn fill_places(&mut self, at: UnixMillis, number: TopicNo, key: &Blob) {
        loop {
            let Some(topic) = self.topics.get_mut(number as usize) else { return };
            let limit = topic.order_limit();
            let Some(lane) = topic.lanes.get_mut(key) else { return };
            if lane.is_idle() {
                topic.lanes.remove(key);
                return;
            }
            if lane.busy >= limit {
                return;
            }
            let Some((_, next)) = lane.waiting.pop_first() else { return };
            lane.busy += 1;
            topic.waiting = topic.waiting.saturating_sub(1);
            self.keep_frozen(next);
            self.line = self.line.saturating_add(1);
            if let Some(job) = self.jobs.get_mut(next as usize) {
                job.holds_place = true;
                (job.rank, job.turn) = (i64::try_from(at).unwrap_or(i64::MAX), self.line);
            }
            self.put_ready(next);
        }
    }
}
