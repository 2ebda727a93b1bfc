//! Dead letters: how many are kept, and how they are replayed.

use std::collections::{BTreeMap, BTreeSet};

use super::change::QueueChange;
use super::job::JobPhase;
use super::live::no_topic;
use super::{JobSlot, Now, QueueError, QueueState, TopicNo, millis};
use crate::config::QueueConfig;
use crate::model::{Blob, JobId, JobReply, UnixMillis};
use crate::store::Shares;

/// The position of a dead letter: its turn, from the same sequence as those of ready jobs.
type DeadLetterKey = (u64, JobSlot);

/// All dead letters, in the order of their deaths, and those of each topic.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    /// With the time since which each is dead, which never decreases along the order.
    order: BTreeMap<DeadLetterKey, UnixMillis>,
    bytes: u64,
    topics: BTreeMap<TopicNo, TopicDeadLetters>,
    counts: Shares<TopicNo>,
    sizes: Shares<TopicNo>,
}

/// The dead letters of one topic, in the order of their deaths.
#[derive(Debug, Default)]
struct TopicDeadLetters {
    order: BTreeSet<DeadLetterKey>,
    bytes: u64,
}

impl DeadLetters {
    fn insert(&mut self, topic: TopicNo, place: DeadLetterKey, since: UnixMillis, bytes: u64) {
        if self.order.insert(place, since).is_none() {
            self.bytes = self.bytes.saturating_add(bytes);
            self.change(topic, |own| {
                own.order.insert(place);
                own.bytes = own.bytes.saturating_add(bytes);
            });
        }
    }

    pub(super) fn remove(&mut self, topic: TopicNo, place: DeadLetterKey, bytes: u64) {
        if self.order.remove(&place).is_some() {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.change(topic, |own| {
                own.order.remove(&place);
                own.bytes = own.bytes.saturating_sub(bytes);
            });
        }
    }

    fn change(&mut self, topic: TopicNo, change: impl FnOnce(&mut TopicDeadLetters)) {
        let own = self.topics.entry(topic).or_default();
        let before = (own.order.len() as u64, own.bytes);
        change(own);
        let now = (own.order.len() as u64, own.bytes);
        self.counts.change(topic, before.0, now.0);
        self.sizes.change(topic, before.1, now.1);
        if own.order.is_empty() {
            self.topics.remove(&topic);
        }
    }

    /// Sets later times of death to `at`; returns the slots.
    fn set_back(&mut self, at: UnixMillis) -> Vec<JobSlot> {
        let ahead = self.order.iter_mut().filter(|(_, since)| **since > at);
        ahead
            .map(|((_, slot), since)| {
                *since = at;
                *slot
            })
            .collect()
    }

    /// Returns the time at which the oldest becomes too old.
    pub(super) fn next_age(&self, config: &QueueConfig) -> Option<UnixMillis> {
        let (_, since) = self.order.first_key_value()?;
        Some(since.saturating_add(millis(config.dead_age_max)))
    }

    /// Returns a dead letter to evict: the oldest, if it is too old; or if there are too many, the
    /// oldest of the topic that has the most.
    pub(super) fn surplus(&self, config: &QueueConfig, utc: UnixMillis) -> Option<JobSlot> {
        let oldest_of = |topic| self.topics.get(&topic)?.order.first().map(|(_, slot)| *slot);
        let (most, many) = self.counts.most()?;
        if self.order.len() > config.dead_max || most > config.topic_dead_max as u64 {
            return oldest_of(many);
        }
        let (largest, large) = self.sizes.most()?;
        if self.bytes > config.dead_bytes_max || largest > config.topic_dead_bytes_max {
            return oldest_of(large);
        }
        let ((_, slot), _) = self.order.first_key_value()?;
        self.next_age(config).is_some_and(|at| at <= utc).then_some(*slot)
    }
}

impl QueueState {
    /// Makes a dead letter of a finished job, the last in order.
    pub(super) fn dead_letter(&mut self, at: UnixMillis, slot: JobSlot) {
        self.line = self.line.saturating_add(1);
        if let Some(job) = self.jobs.get_mut(slot as usize) {
            job.turn = self.line;
        }
        self.put_dead(at, slot);
    }

    /// Adds a dead letter at the position of its turn.
    pub(super) fn put_dead(&mut self, at: UnixMillis, slot: JobSlot) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.phase = JobPhase::Dead(at);
        self.dead.insert(job.topic, (job.turn, slot), at, job.bytes_dead());
        if let Some(topic) = self.topics.get_mut(job.topic as usize) {
            topic.dead.insert(job.id, slot);
        }
    }

    /// Sets times of death from a clock that ran ahead to `at`: these dead letters are kept as long as
    /// others, and do not delay the eviction of those behind them.
    pub(super) fn set_dead_back(&mut self, at: UnixMillis) {
        for slot in self.dead.set_back(at) {
            self.keep_frozen(slot);
            if let Some(job) = self.jobs.get_mut(slot as usize) {
                job.phase = JobPhase::Dead(at);
            }
        }
    }

    /// Evicts dead letters that are too many or too old: a slice of them.
    pub(super) fn evict_dead(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some(slot) = self.dead.surplus(&self.config, self.aged_utc()) else { return };
            let Some(id) = self.job(slot).map(|job| job.id) else { return };
            self.commit(QueueChange::Evicted { id });
        }
    }

    pub(super) fn replay_dead(
        &mut self,
        now: Now,
        name: &Blob,
        id: Option<JobId>,
    ) -> Result<JobReply, QueueError> {
        let (ids, more) = self.dead_letters(name, id, self.config.slice_max)?;
        let count = ids.len() as u64;
        for id in ids {
            self.commit(QueueChange::Replayed { id });
        }
        if let Some(number) = self.names.get(name).copied()
            && let Some(topic) = self.topics.get_mut(number as usize)
        {
            // For the rates, they count as pushed again; the totals count them once.
            topic.pushed.add(now.steady, count as u32);
        }
        Ok(JobReply::Changed { count, more })
    }

    pub(super) fn delete_dead(
        &mut self,
        name: &Blob,
        id: Option<JobId>,
    ) -> Result<JobReply, QueueError> {
        let (ids, more) = self.dead_letters(name, id, self.config.slice_max)?;
        let count = ids.len() as u64;
        ids.into_iter().for_each(|id| self.commit(QueueChange::Evicted { id }));
        Ok(JobReply::Changed { count, more })
    }

    /// Returns the dead letter with this id, or up to `max` of the oldest of a topic, and whether there
    /// are more.
    pub(super) fn dead_letters(
        &self,
        name: &Blob,
        id: Option<JobId>,
        max: usize,
    ) -> Result<(Vec<JobId>, bool), QueueError> {
        let Some(topic) = self.topic(self.topic_named(name)?) else { return Err(no_topic(name)) };
        match id {
            Some(id) if topic.dead.contains_key(&id) => Ok((vec![id], false)),
            Some(id) => Err(QueueError::NotDead { topic: name.clone(), id }),
            None => {
                let ids: Vec<JobId> = topic.dead.keys().copied().take(max).collect();
                let more = topic.dead.len() > ids.len();
                Ok((ids, more))
            }
        }
    }
}
