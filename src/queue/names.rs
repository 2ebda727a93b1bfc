//! The topics. A request that names a topic creates it, up to a limit; beyond that, an unused topic is
//! forgotten for each new one. A deleted topic leaves its number vacant, because jobs and snapshots
//! refer to topics by number; the next new topic takes the number.

use std::collections::BTreeSet;

use super::change::QueueChange;
use super::topic::TopicState;
use super::{QueueError, QueueState, TopicNo};
use crate::fair::{ClientId, Excess, FairShares, Sharer as _};
use crate::model::{Blob, JobReply, TopicSettings};

/// The clients that created topics since the start; the journal does not record them.
#[derive(Debug, Default)]
pub(super) struct TopicMakers {
    /// Topics with a name, by client.
    shares: FairShares<ClientId>,
    /// The client whose topics are being created.
    making: ClientId,
}

impl QueueState {
    /// Returns the topic with this name; creates it for `client` if it does not exist.
    pub(super) fn topic_or_make(
        &mut self,
        name: &Blob,
        client: ClientId,
    ) -> Result<TopicNo, QueueError> {
        if let Some(topic) = self.names.get(name) {
            return Ok(*topic);
        }
        self.check_name("topic", name)?;
        let made = self.plan_topics(&BTreeSet::from([name]), client)?;
        self.make_topics(made, client);
        self.topic_named(name)
    }

    /// Applies the changes that [`plan_topics`](Self::plan_topics) has returned for `client`.
    pub(super) fn make_topics(&mut self, made: Vec<QueueChange>, client: ClientId) {
        self.makers.making = client;
        made.into_iter().for_each(|change| self.commit(change));
        self.makers.making = ClientId::Process;
    }

    /// Returns the changes that create for `client` those of these topics that do not exist. None
    /// of the changes displaces another topic of `names`. A client may take unused topic numbers up
    /// to its share, displace unused topics of others until it has half of all topics, and displace
    /// any unused topics of its own.
    pub(super) fn plan_topics(
        &mut self,
        names: &BTreeSet<&Blob>,
        client: ClientId,
    ) -> Result<Vec<QueueChange>, QueueError> {
        let unknown: Vec<&Blob> =
            names.iter().copied().filter(|name| !self.names.contains_key(*name)).collect();
        let topics_max = self.config.topics_max;
        let left = self.makers.shares.units(client, topics_max as u64);
        let left = usize::try_from(left).unwrap_or(usize::MAX).min(unknown.len());
        let mut vacant: Vec<TopicNo> = self.vacant.iter().copied().take(left).collect();
        let free = topics_max.saturating_sub(self.topics.len()).min(left - vacant.len());
        let missing = unknown.len().saturating_sub(vacant.len() + free);
        let made = unknown.len() - vacant.len() - missing;
        vacant.extend(self.forgettable(names, missing, client));
        let mut numbers = vacant.into_iter();
        let of_others = self.may_replace(client);
        let excess = match self.names.len() < topics_max || of_others == 0 {
            true => Excess::Share,
            false => Excess::Full,
        };
        let changes = unknown.into_iter().enumerate().map(|(count, name)| {
            let name = name.clone();
            if count < made {
                return Ok(QueueChange::TopicMade { name });
            }
            let what = "too many topics are in use; finish, clear or delete one first";
            let what = excess.what(what);
            let limit =
                QueueError::Limit { name: "queue.topics_max", max: topics_max as u64, what };
            let topic = numbers.next().ok_or(limit)?;
            Ok(QueueChange::TopicReplaced { topic, name })
        });
        changes.collect()
    }

    /// Returns up to `count` unused topics, continuing from where the last one was forgotten.
    ///
    /// A topic that is in use again is examined once for each time that it became unused, so the cost
    /// does not depend on the number of topics.
    fn forgettable(
        &mut self,
        but: &BTreeSet<&Blob>,
        count: usize,
        client: ClientId,
    ) -> Vec<TopicNo> {
        let (mut found, mut stale) = (Vec::new(), Vec::new());
        let of_others = self.may_replace(client);
        let (first, rest, count) = match of_others {
            0 => (self.idle.range((client, 0)..=(client, TopicNo::MAX)), None, count),
            _ => {
                let from = self.forgotten;
                let before = self.idle.range(..from);
                (self.idle.range(from..), Some(before), count.min(of_others))
            }
        };
        for place in first.chain(rest.into_iter().flatten()) {
            if found.len() == count {
                break;
            }
            let (maker, number) = *place;
            let Some(topic) = self.topic(number).filter(|topic| topic.creator == maker) else {
                stale.push(*place);
                continue;
            };
            if but.contains(&topic.name) {
                continue;
            }
            if self.is_forgettable(number) { found.push(number) } else { stale.push(*place) }
        }
        for place in stale {
            self.idle.remove(&place);
        }
        found
    }

    /// Returns how many unused topics of other clients may be forgotten for topics of `client`.
    fn may_replace(&self, client: ClientId) -> usize {
        if !client.has_share() {
            return usize::MAX;
        }
        let made = usize::try_from(self.makers.shares.held(client)).unwrap_or(usize::MAX);
        self.config.topics_max.div_ceil(2).saturating_sub(made)
    }

    /// Notes that a topic may have become unused.
    pub(super) fn note_left(&mut self, number: TopicNo) {
        if self.is_forgettable(number)
            && let Some(topic) = self.topic(number)
        {
            self.idle.insert((topic.creator, number));
        }
    }

    /// Returns whether the topic is unused: nothing but its counts would be lost.
    pub(super) fn is_forgettable(&self, number: TopicNo) -> bool {
        let empty = |topic: &TopicState| {
            !topic.name.is_empty()
                && topic.jobs == 0
                && topic.dead.is_empty()
                && topic.indexes.is_empty()
                && topic.reserves.is_empty()
                && topic.held_back.is_empty()
                && topic.throttled.is_none()
                && !topic.paused
                && topic.settings == TopicSettings::default()
        };
        self.topic(number).is_some_and(empty) && self.producers.first(Some(number)).is_none()
    }

    /// Deletes a topic; with `force`, first a slice of its waiting jobs and dead letters, then of the
    /// indexes of its finished jobs.
    pub(super) fn delete_topic(
        &mut self,
        name: &Blob,
        force: bool,
    ) -> Result<JobReply, QueueError> {
        let topic = self.topic_named(name)?;
        self.check_unused(name, topic, force)?;
        let (mut removed, mut more) = (0, false);
        if force {
            let (cleared, more_wait) = self.clear_slice(topic);
            let left = self.config.slice_max.saturating_sub(cleared);
            let (dead, more_dead) = self.dead_letters(name, None, left)?;
            (removed, more) = (cleared + dead.len(), more_wait || more_dead);
            dead.into_iter().for_each(|id| self.commit(QueueChange::Evicted { id }));
        }
        more = more || self.free_slice(topic, self.config.slice_max.saturating_sub(removed));
        if !more {
            self.commit(QueueChange::TopicDeleted { topic });
        }
        Ok(JobReply::Changed { count: removed as u64, more })
    }

    /// Checks that a topic can be deleted: that it is unused (with `force`, except for waiting jobs and
    /// dead letters), and that nothing would create it again.
    fn check_unused(&self, name: &Blob, number: TopicNo, force: bool) -> Result<(), QueueError> {
        let Some(topic) = self.topic(number) else { return Ok(()) };
        let schedules = self.schedules.all().filter(|set| set.topic == *name).count();
        let requests = topic.reserves.len() + self.producers.count(Some(number));
        let users = [
            counted(topic.reserved, "job runs", "jobs run"),
            counted(schedules as u64, "schedule pushes to it", "schedules push to it"),
            counted(requests as u64, "request waits for it", "requests wait for it"),
        ];
        let kept = [
            counted(topic.jobs - topic.reserved, "job waits", "jobs wait"),
            counted(topic.dead.len() as u64, "dead letter is kept", "dead letters are kept"),
        ];
        let in_use = users.iter().any(Option::is_some);
        let by: Vec<String> =
            users.into_iter().chain(kept.into_iter().filter(|_| !force)).flatten().collect();
        if by.is_empty() {
            return Ok(());
        }
        let advice = if in_use {
            "let its jobs end, remove its schedules and stop its workers first"
        } else {
            "clear it and delete its dead letters first, or force it"
        };
        Err(QueueError::TopicInUse { topic: name.clone(), by: by.join(", "), advice })
    }

    pub(super) fn make_topic(&mut self, name: Blob) {
        let number = self.topics.len() as TopicNo;
        self.topics.push(TopicState::named(name.clone()));
        self.name_topic(number, name);
    }

    /// Assigns a name to a number; without a name, the number is vacant.
    fn name_topic(&mut self, number: TopicNo, name: Blob) {
        if name.is_empty() {
            self.vacant.insert(number);
        } else {
            self.vacant.remove(&number);
            self.names.insert(name, number);
            let maker = self.makers.making;
            self.makers.shares.take(maker, 1);
            if let Some(topic) = self.topics.get_mut(number as usize) {
                topic.creator = maker;
            }
        }
        self.note_left(number);
    }

    /// Assigns the number of a topic to another one, or to none if the name is empty.
    pub(super) fn replace_topic(&mut self, number: TopicNo, name: Blob) {
        let Some(topic) = self.topics.get_mut(number as usize) else { return };
        let new = TopicState { is_dirty: topic.is_dirty, ..TopicState::named(name.clone()) };
        let old = std::mem::replace(topic, new);
        if self.names.remove(&old.name).is_some() {
            self.makers.shares.give_back(old.creator, 1);
        }
        // A forgotten topic may still have indexes whose time is over, which the journal does not
        // record.
        self.finished_indexes.remove_topic(number);
        if let Some(opens) = old.throttled {
            self.throttled.remove(&(opens, number));
        }
        self.forgotten = (old.creator, number + 1);
        self.name_topic(number, name);
    }
}

/// Formats a count with its noun; `None` for 0.
fn counted(count: u64, one: &str, many: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
}
