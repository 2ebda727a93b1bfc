//! Indexes that stay taken after their jobs have finished: for how long, and how many.

use std::collections::{BTreeMap, BTreeSet};

use super::change::QueueChange;
use super::topic::IndexHold;
use super::{QueueError, QueueState, TopicNo};
use crate::config::QueueConfig;
use crate::model::{Blob, JobId, JobReply, UnixMillis};
use crate::store::Shares;

/// Until when an index is taken, and by which job.
type IndexExpiry = (UnixMillis, JobId);

/// Indexes of finished jobs that are still taken, by the time at which they become free.
#[derive(Debug, Default)]
pub(super) struct FinishedIndexes {
    order: BTreeMap<IndexExpiry, (TopicNo, Blob)>,
    topics: BTreeMap<TopicNo, BTreeSet<IndexExpiry>>,
    counts: Shares<TopicNo>,
}

impl FinishedIndexes {
    pub(super) fn insert(&mut self, until: IndexExpiry, topic: TopicNo, index: Blob) {
        self.order.insert(until, (topic, index));
        let own = self.topics.entry(topic).or_default();
        let before = own.len() as u64;
        own.insert(until);
        self.counts.change(topic, before, own.len() as u64);
    }

    pub(super) fn remove(&mut self, until: IndexExpiry) {
        let Some((topic, _)) = self.order.remove(&until) else { return };
        let Some(own) = self.topics.get_mut(&topic) else { return };
        let before = own.len() as u64;
        own.remove(&until);
        self.counts.change(topic, before, own.len() as u64);
        if own.is_empty() {
            self.topics.remove(&topic);
        }
    }

    /// Removes the indexes of a topic whose number now belongs to another.
    pub(super) fn remove_topic(&mut self, topic: TopicNo) {
        let own = self.topics.remove(&topic).unwrap_or_default();
        self.counts.change(topic, own.len() as u64, 0);
        own.iter().for_each(|until| drop(self.order.remove(until)));
    }

    /// Returns the index of a topic that becomes free first.
    fn first_of(&self, topic: TopicNo) -> Option<(JobId, Blob)> {
        let until = self.topics.get(&topic)?.first()?;
        let (_, index) = self.order.get(until).filter(|(of, _)| *of == topic)?;
        Some((until.1, index.clone()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&IndexExpiry, &(TopicNo, Blob))> {
        self.order.iter()
    }

    /// Returns the index that becomes free first, if its time has come.
    fn expired(&self, utc: UnixMillis) -> Option<IndexExpiry> {
        self.order.first_key_value().map(|(until, _)| *until).filter(|(at, _)| *at <= utc)
    }

    /// Returns an index to free if there are too many: of the topic that has the most, the one that
    /// would become free first.
    fn surplus(&self, config: &QueueConfig) -> Option<(IndexExpiry, TopicNo, Blob)> {
        let (most, topic) = self.counts.most()?;
        let too_many = self.order.len() > config.finished_indexes_max
            || most > config.topic_finished_indexes_max as u64;
        let until = self.topics.get(&topic).filter(|_| too_many)?.first()?;
        let (topic, index) = self.order.get(until)?;
        Some((*until, *topic, index.clone()))
    }
}

impl QueueState {
    /// Frees a slice of the indexes that were taken long enough or are too many. A push treats an index
    /// whose time is over as free in any case.
    pub(super) fn free_indexes(&mut self) {
        for _ in 0..self.config.slice_max {
            if let Some((until, id)) = self.finished_indexes.expired(self.aged_utc()) {
                self.free_expired(until, id);
            } else if let Some(((_, id), topic, index)) =
                self.finished_indexes.surplus(&self.config)
            {
                self.commit(QueueChange::IndexFreed { topic, index, id });
            } else {
                return;
            }
        }
    }

    /// Returns whether there are more indexes of finished jobs than may stay taken.
    pub(super) fn has_surplus_indexes(&self) -> bool {
        self.finished_indexes.surplus(&self.config).is_some()
    }

    /// Frees up to `max` indexes of the finished jobs of a topic; returns whether there are more.
    pub(super) fn free_slice(&mut self, topic: TopicNo, max: usize) -> bool {
        for _ in 0..max {
            let Some((id, index)) = self.finished_indexes.first_of(topic) else { return false };
            self.commit(QueueChange::IndexFreed { topic, index, id });
        }
        self.finished_indexes.first_of(topic).is_some()
    }

    /// Frees the index of a finished job.
    pub(super) fn free_index(&mut self, name: &Blob, index: &Blob) -> Result<JobReply, QueueError> {
        let topic = self.topic_named(name)?;
        let entry = self.topic(topic).and_then(|topic| topic.indexes.get(index)).copied();
        let Some(entry) = entry.filter(|entry| entry.is_taken(self.aged_utc())) else {
            return Ok(JobReply::Changed { count: 0, more: false });
        };
        if entry.taken == IndexHold::Yes {
            return Err(QueueError::JobUnfinished(entry.id));
        }
        self.commit(QueueChange::IndexFreed { topic, index: index.clone(), id: entry.id });
        Ok(JobReply::Changed { count: 1, more: false })
    }

    /// Frees an expired index. The journal need not record that: a replay knows until when it was
    /// taken.
    fn free_expired(&mut self, until: UnixMillis, id: JobId) {
        let found = self.finished_indexes.order.get(&(until, id)).cloned();
        self.finished_indexes.remove((until, id));
        let Some((number, index)) = found else { return };
        let entry = self.topic(number).and_then(|topic| topic.indexes.get(&index));
        if entry.is_some_and(|entry| entry.is_of_finished(id, until)) {
            self.let_go(number, &index, id);
        }
    }

    pub(super) fn apply_index_freed(&mut self, number: TopicNo, index: &Blob, id: JobId) {
        let entry = self.topic(number).and_then(|topic| topic.indexes.get(index)).copied();
        let Some(entry) = entry.filter(|entry| entry.id == id) else { return };
        if let IndexHold::Until(until, _) = entry.taken {
            self.finished_indexes.remove((until, id));
        }
        if let Some(slot) = self.ids.get(id) {
            self.keep_frozen(slot);
        }
        self.let_go(number, index, id);
    }

    /// Frees the index, or lets it only name a dead letter.
    fn let_go(&mut self, number: TopicNo, index: &Blob, id: JobId) {
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        if topic.dead.contains_key(&id)
            && let Some(entry) = topic.indexes.get_mut(index)
        {
            entry.taken = IndexHold::No;
        } else {
            topic.indexes.remove(index);
            self.note_left(number);
        }
    }
}
