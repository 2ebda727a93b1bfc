//! [`Outcomes`]: what became of jobs, by id, by index, in the order in which they finished, and as
//! something one can wait for. Pure, like the queue beside it.

mod journaled;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;

use self::waits::Parked;
pub(crate) use self::waits::{Found, Sought, Told};
use super::describe::bytes_of;
use super::park::ParkId;
use super::{Now, millis};
use crate::config::QueueConfig;
use crate::model::{Blob, JobId, JobInfo, JobState, OutcomeSeq, Reservation, UnixMillis};
use crate::store::Micros;

#[derive(Debug)]
pub(crate) struct Outcomes {
    config: QueueConfig,
    /// The number of the oldest kept.
    first: OutcomeSeq,
    /// Boxed as they come: they are large, and moved about.
    kept: VecDeque<Box<JobInfo>>,
    bytes: u64,
    /// Ordered, as jobs finish about in the order of their ids: what comes and what goes is close
    /// together in memory.
    by_id: BTreeMap<JobId, OutcomeSeq>,
    by_topic: HashMap<Blob, Named, RandomState>,
    /// Results among those kept.
    done: u64,
    /// The first that is not in a record yet.
    unwritten: OutcomeSeq,
    journaled: bool,
    utc: UnixMillis,
    /// How much of it passed in jumps of the clock, which age nothing.
    unaged: UnixMillis,
    parked: HashMap<ParkId, Parked, RandomState>,
    deadlines: BTreeSet<(Micros, ParkId)>,
    finishes: HashMap<JobId, BTreeSet<ParkId>, RandomState>,
    next_park: ParkId,
    told: Vec<(ParkId, Told)>,
    /// How far a snapshot is, and where it ends.
    telling: Option<(OutcomeSeq, OutcomeSeq, bool)>,
}

/// What there is of a topic.
#[derive(Debug, Default)]
struct Named {
    order: VecDeque<OutcomeSeq>,
    indexes: HashMap<Blob, OutcomeSeq, RandomState>,
    followers: BTreeSet<ParkId>,
}

impl Outcomes {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self {
            config,
            first: 1,
            kept: VecDeque::new(),
            bytes: 0,
            by_id: BTreeMap::new(),
            by_topic: HashMap::default(),
            done: 0,
            unwritten: 1,
            journaled: false,
            utc: 0,
            unaged: 0,
            parked: HashMap::default(),
            deadlines: BTreeSet::new(),
            finishes: HashMap::default(),
            next_park: 0,
            told: Vec::new(),
            telling: None,
        }
    }

    pub(crate) fn set_journaled(&mut self, journaled: bool) {
        self.journaled = journaled;
        self.unwritten = self.end();
    }

    /// Returns the time of day at the last record that was read back.
    pub(crate) fn utc(&self) -> UnixMillis {
        self.utc
    }

    /// Sets the time of day at a start, which may be behind that of the last record.
    pub(super) fn set_utc(&mut self, utc: UnixMillis) {
        self.utc = utc;
    }

    /// The number of the next.
    fn end(&self) -> OutcomeSeq {
        self.first + self.kept.len() as OutcomeSeq
    }

    fn get(&self, seq: OutcomeSeq) -> Option<&JobInfo> {
        let place = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.kept.get(place).map(|info| &**info)
    }

    /// Whether the result of this hand-out is recorded.
    pub(crate) fn is_done(&self, reservation: Reservation) -> bool {
        let found = self.by_id.get(&reservation.id).and_then(|seq| self.get(*seq));
        found.is_some_and(|it| it.state == JobState::Done && it.epoch == reservation.epoch)
    }

    /// Whether what became of a job is known here. Those older than what is kept count as known.
    pub(crate) fn knows_of(&self, finished: &JobInfo) -> bool {
        let last = self.kept.back().and_then(|it| it.finished).unwrap_or(0);
        let known = self.by_id.get(&finished.id).and_then(|seq| self.get(*seq));
        // One of an earlier life says nothing of this one.
        finished.finished.unwrap_or(0) < last
            || known.is_some_and(|known| known.epoch >= finished.epoch)
    }

    /// Records what became of a job; whoever waits for it is told.
    pub(crate) fn record(&mut self, now: Now, info: Box<JobInfo>) {
        self.utc = self.utc.max(now.utc);
        let seq = self.end();
        let id = info.id;
        let topic = info.topic.clone();
        self.put(info);
        self.tell_finish(id, seq);
        self.tell_followers(&topic);
        self.evict(self.aged_utc());
    }

    fn put(&mut self, mut info: Box<JobInfo>) {
        let seq = self.end();
        info.outcome = Some(seq);
        self.bytes += bytes_of(&info) as u64;
        self.done += u64::from(info.state == JobState::Done);
        self.by_id.insert(info.id, seq);
        let named = match self.by_topic.get_mut(&info.topic) {
            Some(named) => named,
            None => self.by_topic.entry(info.topic.clone()).or_default(),
        };
        named.order.push_back(seq);
        if let Some(index) = &info.index {
            named.indexes.insert(index.clone(), seq);
        }
        self.kept.push_back(info);
    }

    /// Sets how much of the time of day passed in jumps of the clock: nothing is kept a shorter time
    /// for them.
    pub(crate) fn set_unaged(&mut self, unaged: UnixMillis) {
        self.unaged = unaged;
    }

    fn aged_utc(&self) -> UnixMillis {
        self.utc.saturating_sub(self.unaged)
    }

    /// Gives up what is too much, or too old at `aged`.
    fn evict(&mut self, aged: UnixMillis) {
        let age = millis(self.config.outcomes_age_max);
        while let Some(oldest) = self.kept.front() {
            let too_much = self.kept.len() > self.config.outcomes_max
                || self.bytes > self.config.outcomes_bytes_max;
            let too_old = oldest.finished.unwrap_or(0).saturating_add(age) <= aged;
            // What is not written must be.
            let written = !self.journaled || self.first < self.unwritten;
            if !(too_much || too_old) || !written {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(info) = self.kept.pop_front() else { return };
        let seq = self.first;
        self.first += 1;
        self.bytes = self.bytes.saturating_sub(bytes_of(&info) as u64);
        self.done -= u64::from(info.state == JobState::Done);
        if self.by_id.get(&info.id) == Some(&seq) {
            self.by_id.remove(&info.id);
        }
        let Some(named) = self.by_topic.get_mut(&info.topic) else { return };
        if named.order.front() == Some(&seq) {
            named.order.pop_front();
        }
        if let Some(index) = &info.index
            && named.indexes.get(index) == Some(&seq)
        {
            named.indexes.remove(index);
        }
        if named.order.is_empty() && named.followers.is_empty() {
            self.by_topic.remove(&info.topic);
        }
    }

    /// How long until something is due; `None` for never.
    pub(crate) fn next_due(&self, now: Now) -> Option<Duration> {
        let age = millis(self.config.outcomes_age_max);
        let aged = self.kept.front().map(|oldest| {
            let at = oldest.finished.unwrap_or(0).saturating_add(age).saturating_add(self.unaged);
            at.saturating_sub(self.utc.max(now.utc)).saturating_mul(1_000)
        });
        let late = self.deadlines.first().map(|(at, _)| at.saturating_sub(now.steady));
        [aged, late].into_iter().flatten().min().map(Duration::from_micros)
    }

    /// Results that are kept.
    #[cfg(test)]
    pub(crate) fn results(&self) -> u64 {
        self.done
    }
}
