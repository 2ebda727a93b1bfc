//! [`Outcomes`]: what became of jobs, by id, by index, in the order in which they finished, and as
//! something one can wait for. Pure, like the queue beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ahash::RandomState;
use serde::{Deserialize, Serialize};

use super::change::Finish;
use super::describe::bytes_of;
use super::park::ParkId;
use super::record::{Head, OUTCOME_RECORD, blob, blobs, decode, encode};
use super::{Now, QueueError, micros, millis};
use crate::config::QueueConfig;
use crate::config::record::job_record_bytes;
use crate::journal::Batch;
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobState, OutcomeSeq, Reservation, UnixMillis,
};
use crate::store::Micros;

/// Most bytes of outcomes in one slice of a snapshot, one outcome more.
const SLICE_BYTES_MAX: usize = 64 * 1024;

/// What the queue cannot answer by itself.
#[derive(Debug)]
pub(crate) enum Sought {
    /// A job that is not in the queue (any more).
    Job {
        job: JobRef,
        to_cancel: bool,
    },
    /// The finish of a job; `live` is what it is if it has not come yet.
    Finish {
        job: JobRef,
        live: Option<Box<JobInfo>>,
    },
    Outcomes {
        topic: Blob,
        after: Option<OutcomeSeq>,
        limit: usize,
    },
    List {
        topic: Blob,
        state: JobState,
        after: OutcomeSeq,
        limit: usize,
    },
}

/// What was sought comes now, or later.
#[derive(Debug)]
pub(crate) enum Found {
    Now(Result<JobReply, QueueError>),
    Parked(ParkId),
}

/// Who waits is answered so.
#[derive(Debug)]
pub(crate) enum Told {
    Reply(JobReply),
    /// Its time is over: it is told what the job is now.
    Late(JobId),
}

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

#[derive(Debug)]
struct Parked {
    deadline: Micros,
    what: Waits,
}

#[derive(Debug)]
enum Waits {
    Finish(JobId),
    Follow { topic: Blob, after: OutcomeSeq, limit: usize },
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

    /// The time of day at the last record that was read back.
    pub(crate) fn utc(&self) -> UnixMillis {
        self.utc
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

    /// Whether a job's dead letter is known here. Those older than what is kept count as known.
    pub(crate) fn knows_of(&self, dead: &JobInfo) -> bool {
        let last = self.kept.back().and_then(|it| it.finished).unwrap_or(0);
        let known = self.by_id.get(&dead.id).and_then(|seq| self.get(*seq));
        // One of an earlier life says nothing of this one.
        dead.finished.unwrap_or(0) < last || known.is_some_and(|known| known.epoch >= dead.epoch)
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
        self.evict();
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

    /// Gives up what is too much or too old.
    fn evict(&mut self) {
        let age = millis(self.config.outcomes_age_max);
        while let Some(oldest) = self.kept.front() {
            let too_much = self.kept.len() > self.config.outcomes_max
                || self.bytes > self.config.outcomes_bytes_max;
            let too_old = oldest.finished.unwrap_or(0).saturating_add(age) <= self.utc;
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

    /// Answers, or parks until `wait` is over.
    pub(crate) fn seek(&mut self, now: Now, sought: Sought, wait: std::time::Duration) -> Found {
        match sought {
            Sought::Job { job, to_cancel } => Found::Now(match self.find(&job) {
                Some(info) if to_cancel => Err(QueueError::JobFinished(info.id)),
                Some(info) => Ok(JobReply::Job(Box::new(info.clone()))),
                None => Err(QueueError::not_found(&job)),
            }),
            Sought::Finish { job, live } => self.seek_finish(now, &job, live, wait),
            Sought::List { topic, state, after, limit } => {
                let page = self.page(&topic, after, limit, |info| info.state == state);
                Found::Now(Ok(JobReply::Jobs(page)))
            }
            Sought::Outcomes { topic, after, limit } => {
                // One that is still to come is no place to go on from: those before it are too.
                let after = after.unwrap_or(OutcomeSeq::MAX).min(self.end() - 1);
                if after + 1 < self.first {
                    return Found::Now(Err(QueueError::OutcomesGone { first: self.first }));
                }
                let page = self.page(&topic, after, limit, |_| true);
                if !page.jobs.is_empty() || wait.is_zero() {
                    return Found::Now(Ok(JobReply::Jobs(page)));
                }
                let park =
                    self.park(now, wait, Waits::Follow { topic: topic.clone(), after, limit });
                match park {
                    Err(error) => Found::Now(Err(error)),
                    Ok(park) => {
                        self.by_topic.entry(topic).or_default().followers.insert(park);
                        Found::Parked(park)
                    }
                }
            }
        }
    }

    fn seek_finish(
        &mut self,
        now: Now,
        job: &JobRef,
        live: Option<Box<JobInfo>>,
        wait: std::time::Duration,
    ) -> Found {
        let found = match &live {
            // Of an earlier life, before it was replayed, or of an earlier job of its index.
            Some(live) => self
                .by_id
                .get(&live.id)
                .and_then(|seq| self.get(*seq))
                .filter(|it| it.epoch >= live.epoch && it.state != JobState::Dead),
            None => self.find(job),
        };
        if let Some(info) = found {
            return Found::Now(Ok(JobReply::Job(Box::new(info.clone()))));
        }
        let Some(live) = live else { return Found::Now(Err(QueueError::not_found(job))) };
        if wait.is_zero() {
            return Found::Now(Ok(JobReply::Job(live)));
        }
        match self.park(now, wait, Waits::Finish(live.id)) {
            Err(error) => Found::Now(Err(error)),
            Ok(park) => {
                self.finishes.entry(live.id).or_default().insert(park);
                Found::Parked(park)
            }
        }
    }

    fn find(&self, job: &JobRef) -> Option<&JobInfo> {
        let seq = match job {
            JobRef::Id(id) => self.by_id.get(id)?,
            JobRef::Index { topic, index } => self.by_topic.get(topic)?.indexes.get(index)?,
        };
        self.get(*seq)
    }

    fn page(
        &self,
        topic: &Blob,
        after: OutcomeSeq,
        limit: usize,
        fits: impl Fn(&JobInfo) -> bool,
    ) -> JobPage {
        let mut page = JobPage { after, ..JobPage::default() };
        let Some(named) = self.by_topic.get(topic) else { return page };
        let from = named.order.partition_point(|seq| *seq <= after);
        let mut bytes = 0;
        for seq in named.order.range(from..) {
            if page.jobs.len() >= limit || bytes >= self.config.list_bytes_max {
                page.more = true;
                break;
            }
            page.after = *seq;
            if let Some(info) = self.get(*seq).filter(|info| fits(info)) {
                bytes += bytes_of(info);
                page.jobs.push(info.clone());
            }
        }
        page
    }

    fn park(
        &mut self,
        now: Now,
        wait: std::time::Duration,
        what: Waits,
    ) -> Result<ParkId, QueueError> {
        let (max, parked) = (self.config.parked_max, self.parked.len());
        QueueError::limit("queue.parked_max", max, parked + 1, "too many requests wait already")?;
        self.next_park += 1;
        let park = self.next_park;
        let deadline = now.steady.saturating_add(micros(wait));
        self.deadlines.insert((deadline, park));
        self.parked.insert(park, Parked { deadline, what });
        Ok(park)
    }

    /// Takes one that waits out; false if it waits no more.
    pub(crate) fn unpark(&mut self, park: ParkId) -> bool {
        self.take_parked(park).is_some()
    }

    fn take_parked(&mut self, park: ParkId) -> Option<Waits> {
        let Parked { deadline, what } = self.parked.remove(&park)?;
        self.deadlines.remove(&(deadline, park));
        match &what {
            Waits::Finish(id) => {
                if let Some(waiting) = self.finishes.get_mut(id) {
                    waiting.remove(&park);
                    if waiting.is_empty() {
                        self.finishes.remove(id);
                    }
                }
            }
            Waits::Follow { topic, .. } => {
                if let Some(named) = self.by_topic.get_mut(topic) {
                    named.followers.remove(&park);
                    if named.order.is_empty() && named.followers.is_empty() {
                        self.by_topic.remove(topic);
                    }
                }
            }
        }
        Some(what)
    }

    fn tell_finish(&mut self, id: JobId, seq: OutcomeSeq) {
        for park in self.finishes.get(&id).cloned().into_iter().flatten() {
            self.unpark(park);
            if let Some(info) = self.get(seq) {
                let reply = JobReply::Job(Box::new(info.clone()));
                self.told.push((park, Told::Reply(reply)));
            }
        }
    }

    fn tell_followers(&mut self, topic: &Blob) {
        let Some(named) = self.by_topic.get_mut(topic) else { return };
        for park in std::mem::take(&mut named.followers) {
            if let Some(Waits::Follow { topic, after, limit }) = self.take_parked(park) {
                let page = self.page(&topic, after, limit, |_| true);
                self.told.push((park, Told::Reply(JobReply::Jobs(page))));
            }
        }
    }

    /// Ends waits whose time is over; gives all that are answered.
    pub(crate) fn finish_turn(&mut self, now: Now) -> Vec<(ParkId, Told)> {
        self.utc = self.utc.max(now.utc);
        self.evict();
        for _ in 0..self.config.slice_max {
            let Some((deadline, park)) = self.deadlines.first().copied() else { break };
            if deadline > now.steady {
                break;
            }
            match self.take_parked(park) {
                Some(Waits::Finish(id)) => self.told.push((park, Told::Late(id))),
                Some(Waits::Follow { after, .. }) => {
                    // Everything up to now was looked at.
                    let page = JobPage { after: after.max(self.end() - 1), ..JobPage::default() };
                    self.told.push((park, Told::Reply(JobReply::Jobs(page))));
                }
                None => {}
            }
        }
        std::mem::take(&mut self.told)
    }

    /// Everyone who waits, when the service stops.
    pub(crate) fn stop(&mut self) -> Vec<ParkId> {
        let parked: Vec<ParkId> = self.parked.keys().copied().collect();
        parked.iter().for_each(|park| drop(self.take_parked(*park)));
        parked
    }

    /// How long until something is due; `None` for never.
    pub(crate) fn next_due(&self, now: Now) -> Option<std::time::Duration> {
        let age = millis(self.config.outcomes_age_max);
        let aged = self.kept.front().map(|oldest| {
            let at = oldest.finished.unwrap_or(0).saturating_add(age);
            at.saturating_sub(self.utc.max(now.utc)).saturating_mul(1_000)
        });
        let late = self.deadlines.first().map(|(at, _)| at.saturating_sub(now.steady));
        [aged, late].into_iter().flatten().min().map(std::time::Duration::from_micros)
    }

    /// Appends a record of what came since the last to `out`: all of it, or as much as fits well
    /// into one; false if there is nothing.
    pub(crate) fn take_record(&mut self, out: &mut Vec<u8>) -> bool {
        let (mut bytes, from) = (0, self.unwritten);
        let max = job_record_bytes(&self.config);
        while self.unwritten < self.end() && bytes < max {
            bytes += self.get(self.unwritten).map_or(0, bytes_of);
            self.unwritten += 1;
        }
        if from == self.unwritten {
            return false;
        }
        self.encode(from, self.unwritten, self.utc, out);
        true
    }

    fn encode(&self, from: OutcomeSeq, to: OutcomeSeq, at: UnixMillis, out: &mut Vec<u8>) {
        out.extend_from_slice(&OUTCOME_RECORD);
        encode(&Head { at, changes: (to - from) as u32 }, out);
        for seq in from..to {
            if let Some(info) = self.get(seq) {
                encode(&StoredChange::Recorded(StoredOutcome::from(info)), out);
            }
        }
    }

    /// Whether `payload` is a record of outcomes.
    pub(crate) fn owns(payload: &[u8]) -> bool {
        payload.starts_with(&OUTCOME_RECORD)
    }

    /// Does again what a record says was done.
    ///
    /// Errors: a sentence, if it is no record of this version or does not follow on the last.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        let Some(rest) = payload.strip_prefix(&OUTCOME_RECORD) else {
            return Err("not a record of outcomes, or of another version".to_owned());
        };
        let (head, mut rest) = decode::<Head>(rest)?;
        self.utc = self.utc.max(head.at);
        for _ in 0..head.changes {
            let (change, after) = decode::<StoredChange>(rest)?;
            rest = after;
            match change {
                // Again, if those told before were given up meanwhile.
                StoredChange::Began { first } if (self.end()..1 << 62).contains(&first) => {
                    while !self.kept.is_empty() {
                        self.drop_oldest();
                    }
                    self.first = first;
                }
                StoredChange::Began { .. } => {
                    return Err("a snapshot begins where none can be".to_owned());
                }
                StoredChange::Recorded(outcome) => {
                    self.put(Box::new(outcome.into()));
                    self.evict();
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow", rest.len())) }
    }

    /// Begins a snapshot of what there is now. Outcomes do not change; those given up meanwhile
    /// are not in it.
    pub(crate) fn begin_snapshot(&mut self) {
        self.telling = Some((self.first, self.end(), false));
    }

    pub(crate) fn end_snapshot(&mut self) {
        self.telling = None;
    }

    /// Appends the next records of the snapshot, about `slice` outcomes; false when there are no
    /// more.
    pub(crate) fn tell_snapshot(&mut self, slice: usize, out: &mut Batch) -> bool {
        let Some((cursor, end, begun)) = self.telling else { return false };
        let from = cursor.max(self.first).min(end);
        if !begun || from > cursor {
            self.telling = Some((from, end, true));
            out.push_if(|out| {
                out.extend_from_slice(&OUTCOME_RECORD);
                encode(&Head { at: self.utc, changes: 1 }, out);
                encode(&StoredChange::Began { first: from }, out);
                true
            });
            return true;
        }
        let (mut to, mut bytes) = (from, 0);
        let slice_bytes = SLICE_BYTES_MAX.min(job_record_bytes(&self.config));
        while to < end && to - from < slice as u64 && bytes < slice_bytes {
            bytes += self.get(to).map_or(0, bytes_of);
            to += 1;
        }
        if to > from {
            let at = self.utc;
            out.push_if(|out| {
                self.encode(from, to, at, out);
                true
            });
        }
        self.telling = Some((to, end, true));
        to < end
    }

    /// Results that are kept.
    #[cfg(test)]
    pub(crate) fn results(&self) -> u64 {
        self.done
    }
}

#[derive(Serialize, Deserialize)]
enum StoredChange {
    /// A snapshot begins: outcomes from this number on follow.
    Began {
        first: OutcomeSeq,
    },
    Recorded(StoredOutcome),
}

#[derive(Serialize, Deserialize)]
struct StoredOutcome {
    id: JobId,
    #[serde(with = "blob")]
    topic: Blob,
    state: Finish,
    #[serde(with = "blobs")]
    index: Option<Blob>,
    #[serde(with = "blobs")]
    order_key: Option<Blob>,
    priority: u8,
    epoch: u32,
    failures: u32,
    losses: u32,
    retry_max: u32,
    pushed: UnixMillis,
    started: Option<UnixMillis>,
    finished: UnixMillis,
    errors: Vec<String>,
    #[serde(with = "blobs")]
    output: Option<Blob>,
}

impl From<&JobInfo> for StoredOutcome {
    fn from(info: &JobInfo) -> Self {
        Self {
            id: info.id,
            topic: info.topic.clone(),
            state: info.state.into(),
            index: info.index.clone(),
            order_key: info.order_key.clone(),
            priority: info.priority,
            epoch: info.epoch,
            failures: info.failures,
            losses: info.losses,
            retry_max: info.retry_max,
            pushed: info.pushed,
            started: info.started,
            finished: info.finished.unwrap_or(0),
            errors: info.errors.clone(),
            output: info.output.clone(),
        }
    }
}

impl From<StoredOutcome> for JobInfo {
    fn from(stored: StoredOutcome) -> Self {
        Self {
            id: stored.id,
            topic: stored.topic,
            state: stored.state.into(),
            index: stored.index,
            order_key: stored.order_key,
            priority: stored.priority,
            epoch: stored.epoch,
            failures: stored.failures,
            losses: stored.losses,
            retry_max: stored.retry_max,
            pushed: stored.pushed,
            started: stored.started,
            finished: Some(stored.finished),
            output: stored.output,
            errors: stored.errors,
            ..super::describe::no_info()
        }
    }
}
