//! Pushes: checks for capacity, and pushes that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::change::{PushedJob, QueueChange, RareFields};
use super::park::{ParkedKind, Requester};
use super::producers::PushScope;
use super::record::StoredBackoff;
use super::state::QueueAnswer;
use super::topic::IndexHold;
use super::{Effect, Now, ParkId, QueueError, QueueState, dispatch, millis};
use crate::config::QueueConfig;
use crate::fair::ClientId;
use crate::model::{
    Blob, JobId, JobReply, JobState, PushOptions, PushRequest, Pushed, TopicSettings,
};

/// The reason why pushes do not fit.
enum PushRefusal {
    Room(Limit),
    Refused(QueueError),
}

/// A limit without enough capacity left.
#[derive(Debug, Clone, Copy)]
struct Limit {
    place: PushScope,
    name: &'static str,
    max: u64,
}

impl From<QueueError> for PushRefusal {
    fn from(error: QueueError) -> Self {
        Self::Refused(error)
    }
}

impl QueueState {
    pub(super) fn push_or_park(
        &mut self,
        now: Now,
        requester: Requester,
        jobs: Vec<PushRequest>,
        wait: Duration,
    ) -> QueueAnswer {
        if self.draining {
            return QueueAnswer::Now(Err(QueueError::Stopping));
        }
        if !wait.is_zero()
            && let Some(blocked) = self.queue_before(requester.client, &jobs)
        {
            return match self.park_push(now, requester, jobs, wait, blocked) {
                Ok(park) => QueueAnswer::Parked(park),
                Err(error) => QueueAnswer::Now(Err(error)),
            };
        }
        let (unfit, jobs) = match self.push(requester.client, jobs) {
            Ok(pushed) => return QueueAnswer::Now(Ok(JobReply::Pushed(pushed))),
            Err(unfit) => unfit,
        };
        let limit = match unfit {
            PushRefusal::Refused(error) => return QueueAnswer::Now(Err(error)),
            PushRefusal::Room(limit) => limit,
        };
        if wait.is_zero() {
            return QueueAnswer::Now(Err(self.full(limit)));
        }
        match self.park_push(now, requester, jobs, wait, limit.place) {
            Ok(park) => QueueAnswer::Parked(park),
            Err(error) => QueueAnswer::Now(Err(error)),
        }
    }

    /// Returns a place where other pushes already wait for capacity that these jobs need too. A push
    /// that is willing to wait goes behind them, even if its jobs fit; otherwise small pushes would
    /// overtake large ones for ever.
    fn queue_before(&mut self, client: ClientId, jobs: &[PushRequest]) -> Option<PushScope> {
        // First, because usually none wait, and the push repeats the check.
        if self.producers.is_empty()
            || self.check_pushes(client, jobs).is_err()
            || jobs.iter().all(|job| self.taken(job).is_some())
        {
            return None;
        }
        let topics = jobs.iter().filter_map(|job| self.names.get(&job.topic).copied());
        let mut places = std::iter::once(None).chain(topics.map(Some));
        places.find(|place| self.producers.first(*place).is_some())
    }

    fn park_push(
        &mut self,
        now: Now,
        requester: Requester,
        jobs: Vec<PushRequest>,
        wait: Duration,
        blocked: PushScope,
    ) -> Result<ParkId, QueueError> {
        let wait = self.check_wait(Some(wait))?;
        self.check_parked(requester.client)?;
        let bytes = jobs.iter().map(parked_bytes_of).sum();
        QueueError::share(
            &self.parked.push_bytes,
            requester.client,
            bytes,
            "queue.parked_bytes_max",
            self.config.parked_bytes_max,
            "the pushes that wait for capacity are too large",
        )?;
        let what = ParkedKind::Push { jobs, bytes, blocked, charge: None };
        let park = self.parked.park(requester, dispatch::deadline(now, wait), what);
        self.producers.wait(blocked, park);
        Ok(park)
    }

    fn full(&self, Limit { place, name, max }: Limit) -> QueueError {
        let topic = place.and_then(|number| self.topic(number)).map(|topic| topic.name.clone());
        QueueError::Full { topic, name, max }
    }

    /// Returns the refusal of a push whose wait has timed out. If the push would fit by itself, it
    /// waited behind others, and the limit is that of the first of those.
    pub(super) fn still_full(&self, jobs: &[PushRequest], place: PushScope) -> QueueError {
        match self.check_capacity(jobs) {
            Err(PushRefusal::Room(limit)) => return self.full(limit),
            Err(PushRefusal::Refused(error)) => return error,
            Ok(()) => {}
        }
        let first = self.producers.first(place).and_then(|park| self.parked.parked.get(&park));
        if let Some(ParkedKind::Push { jobs, .. }) = first.map(|parked| &parked.what)
            && let Err(PushRefusal::Room(limit)) = self.check_capacity(jobs)
        {
            return self.full(limit);
        }
        // Nothing is known to block the push, and nothing became free since the last check.
        let topic = place.and_then(|number| self.topic(number));
        let [jobs_max, _] =
            topic.map_or(self.limits(), |topic| self.limits_of(place, Some(&topic.settings)));
        self.full(jobs_max)
    }

    /// Returns the limits of jobs and bytes of the queue.
    fn limits(&self) -> [Limit; 2] {
        [
            Limit { place: None, name: "queue.jobs_max", max: self.config.jobs_max as u64 },
            Limit { place: None, name: "queue.bytes_max", max: self.config.bytes_max },
        ]
    }

    /// Returns the limits of jobs and bytes of a topic: its own, or the defaults.
    fn limits_of(&self, place: PushScope, settings: Option<&TopicSettings>) -> [Limit; 2] {
        let jobs_max = settings.and_then(|settings| settings.jobs_max);
        let bytes_max = settings.and_then(|settings| settings.bytes_max);
        let limit = |own: Option<u64>, of_own, default: u64, of_default| match own {
            Some(max) => Limit { place, name: of_own, max },
            None => Limit { place, name: of_default, max: default },
        };
        let QueueConfig { topic_jobs_max, topic_bytes_max, .. } = self.config;
        [
            limit(jobs_max, "topic.jobs_max", topic_jobs_max, "queue.topic_jobs_max"),
            limit(bytes_max, "topic.bytes_max", topic_bytes_max, "queue.topic_bytes_max"),
        ]
    }

    /// Pushes all jobs, or none.
    fn push(
        &mut self,
        client: ClientId,
        jobs: Vec<PushRequest>,
    ) -> Result<Vec<Pushed>, (PushRefusal, Vec<PushRequest>)> {
        let topics = match self.check_pushes(client, &jobs) {
            Ok(topics) => topics,
            Err(unfit) => return Err((unfit, jobs)),
        };
        self.make_topics(topics, client);
        let mut pushed = Vec::with_capacity(jobs.len());
        for job in jobs {
            // All jobs were checked: none can be refused now.
            if let Ok(one) = self.push_one(client, job) {
                pushed.push(one);
            }
        }
        Ok(pushed)
    }

    /// Checks the pushes; returns the changes that create the missing topics.
    fn check_pushes(
        &mut self,
        client: ClientId,
        jobs: &[PushRequest],
    ) -> Result<Vec<QueueChange>, PushRefusal> {
        if jobs.is_empty() {
            return Err(QueueError::Invalid("a push needs at least one job".to_owned()).into());
        }
        self.check_count(jobs.len())?;
        jobs.iter().try_for_each(|job| self.check_push(job))?;
        let bytes = jobs.iter().map(bytes_of).sum();
        if jobs.len() > 1 {
            let what = "too many bytes in one push; push in several";
            QueueError::limit("queue.push_bytes_max", self.config.push_bytes_max, bytes, what)?;
        }
        self.check_capacity(jobs)?;
        if jobs.iter().all(|job| self.names.contains_key(&job.topic)) {
            return Ok(Vec::new());
        }
        Ok(self.plan_topics(&jobs.iter().map(|job| &job.topic).collect(), client)?)
    }

    /// Checks that there is capacity for the jobs, including those whose index may turn out to be
    /// taken.
    fn check_capacity(&self, jobs: &[PushRequest]) -> Result<(), PushRefusal> {
        let mut more: BTreeMap<&Blob, (u64, u64)> = BTreeMap::new();
        let (mut count, mut total) = (0, 0);
        for jobs in jobs.chunk_by(|one, next| one.topic == next.topic) {
            let (mut new, mut size) = (0, 0);
            for job in jobs.iter().filter(|job| self.taken(job).is_none()) {
                new += 1;
                size += bytes_of(job) as u64;
            }
            if let Some(job) = jobs.first().filter(|_| new > 0) {
                let (jobs, bytes) = more.entry(&job.topic).or_default();
                (*jobs, *bytes) = (*jobs + new, *bytes + size);
            }
            count += new;
            total += size;
        }
        self.check_ids(count).map_err(PushRefusal::Refused)?;
        let mut room = Ok(());
        for (name, more) in more {
            room = room.and(self.check_topic_capacity(name, more)?);
        }
        let [jobs_max, bytes_max] = self.limits();
        let what = "that many never fit in the queue";
        room.and(jobs_max.fits(self.unfinished as u64, count, what)?)
            .and(bytes_max.fits(self.bytes, total, what)?)
            .map_err(PushRefusal::Room)
    }

    /// Checks whether a topic has capacity for `jobs` more, of `bytes` in all.
    fn check_topic_capacity(
        &self,
        name: &Blob,
        (jobs, bytes): (u64, u64),
    ) -> Result<Result<(), Limit>, QueueError> {
        let number = self.names.get(name).copied();
        let topic = number.and_then(|number| self.topic(number));
        let [jobs_max, bytes_max] = self.limits_of(number, topic.map(|topic| &topic.settings));
        let (has_jobs, has_bytes) = topic.map_or((0, 0), |topic| (topic.jobs, topic.bytes));
        let what = "that many never fit in the topic";
        let room = jobs_max.fits(has_jobs, jobs, what)?;
        Ok(room.and(bytes_max.fits(has_bytes, bytes, what)?))
    }

    /// Returns the job that holds the index of this push, and its state.
    fn taken(&self, push: &PushRequest) -> Option<(JobId, JobState)> {
        let index = push.options.index.as_ref()?;
        let index = self.topic(*self.names.get(&push.topic)?)?.indexes.get(index)?;
        let state = match index.taken {
            IndexHold::Until(_, state) => state,
            _ => self.job(self.ids.get(index.id)?)?.state(),
        };
        index.is_taken(self.aged_utc()).then_some((index.id, state))
    }

    fn push_one(&mut self, client: ClientId, push: PushRequest) -> Result<Pushed, QueueError> {
        if let Some((id, state)) = self.taken(&push) {
            return Ok(Pushed { id, state, existing: true });
        }
        let topic = self.topic_or_make(&push.topic, client)?;
        let id = self.next_id;
        let PushOptions { priority, delay, retry_max, loss_max, .. } = push.options;
        let new = PushedJob {
            id,
            topic,
            payload: push.payload,
            due: self.utc.saturating_add(millis(delay)),
            priority,
            retry_max,
            loss_max,
            rare: rare_of(&push.options).map(Box::new),
        };
        self.commit(QueueChange::Pushed(new));
        if let Some(it) = self.topics.get_mut(topic as usize) {
            it.pushed.add(self.steady, 1);
        }
        let state = if delay.is_zero() { JobState::Ready } else { JobState::Delayed };
        Ok(Pushed { id, state, existing: false })
    }

    /// Admits pushes that wait for capacity, in order. Checks up to `budget` of them and returns the
    /// rest of the budget; if that is 0, the next turn continues.
    pub(super) fn admit_pushes(&mut self, mut budget: usize) -> usize {
        while let Some(place) = self.producers.first_opened() {
            while let Some(park) = self.producers.first(place) {
                if budget == 0 {
                    return 0;
                }
                budget -= 1;
                if !self.admit(park, place) {
                    break;
                }
            }
            self.producers.close(place);
        }
        budget
    }

    /// Admits a push; returns false if it goes on waiting in this place.
    fn admit(&mut self, park: ParkId, place: PushScope) -> bool {
        let Some(parked) = self.parked.parked.get_mut(&park) else { return false };
        let client = parked.client;
        let ParkedKind::Push { jobs, .. } = &mut parked.what else { return false };
        let taken = std::mem::take(jobs);
        let result = match self.push(client, taken) {
            Ok(pushed) => Ok(pushed),
            Err((PushRefusal::Refused(error), _)) => Err(error),
            Err((PushRefusal::Room(Limit { place: blocked, .. }), jobs)) => {
                self.block_on(park, jobs, place, blocked);
                return blocked != place;
            }
        };
        self.unpark(park);
        self.effects.push(Effect::Pushed(park, result));
        true
    }

    /// Moves a push to another place that blocks it.
    fn block_on(
        &mut self,
        park: ParkId,
        jobs: Vec<PushRequest>,
        place: PushScope,
        blocked: PushScope,
    ) {
        if let Some(parked) = self.parked.parked.get_mut(&park)
            && let ParkedKind::Push { jobs: waiting, blocked: at, .. } = &mut parked.what
        {
            (*waiting, *at) = (jobs, blocked);
        }
        if blocked != place {
            self.producers.leave(place, park);
            self.producers.wait(blocked, park);
            place.into_iter().for_each(|topic| self.note_left(topic));
        }
    }

    /// Pushes the job of a schedule; returns false if nothing was pushed because there is no capacity
    /// or the index is taken.
    pub(super) fn push_scheduled(&mut self, push: PushRequest) -> bool {
        self.push(ClientId::Process, vec![push])
            .is_ok_and(|pushed| pushed.iter().any(|one| !one.existing))
    }
}

impl Limit {
    /// Returns whether `more` fit beside `there` now; something that can never fit is an error, because
    /// waiting is useless.
    fn fits(
        self,
        there: u64,
        more: u64,
        what: &'static str,
    ) -> Result<Result<(), Self>, QueueError> {
        let Self { name, max, .. } = self;
        if more > max {
            return Err(QueueError::Limit { name, max, what });
        }
        Ok(if there.saturating_add(more) > max { Err(self) } else { Ok(()) })
    }
}

/// Returns the properties that most jobs do not have; `None` if this one has none of them.
pub(super) fn rare_of(options: &PushOptions) -> Option<RareFields> {
    let PushOptions { index, unique, order_key, backoff, .. } = options;
    if index.is_none() && order_key.is_none() && backoff.is_none() {
        return None;
    }
    Some(RareFields {
        index: index.clone(),
        unique: (*unique).into(),
        order_key: order_key.clone(),
        backoff: backoff.as_ref().map(StoredBackoff::from),
    })
}

/// Returns the bytes that count against limits.
fn bytes_of(push: &PushRequest) -> usize {
    let names = [&push.options.index, &push.options.order_key].into_iter().flatten();
    push.payload.len() + names.map(|name| name.len()).sum::<usize>()
}

/// Returns the bytes that a push keeps while it waits.
fn parked_bytes_of(push: &PushRequest) -> usize {
    size_of::<PushRequest>() + push.topic.len() + bytes_of(push)
}
