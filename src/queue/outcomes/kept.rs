//! The outcomes that are kept, by topic: how they are added and dropped.

use std::collections::{HashMap, VecDeque};

use crate::environment::RandomState;

use super::Outcomes;
use super::journaled::UnrecordedChange;
use crate::model::{Blob, JobInfo, JobState, OutcomeSeq};
use crate::queue::describe::bytes_of;

/// The position of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeKey {
    pub(super) topic: u32,
    pub(super) seq: OutcomeSeq,
}

/// The outcomes kept for a topic.
#[derive(Debug, Default)]
pub(super) struct TopicOutcomes {
    pub(super) name: Blob,
    /// The topic's outcomes up to this number may have been dropped.
    pub(super) gone: OutcomeSeq,
    /// In the order of their numbers. Boxed from the start, because they are large and moved often.
    pub(super) order: VecDeque<(OutcomeSeq, Box<JobInfo>)>,
    pub(super) indexes: HashMap<Blob, OutcomeSeq, RandomState>,
    bytes: u64,
    done: u64,
}

impl TopicOutcomes {
    pub(super) fn get(&self, seq: OutcomeSeq) -> Option<&JobInfo> {
        let place = self.order.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.order.get(place).map(|(_, info)| &**info)
    }

    /// Returns the number of the newest outcome.
    pub(super) fn last(&self) -> Option<OutcomeSeq> {
        self.order.back().map(|(seq, _)| *seq)
    }

    /// Returns the number of the oldest outcome.
    pub(super) fn first(&self) -> Option<OutcomeSeq> {
        self.order.front().map(|(seq, _)| *seq)
    }
}

impl Outcomes {
    /// Adds an outcome with the next number.
    pub(super) fn put(&mut self, mut info: Box<JobInfo>) -> OutcomeKey {
        let seq = self.next;
        self.next += 1;
        self.newest = self.newest.max(seq);
        info.outcome = Some(seq);
        let number = match self.names.get(&info.topic) {
            Some(number) => *number,
            None => self.make_topic(info.topic.clone()),
        };
        let place = OutcomeKey { topic: number, seq };
        let (size, done) = (bytes_of(&info) as u64, u64::from(info.state == JobState::Done));
        self.by_id.insert(info.id, place);
        self.count += 1;
        self.bytes += size;
        self.done += done;
        let Some(topic) = self.topics.get_mut(number as usize) else { return place };
        if topic.order.is_empty() {
            self.oldest.insert((seq, number));
        }
        let count = topic.order.len() as u64;
        self.counts.change(number, count, count + 1);
        self.sizes.change(number, topic.bytes, topic.bytes + size);
        topic.bytes += size;
        topic.done += done;
        if let Some(index) = &info.index {
            topic.indexes.insert(index.clone(), seq);
        }
        topic.order.push_back((seq, info));
        place
    }

    fn make_topic(&mut self, name: Blob) -> u32 {
        let topic =
            TopicOutcomes { name: name.clone(), gone: self.forgotten, ..TopicOutcomes::default() };
        let number = self.topics.insert(topic) as u32;
        self.names.insert(name, number);
        number
    }

    /// Gives up the oldest outcome of a topic.
    pub(super) fn drop_oldest(&mut self, number: u32) {
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        let count = topic.order.len() as u64;
        let Some((seq, info)) = topic.order.pop_front() else { return };
        let (size, done) = (bytes_of(&info) as u64, u64::from(info.state == JobState::Done));
        self.counts.change(number, count, count - 1);
        self.sizes.change(number, topic.bytes, topic.bytes.saturating_sub(size));
        topic.bytes = topic.bytes.saturating_sub(size);
        topic.done = topic.done.saturating_sub(done);
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(size);
        self.done = self.done.saturating_sub(done);
        self.oldest.remove(&(seq, number));
        if let Some(next) = topic.first() {
            self.oldest.insert((next, number));
        }
        if let Some(index) = &info.index
            && topic.indexes.get(index) == Some(&seq)
        {
            topic.indexes.remove(index);
        }
        self.forget_id(&info, OutcomeKey { topic: number, seq });
        self.note_dropped(number, seq);
        if self.topics.get(number as usize).is_some_and(|topic| topic.order.is_empty()) {
            self.remove_topic(number);
        }
    }

    /// Removes the id of an outcome, unless it names another one.
    fn forget_id(&mut self, info: &JobInfo, place: OutcomeKey) {
        if self.by_id.get(&info.id) == Some(&place) {
            self.by_id.remove(&info.id);
        }
    }

    /// Notes that outcomes of a topic are dropped up to this number.
    pub(super) fn note_dropped(&mut self, number: u32, through: OutcomeSeq) {
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        topic.gone = through;
        if !self.journaled {
            return;
        }
        match self.unwritten.back_mut() {
            Some(UnrecordedChange::Dropped { topic: name, through: last })
                if *name == topic.name =>
            {
                *last = through;
            }
            _ => {
                let topic = topic.name.clone();
                self.unwritten.push_back(UnrecordedChange::Dropped { topic, through });
            }
        }
    }

    /// Drops a topic with its outcomes. For callers they are gone at once; their memory is freed slice
    /// by slice.
    pub(super) fn remove_topic(&mut self, number: u32) {
        let Some(topic) = self.topics.try_remove(number as usize) else { return };
        self.names.remove(&topic.name);
        self.forgotten = self.forgotten.max(topic.gone);
        let count = topic.order.len();
        self.counts.change(number, count as u64, 0);
        self.sizes.change(number, topic.bytes, 0);
        self.count -= count;
        self.bytes = self.bytes.saturating_sub(topic.bytes);
        self.done = self.done.saturating_sub(topic.done);
        if let Some(first) = topic.first() {
            self.oldest.remove(&(first, number));
            self.remains.push((number, topic));
        }
    }

    /// Frees a slice of the dropped topics.
    pub(super) fn take_apart(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some((number, topic)) = self.remains.last_mut() else { return };
            let number = *number;
            match topic.order.pop_front() {
                Some((seq, info)) => self.forget_id(&info, OutcomeKey { topic: number, seq }),
                None => drop(self.remains.pop()),
            }
        }
    }
}
