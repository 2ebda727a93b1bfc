//! [`Outcomes`]: the outcomes of jobs, by id, by index, and in the order in which the jobs finished,
//! with the requests that wait for them. Pure, like the queue beside it.

mod journaled;
mod kept;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::environment::RandomState;
use slab::Slab;

use self::journaled::{OutcomesSnapshot, UnrecordedChange};
use self::kept::{OutcomeKey, TopicOutcomes};
use self::waits::ParkedQuery;
pub(crate) use self::waits::{OutcomeAnswer, OutcomeLookup, OutcomeQuery, TopicPage};
use super::park::ParkId;
use super::{Now, millis};
use crate::config::QueueConfig;
use crate::fair::{ClientId, FairShares};
use crate::model::{Blob, JobId, JobInfo, JobState, OutcomeSeq, Reservation, UnixMillis};
use crate::store::Shares;
use crate::time::Micros;

#[derive(Debug)]
pub(crate) struct Outcomes {
    config: QueueConfig,
    /// The number of the next outcome.
    next: OutcomeSeq,
    /// The topics with outcomes.
    topics: Slab<TopicOutcomes>,
    names: HashMap<Blob, u32, RandomState>,
    /// For any other topic, outcomes up to this number may have been dropped.
    forgotten: OutcomeSeq,
    /// Ordered, because jobs finish roughly in the order of their ids: entries that are added or
    /// removed together are close in memory. For a topic that was dropped, some may remain for a while.
    by_id: BTreeMap<JobId, OutcomeKey>,
    /// The oldest outcome of each topic.
    oldest: BTreeSet<(OutcomeSeq, u32)>,
    /// The number of outcomes kept for each topic, and their bytes.
    counts: Shares<u32>,
    sizes: Shares<u32>,
    count: usize,
    bytes: u64,
    /// The number of results among them.
    done: u64,
    /// Dropped topics whose memory is still to be freed.
    remains: Vec<(u32, TopicOutcomes)>,
    /// Changes that are not in a record yet.
    unwritten: VecDeque<UnrecordedChange>,
    /// The highest number of any outcome so far.
    newest: OutcomeSeq,
    /// The number that a reader of the records expects next.
    written_next: OutcomeSeq,
    journaled: bool,
    utc: UnixMillis,
    /// The part of `utc` that passed in jumps of the clock, which do not age anything.
    unaged: UnixMillis,
    /// Recorded results, in order, until the queue has recorded that their jobs are done.
    unconfirmed: VecDeque<Reservation>,
    /// Unconfirmed results that the snapshot in progress still has to include.
    unconfirmed_untold: Vec<Reservation>,
    parked: HashMap<ParkId, ParkedQuery, RandomState>,
    /// Waiting requests, by client.
    waiting: FairShares<ClientId>,
    deadlines: BTreeSet<(Micros, ParkId)>,
    finishes: HashMap<JobId, BTreeSet<ParkId>, RandomState>,
    followers: HashMap<Blob, BTreeSet<ParkId>, RandomState>,
    next_park: ParkId,
    told: Vec<(ParkId, OutcomeAnswer)>,
    telling: Option<OutcomesSnapshot>,
}

impl Outcomes {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self {
            config,
            next: 1,
            topics: Slab::new(),
            names: HashMap::default(),
            forgotten: 0,
            by_id: BTreeMap::new(),
            oldest: BTreeSet::new(),
            counts: Shares::default(),
            sizes: Shares::default(),
            count: 0,
            bytes: 0,
            done: 0,
            remains: Vec::new(),
            unwritten: VecDeque::new(),
            newest: 0,
            written_next: 1,
            journaled: false,
            utc: 0,
            unaged: 0,
            unconfirmed: VecDeque::new(),
            unconfirmed_untold: Vec::new(),
            parked: HashMap::default(),
            waiting: FairShares::default(),
            deadlines: BTreeSet::new(),
            finishes: HashMap::default(),
            followers: HashMap::default(),
            next_park: 0,
            told: Vec::new(),
            telling: None,
        }
    }

    pub(crate) fn set_journaled(&mut self, journaled: bool) {
        self.journaled = journaled;
        self.written_next = self.next;
    }

    /// Returns the time of day at the last replayed record.
    pub(crate) fn utc(&self) -> UnixMillis {
        self.utc
    }

    /// Sets the time of day at a start, which may be behind that of the last record.
    pub(super) fn set_utc(&mut self, utc: UnixMillis) {
        self.utc = utc;
    }

    fn get(&self, place: OutcomeKey) -> Option<&JobInfo> {
        self.topics.get(place.topic as usize)?.get(place.seq)
    }

    fn by_id(&self, id: JobId) -> Option<&JobInfo> {
        self.get(*self.by_id.get(&id)?)
    }

    fn named(&self, topic: &Blob) -> Option<&TopicOutcomes> {
        self.topics.get(*self.names.get(topic)? as usize)
    }

    /// Notes that the queue has recorded the next `count` results as done.
    pub(crate) fn confirmed(&mut self, count: usize) {
        let count = count.min(self.unconfirmed.len());
        self.unconfirmed.drain(..count);
    }

    /// Records the outcome of a job and answers the requests that wait for it.
    pub(crate) fn record(&mut self, now: Now, info: Box<JobInfo>) {
        self.utc = self.utc.max(now.utc);
        let id = info.id;
        let topic = info.topic.clone();
        if self.journaled && info.state == JobState::Done {
            self.unconfirmed.push_back(Reservation { id, epoch: info.epoch });
        }
        // Manipulated records may have left the next number behind outcomes that are kept or dropped.
        self.next = self.next.max(self.newest.max(self.forgotten) + 1);
        let place = self.put(info);
        if self.journaled {
            self.unwritten.push_back(UnrecordedChange::Recorded(place));
        }
        self.answer_finish(id, place);
        self.answer_followers(&topic);
    }

    /// Sets the part of the time of day that passed in jumps of the clock: it does not shorten
    /// retention.
    pub(crate) fn set_unaged(&mut self, unaged: UnixMillis) {
        self.unaged = unaged;
    }

    /// Drops a slice of the outcomes that are too many or too old.
    fn evict(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some(topic) = self.surplus() else { break };
            self.drop_oldest(topic);
        }
        self.take_apart();
    }

    /// Returns the topic whose oldest outcome must be dropped: if there are too many, the topic that
    /// has the most.
    fn surplus(&self) -> Option<u32> {
        let config = &self.config;
        let (most, many) = self.counts.most()?;
        if self.count > config.outcomes_max || most > config.topic_outcomes_max as u64 {
            return Some(many);
        }
        let (largest, large) = self.sizes.most()?;
        if self.bytes > config.outcomes_bytes_max || largest > config.topic_outcomes_bytes_max {
            return Some(large);
        }
        let (_, oldest) = self.oldest.first()?;
        (self.oldest_until()? <= self.utc).then_some(*oldest)
    }

    /// Returns the time until which the oldest outcome is kept, by a time of day that includes jumps.
    fn oldest_until(&self) -> Option<UnixMillis> {
        let (seq, topic) = *self.oldest.first()?;
        let finished = self.get(OutcomeKey { topic, seq })?.finished.unwrap_or(0);
        let age = millis(self.config.outcomes_age_max);
        Some(finished.saturating_add(age).saturating_add(self.unaged))
    }

    /// Returns the time until something is due; `None` for never.
    pub(crate) fn next_due(&self, now: Now) -> Option<Duration> {
        if !self.remains.is_empty() || self.surplus().is_some() {
            return Some(Duration::ZERO);
        }
        let aged = self
            .oldest_until()
            .map(|at| at.saturating_sub(self.utc.max(now.utc)).saturating_mul(1_000));
        let late = self.deadlines.first().map(|(at, _)| at.saturating_sub(now.steady));
        [aged, late].into_iter().flatten().min().map(Duration::from_micros)
    }

    /// Returns the number of results that are kept.
    #[cfg(test)]
    pub(crate) fn results(&self) -> u64 {
        self.done
    }
}
