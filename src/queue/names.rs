//! Which topics there are. They are made by whoever names them, and there is an end to it: past that
//! one that has nothing is forgotten for each new one.

use std::collections::BTreeSet;

use super::change::Change;
use super::topic::Topic;
use super::{QueueError, State, TopicNo};
use crate::model::{Blob, TopicSettings};

impl State {
    /// The topic of this name, which is made if there is none.
    pub(super) fn topic_or_make(&mut self, name: &Blob) -> Result<TopicNo, QueueError> {
        if let Some(topic) = self.names.get(name) {
            return Ok(*topic);
        }
        self.check_name("topic", name)?;
        for change in self.plan_topics(&BTreeSet::from([name]))? {
            self.commit(change);
        }
        self.topic_named(name)
    }

    /// What makes those of these topics that are not there; none of the others is forgotten for
    /// it.
    pub(super) fn plan_topics(
        &mut self,
        names: &BTreeSet<&Blob>,
    ) -> Result<Vec<Change>, QueueError> {
        let unknown: Vec<&Blob> =
            names.iter().copied().filter(|name| !self.names.contains_key(*name)).collect();
        let free = self.config.topics_max.saturating_sub(self.topics.len());
        let mut forgettable =
            self.forgettable(names, unknown.len().saturating_sub(free)).into_iter();
        let max = self.config.topics_max as u64;
        let changes = unknown.into_iter().enumerate().map(|(count, name)| {
            let name = name.clone();
            if count < free {
                return Ok(Change::TopicMade { name });
            }
            let what = "too many topics are in use; finish or clear one first";
            let limit = QueueError::Limit { name: "queue.topics_max", max, what };
            let topic = forgettable.next().ok_or(limit)?;
            Ok(Change::TopicReplaced { topic, name })
        });
        changes.collect()
    }

    /// Up to `count` topics that have nothing, from where the last one was forgotten.
    ///
    /// Each that is in use again is looked at once for each time that it was left: what this costs
    /// does not depend on how many topics there are.
    fn forgettable(&mut self, but: &BTreeSet<&Blob>, count: usize) -> Vec<TopicNo> {
        let (mut found, mut in_use) = (Vec::new(), Vec::new());
        let from = self.forgotten;
        for number in self.idle.range(from..).chain(self.idle.range(..from)) {
            if found.len() == count {
                break;
            }
            if self.topic(*number).is_some_and(|topic| but.contains(&topic.name)) {
                continue;
            }
            if self.is_forgettable(*number) { found.push(*number) } else { in_use.push(*number) }
        }
        for number in in_use {
            self.idle.remove(&number);
        }
        found
    }

    /// Something has left a topic, which may have nothing now.
    pub(super) fn note_left(&mut self, number: TopicNo) {
        if self.is_forgettable(number) {
            self.idle.insert(number);
        }
    }

    /// Whether nobody would miss the topic but for its counts.
    pub(super) fn is_forgettable(&self, number: TopicNo) -> bool {
        let empty = |topic: &Topic| {
            topic.jobs == 0
                && topic.dead.is_empty()
                && topic.indexes.is_empty()
                && topic.reserves.is_empty()
                && topic.throttled.is_none()
                && !topic.paused
                && topic.settings == TopicSettings::default()
        };
        self.topic(number).is_some_and(empty) && self.producers.first(Some(number)).is_none()
    }

    pub(super) fn make_topic(&mut self, name: Blob) {
        let number = self.topics.len() as TopicNo;
        self.names.insert(name.clone(), number);
        self.topics.push(Topic::named(name));
        self.note_left(number);
    }

    pub(super) fn replace_topic(&mut self, number: TopicNo, name: Blob) {
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        let new = Topic { is_hot: topic.is_hot, ..Topic::named(name.clone()) };
        let old = std::mem::replace(topic, new);
        self.names.remove(&old.name);
        // Those whose time was over, which the journal does not say.
        self.finished_indexes.remove_topic(number);
        self.names.insert(name, number);
        self.forgotten = number + 1;
        self.note_left(number);
    }
}
