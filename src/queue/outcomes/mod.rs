//! [`Outcomes`]: what became of jobs, by id, by index, in the order in which they finished, and as
//! something one can wait for. Pure, like the queue beside it.

mod journaled;
mod kept;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::environment::RandomState;
use slab::Slab;

use self::journaled::{Telling, Unwritten};
use self::kept::{Place, Topic};
use self::waits::Parked;
pub(crate) use self::waits::{Found, Sought, Told, Topical};
use super::park::ParkId;
use super::{Now, millis};
use crate::config::QueueConfig;
use crate::fair::{ClientId, FairShares};
use crate::model::{Blob, JobId, JobInfo, JobState, OutcomeSeq, Reservation, UnixMillis};
use crate::store::{Micros, Shares};

#[derive(Debug)]
pub(crate) struct Outcomes {
    config: QueueConfig,
    /// The number of the next.
    next: OutcomeSeq,
    /// The topics of which something is kept.
    topics: Slab<Topic>,
    names: HashMap<Blob, u32, RandomState>,
    /// Of any other topic, outcomes up to this number may have been given up.
    forgotten: OutcomeSeq,
    /// Ordered, as jobs finish about in the order of their ids: what comes and what goes is close
    /// together in memory. Of a topic that was given up whole, some may be left for a while.
    by_id: BTreeMap<JobId, Place>,
    /// The oldest of each topic.
    oldest: BTreeSet<(OutcomeSeq, u32)>,
    /// How many outcomes of each topic are kept, and how many bytes.
    counts: Shares<u32>,
    sizes: Shares<u32>,
    count: usize,
    bytes: u64,
    /// Results among those kept.
    done: u64,
    /// Topics that were given up whole, and are to be taken apart.
    remains: Vec<(u32, Topic)>,
    /// What is not in a record yet.
    unwritten: VecDeque<Unwritten>,
    /// The highest number that an outcome was kept under.
    newest: OutcomeSeq,
    /// The number that whoever reads the records takes for the next.
    written_next: OutcomeSeq,
    journaled: bool,
    utc: UnixMillis,
    /// How much of it passed in jumps of the clock, which age nothing.
    unaged: UnixMillis,
    /// Results that were recorded, in this order, until the queue has it that they are.
    unconfirmed: VecDeque<Reservation>,
    /// Of them, those that the snapshot under way still has to tell.
    unconfirmed_untold: Vec<Reservation>,
    parked: HashMap<ParkId, Parked, RandomState>,
    /// Requests that wait, by client.
    waiting: FairShares<ClientId>,
    deadlines: BTreeSet<(Micros, ParkId)>,
    finishes: HashMap<JobId, BTreeSet<ParkId>, RandomState>,
    followers: HashMap<Blob, BTreeSet<ParkId>, RandomState>,
    next_park: ParkId,
    told: Vec<(ParkId, Told)>,
    telling: Option<Telling>,
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

    /// Returns the time of day at the last record that was read back.
    pub(crate) fn utc(&self) -> UnixMillis {
        self.utc
    }

    /// Sets the time of day at a start, which may be behind that of the last record.
    pub(super) fn set_utc(&mut self, utc: UnixMillis) {
        self.utc = utc;
    }

    fn get(&self, place: Place) -> Option<&JobInfo> {
        self.topics.get(place.topic as usize)?.get(place.seq)
    }

    fn by_id(&self, id: JobId) -> Option<&JobInfo> {
        self.get(*self.by_id.get(&id)?)
    }

    fn named(&self, topic: &Blob) -> Option<&Topic> {
        self.topics.get(*self.names.get(topic)? as usize)
    }

    /// Notes that the queue has it that the next `count` results are recorded.
    pub(crate) fn confirmed(&mut self, count: usize) {
        let count = count.min(self.unconfirmed.len());
        self.unconfirmed.drain(..count);
    }

    /// Records what became of a job; whoever waits for it is told.
    pub(crate) fn record(&mut self, now: Now, info: Box<JobInfo>) {
        self.utc = self.utc.max(now.utc);
        let id = info.id;
        let topic = info.topic.clone();
        if self.journaled && info.state == JobState::Done {
            self.unconfirmed.push_back(Reservation { id, epoch: info.epoch });
        }
        // Records that were changed may have left the next number behind those that are kept, or that
        // were given up.
        self.next = self.next.max(self.newest.max(self.forgotten) + 1);
        let place = self.put(info);
        if self.journaled {
            self.unwritten.push_back(Unwritten::Recorded(place));
        }
        self.tell_finish(id, place);
        self.tell_followers(&topic);
    }

    /// Sets how much of the time of day passed in jumps of the clock: nothing is kept a shorter time
    /// for them.
    pub(crate) fn set_unaged(&mut self, unaged: UnixMillis) {
        self.unaged = unaged;
    }

    /// Gives up what is too much or too old: a slice of it.
    fn evict(&mut self) {
        for _ in 0..self.config.slice_max {
            let Some(topic) = self.surplus() else { break };
            self.drop_oldest(topic);
        }
        self.take_apart();
    }

    /// The topic whose oldest outcome is not to be kept: of what is too much, one of whoever has the
    /// most of it.
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

    /// Until when the oldest is kept, by a time of day of which jumps are part.
    fn oldest_until(&self) -> Option<UnixMillis> {
        let (seq, topic) = *self.oldest.first()?;
        let finished = self.get(Place { topic, seq })?.finished.unwrap_or(0);
        let age = millis(self.config.outcomes_age_max);
        Some(finished.saturating_add(age).saturating_add(self.unaged))
    }

    /// How long until something is due; `None` for never.
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

    /// Results that are kept.
    #[cfg(test)]
    pub(crate) fn results(&self) -> u64 {
        self.done
    }
}
