//! A naive model of the queue: a list of all jobs there ever were, looked through for everything.
//!
//! Who gets which job is not foretold but judged: what was handed out must be allowed, and nothing
//! may be left that somebody waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{Pushed, ReservedJob};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Ready when this time has come.
    Due(u64),
    Reserved,
    Recording,
    Finished(JobState, u64),
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: JobId,
    pub(super) push: PushRequest,
    pub(super) at: At,
    pub(super) epoch: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    /// Handed out, and not dead or replayed since.
    started: bool,
    /// Holds up its order key while it waits for its next run.
    blocks: bool,
    /// Its index was another's when it was replayed.
    nameless: bool,
    /// When it was ready for this run.
    since: u64,
    /// 0: nobody who is there.
    owner: u64,
    deadline: u64,
    visibility: u64,
    /// With which it was handed out.
    first_visibility: u64,
    /// Of which user, if its worker may resume it.
    resumable: Option<u64>,
}

/// A reserve that waits.
#[derive(Debug, Clone)]
struct Asker {
    owner: u64,
    topic: Blob,
    credits: usize,
    visibility: u64,
    deadline: u64,
}

#[derive(Debug, Default)]
struct Named {
    settings: TopicSettings,
    paused: bool,
    /// When jobs were handed out under this rate, microseconds.
    starts: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    config: Option<QueueConfig>,
    utc: u64,
    steady: u64,
    pub(super) items: Vec<Item>,
    topics: BTreeMap<Blob, Named>,
    askers: BTreeMap<u64, Asker>,
    /// Owners that resume what they hold, as which user.
    resumes: BTreeMap<u64, u64>,
    /// By deadline and owner.
    pushes: BTreeMap<u64, (Vec<PushRequest>, u64, u64)>,
    /// What must be told: who finished in this turn, and how.
    finished: Vec<(JobId, JobState)>,
}

/// What a push is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushAnswer {
    Pushed(Vec<Pushed>),
    Full,
    Never,
}

fn bytes_of(push: &PushRequest) -> u64 {
    let names = [&push.options.index, &push.options.order_key].into_iter().flatten();
    (push.payload.len() + names.map(|name| name.len()).sum::<usize>()) as u64
}

impl Item {
    fn unfinished(&self) -> bool {
        matches!(self.at, At::Due(_) | At::Reserved | At::Recording)
    }

    fn state(&self, utc: u64) -> JobState {
        match self.at {
            At::Due(due) if due > utc => JobState::Delayed,
            At::Due(_) => JobState::Ready,
            At::Reserved | At::Recording => JobState::Reserved,
            At::Finished(state, _) => state,
        }
    }

    fn ready(&self, utc: u64) -> bool {
        self.state(utc) == JobState::Ready
    }

    /// Whether no other may have its index.
    fn has_index(&self, utc: u64) -> bool {
        let unfinished = self.unfinished();
        !self.nameless
            && match self.push.options.unique {
                Unique::Waiting => unfinished && self.epoch == 0,
                Unique::Unfinished => unfinished,
                Unique::Finished(after) => match self.at {
                    At::Finished(JobState::Cancelled, _) => false,
                    At::Finished(_, since) => utc < since + after.as_millis() as u64,
                    _ => true,
                },
            }
    }

    /// It is held after a restart, for as long as is left to resume it.
    pub(super) fn restarted_with(&mut self, visibility: u64, steady: u64, grace: Duration) {
        assert!([self.visibility, self.first_visibility].contains(&visibility), "{self:?}");
        self.visibility = visibility;
        self.deadline = steady + visibility.min(grace.as_micros() as u64);
    }

    /// The time from which it counts as waiting.
    fn rank(&self, step: u64) -> i64 {
        let At::Due(due) = self.at else { return i64::MAX };
        due as i64 - (step * u64::from(self.push.options.priority)) as i64
    }
}

impl Model {
    pub(super) fn new(config: QueueConfig, now: Now) -> Self {
        let topics = ["a", "b"].map(|name| (Blob::from(name), Named::default()));
        let (utc, steady) = (now.utc, now.steady);
        let topics = topics.into_iter().collect();
        Self { config: Some(config), utc, steady, topics, ..Self::default() }
    }

    fn config(&self) -> &QueueConfig {
        self.config.as_ref().unwrap()
    }

    pub(super) fn time(&mut self, now: Now) {
        (self.utc, self.steady) = (self.utc.max(now.utc), now.steady);
    }

    fn item(&mut self, id: JobId) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    fn of_topic<'a>(&'a self, topic: &'a Blob) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(move |item| item.push.topic == *topic)
    }

    fn settings(&self, topic: &Blob) -> TopicSettings {
        self.topics[topic].settings.clone()
    }

    fn holder(&self, push: &PushRequest) -> Option<&Item> {
        let index = push.options.index.as_ref()?;
        let named = |item: &&Item| {
            item.push.topic == push.topic && item.push.options.index.as_ref() == Some(index)
        };
        self.items.iter().filter(named).find(|item| item.has_index(self.utc))
    }

    /// J8, J9: what a push is answered; it is done if it fits.
    pub(super) fn push(&mut self, jobs: &[PushRequest]) -> PushAnswer {
        let new: Vec<_> = jobs.iter().filter(|job| self.holder(job).is_none()).collect();
        let mut full = false;
        for topic in new.iter().map(|job| &job.topic).collect::<BTreeSet<_>>() {
            let mine = new.iter().filter(|job| job.topic == *topic);
            let (count, bytes) = mine.fold((0, 0), |sum, job| (sum.0 + 1, sum.1 + bytes_of(job)));
            let there = self.of_topic(topic).filter(|item| item.unfinished());
            let (jobs, used) =
                there.fold((0, 0), |sum, item| (sum.0 + 1, sum.1 + bytes_of(&item.push)));
            let settings = self.settings(topic);
            let jobs_max = settings.jobs_max.unwrap_or(self.config().topic_jobs_max);
            let bytes_max = settings.bytes_max.unwrap_or(self.config().topic_bytes_max);
            if count > jobs_max || bytes > bytes_max {
                return PushAnswer::Never;
            }
            full |= jobs + count > jobs_max || used + bytes > bytes_max;
        }
        let unfinished = self.items.iter().filter(|item| item.unfinished()).count();
        if full || unfinished + new.len() > self.config().jobs_max {
            return PushAnswer::Full;
        }
        PushAnswer::Pushed(jobs.iter().map(|job| self.push_one(job)).collect())
    }

    fn push_one(&mut self, push: &PushRequest) -> Pushed {
        if let Some(item) = self.holder(push) {
            return Pushed { id: item.id, state: item.state(self.utc), existing: true };
        }
        let id = self.items.len() as JobId + 1;
        let due = self.utc + push.options.delay.as_millis() as u64;
        let item = Item {
            id,
            push: push.clone(),
            at: At::Due(due),
            epoch: 0,
            failures: 0,
            losses: 0,
            started: false,
            blocks: false,
            nameless: false,
            since: 0,
            owner: 0,
            deadline: 0,
            visibility: 0,
            first_visibility: 0,
            resumable: None,
        };
        let state = item.state(self.utc);
        self.items.push(item);
        Pushed { id, state, existing: false }
    }

    pub(super) fn park_push(&mut self, park: u64, jobs: Vec<PushRequest>, wait: u64, owner: u64) {
        self.pushes.insert(park, (jobs, self.steady + wait * 1_000, owner));
    }

    /// Whether anyone waits for room.
    pub(super) fn pushes_wait(&self) -> bool {
        !self.pushes.is_empty()
    }

    pub(super) fn park_reserve(&mut self, park: u64, owner: u64, request: &ReserveRequest) {
        let micros = |it: Option<Duration>| it.unwrap().as_micros() as u64;
        let asker = Asker {
            owner,
            topic: request.topic.clone(),
            credits: request.credits as usize,
            visibility: micros(request.visibility),
            deadline: self.steady + micros(request.wait),
        };
        self.askers.insert(park, asker);
    }

    fn held(&mut self, reservation: Reservation) -> Option<&mut Item> {
        self.item(reservation.id)
            .filter(|item| item.epoch == reservation.epoch && item.at == At::Reserved)
    }

    /// J3: whether a settlement is taken; it is done then.
    pub(super) fn settle(&mut self, reservation: Reservation, verdict: &Verdict) -> bool {
        let utc = self.utc;
        let Some(item) = self.held(reservation) else { return false };
        let id = item.id;
        match verdict {
            Verdict::Done { .. } => {
                item.at = At::Recording;
                self.finished.push((id, JobState::Done));
            }
            Verdict::Retry { after, .. } => self.fail(id, *after),
            Verdict::Fail { .. } => {
                item.failures += 1;
                self.finish(id, JobState::Dead);
            }
            Verdict::Snooze { after } => {
                let due = utc + after.as_millis() as u64;
                self.again(id, Some(due));
            }
            Verdict::Release => self.again(id, None),
        }
        true
    }

    /// It runs again: at this time, or where it stood.
    fn again(&mut self, id: JobId, due: Option<u64>) {
        let topic = self.item(id).unwrap().push.topic.clone();
        let blocks = self.settings(&topic).order_retry == OrderRetry::Block;
        let item = self.item(id).unwrap();
        item.at = At::Due(due.unwrap_or(item.since));
        item.blocks = due.is_none() || blocks;
    }

    /// J5, J6.
    fn fail(&mut self, id: JobId, after: Option<Duration>) {
        let (utc, config) = (self.utc, self.config().clone());
        let topic = self.item(id).unwrap().push.topic.clone();
        let settings = self.settings(&topic);
        let item = self.item(id).unwrap();
        item.failures += 1;
        let options = &item.push.options;
        let retry_max = options.retry_max.or(settings.retry_max).unwrap_or(config.retry_max);
        if item.failures > retry_max {
            self.finish(id, JobState::Dead);
            return;
        }
        let pause = match options.backoff.clone().or(settings.backoff) {
            Some(Backoff::Constant(pause)) => pause,
            Some(Backoff::List(list)) => list[(item.failures as usize - 1).min(list.len() - 1)],
            _ => config.backoff_floor,
        };
        let due = utc + after.unwrap_or(pause).as_millis() as u64;
        self.again(id, Some(due));
    }

    /// J5.
    fn lose(&mut self, id: JobId) {
        let config = self.config().clone();
        let topic = self.item(id).unwrap().push.topic.clone();
        let settings = self.settings(&topic);
        let item = self.item(id).unwrap();
        item.losses += 1;
        let loss_max = item.push.options.loss_max.or(settings.loss_max).unwrap_or(config.loss_max);
        if item.losses > loss_max {
            self.finish(id, JobState::Dead);
        } else {
            self.again(id, None);
        }
    }

    fn finish(&mut self, id: JobId, state: JobState) {
        let utc = self.utc;
        let item = self.item(id).unwrap();
        item.at = At::Finished(state, utc);
        if state != JobState::Done {
            self.finished.push((id, state));
        }
    }

    pub(super) fn recorded(&mut self, ids: &[JobId], recorded: bool) {
        for id in ids {
            match recorded {
                true => self.finish(*id, JobState::Done),
                false => self.fail(*id, None),
            }
        }
    }

    pub(super) fn touch(&mut self, reservation: Reservation, visibility: Option<u64>) -> bool {
        let steady = self.steady;
        let Some(item) = self.held(reservation) else { return false };
        item.visibility = visibility.map_or(item.visibility, |it| it * 1_000);
        item.deadline = steady + item.visibility;
        true
    }

    pub(super) fn undeliver(&mut self, reservation: Reservation) {
        if self.held(reservation).is_some() {
            self.again(reservation.id, None);
        }
    }

    /// J17, J21: what it may resume is held for it, if it may return.
    pub(super) fn gone(&mut self, owner: u64, may_return: bool) {
        self.askers.retain(|_, asker| asker.owner != owner);
        self.pushes.retain(|_, (_, _, pusher)| *pusher != owner);
        self.resumes.remove(&owner);
        let grace = self.steady + self.config().resume_grace.as_micros() as u64;
        let theirs = |item: &&Item| item.at == At::Reserved && item.owner == owner;
        let ids: Vec<JobId> = self.items.iter().filter(theirs).map(|item| item.id).collect();
        for id in ids {
            let item = self.item(id).unwrap();
            if item.resumable.is_some() && may_return {
                (item.owner, item.deadline) = (0, item.deadline.min(grace));
            } else {
                self.lose(id);
            }
        }
    }

    /// J21: the topic of each that is the owner's again.
    pub(super) fn resume(
        &mut self,
        owner: u64,
        user: u64,
        reservations: &[Reservation],
        denied: Option<&str>,
    ) -> Vec<Option<Blob>> {
        self.resumes.insert(owner, user);
        let steady = self.steady;
        let mut resumed = Vec::new();
        for reservation in reservations {
            let may = |item: &&mut Item| {
                let same_user = item.resumable.is_some_and(|of| user == 0 || user == of);
                item.owner == owner || same_user
            };
            let topic = self.held(*reservation).filter(may).map(|item| {
                (item.owner, item.deadline) = (owner, steady + item.visibility);
                item.push.topic.clone()
            });
            let denied = topic
                .as_ref()
                .is_some_and(|topic| denied.is_some_and(|denied| &topic[..] == denied.as_bytes()));
            if denied {
                self.again(reservation.id, None);
            }
            resumed.push(topic.filter(|_| !denied));
        }
        resumed
    }

    /// Nobody waits or holds anything any more; what was held is lost, unless it may be resumed.
    pub(super) fn restart(&mut self) {
        self.askers.clear();
        self.pushes.clear();
        self.resumes.clear();
        self.topics.values_mut().for_each(|topic| topic.starts.clear());
        let reserved = |it: &&Item| it.state(0) == JobState::Reserved;
        let held: Vec<JobId> = self.items.iter().filter(reserved).map(|item| item.id).collect();
        for id in held {
            let item = self.item(id).unwrap();
            (item.at, item.owner) = (At::Reserved, 0);
            if item.resumable.is_none() {
                self.lose(id);
            }
        }
    }

    /// J15: whether it was cancelled.
    pub(super) fn cancel(&mut self, id: JobId) -> bool {
        let waits = |item: &mut Item| matches!(item.at, At::Due(_) | At::Reserved);
        let cancelled = self.item(id).is_some_and(waits);
        if cancelled {
            self.finish(id, JobState::Cancelled);
        }
        cancelled
    }

    /// How many dead letters are ready again.
    pub(super) fn replay(&mut self, topic: &Blob, id: Option<JobId>) -> u64 {
        let dead = |item: &Item| matches!(item.at, At::Finished(JobState::Dead, _));
        let fits = |item: &&Item| dead(item) && id.is_none_or(|id| id == item.id);
        let ids: Vec<JobId> = self.of_topic(topic).filter(fits).map(|item| item.id).collect();
        for id in &ids {
            let push = self.item(*id).unwrap().push.clone();
            let nameless = self.holder(&push).is_some_and(|holder| holder.id != *id);
            let utc = self.utc;
            let item = self.item(*id).unwrap();
            (item.failures, item.losses) = (0, 0);
            (item.at, item.nameless) = (At::Due(utc), nameless);
            (item.started, item.blocks) = (false, false);
        }
        ids.len() as u64
    }

    pub(super) fn set(&mut self, topic: &Blob, settings: TopicSettings) {
        let named = self.topics.get_mut(topic).unwrap();
        named.settings = settings;
        named.starts.clear();
    }

    pub(super) fn pause(&mut self, topic: &Blob, paused: bool) {
        self.topics.get_mut(topic).unwrap().paused = paused;
    }

    /// Ends a turn: all that the queue says of it is as it must be.
    pub(super) fn turn(&mut self, effects: &[Effect]) {
        let late = |item: &&Item| item.at == At::Reserved && item.deadline <= self.steady;
        let ids: Vec<JobId> = self.items.iter().filter(late).map(|item| item.id).collect();
        ids.into_iter().for_each(|id| self.lose(id));
        let mut finished = Vec::new();
        let mut handed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reserved(park, jobs) => {
                    let asker = self.askers.remove(park).expect("it waits");
                    assert!(jobs.len() <= asker.credits);
                    assert!(!jobs.is_empty() || asker.deadline <= self.steady);
                    handed.extend(jobs.iter().map(|job| (asker.clone(), job.clone())));
                }
                Effect::Pushed(park, result) => {
                    let (jobs, deadline, _) = self.pushes.remove(park).expect("it waits");
                    match result {
                        Ok(pushed) => {
                            assert_eq!(self.push(&jobs), PushAnswer::Pushed(pushed.clone()));
                        }
                        Err(QueueError::Limit { .. }) => {
                            assert_eq!(self.push(&jobs), PushAnswer::Never);
                        }
                        Err(_) => assert!(deadline <= self.steady),
                    }
                }
                Effect::Record(info) | Effect::Note(info) | Effect::Cleared(info) => {
                    finished.push((info.id, info.state));
                }
                Effect::Refused(park, error) => {
                    assert_eq!(*error, QueueError::Stopping);
                    let waited =
                        self.askers.remove(park).is_some() || self.pushes.remove(park).is_some();
                    assert!(waited);
                }
                Effect::Revoked(..) => panic!("nobody asked"),
            }
        }
        // Each finish is told, once.
        let mut expected = std::mem::take(&mut self.finished);
        expected.sort_unstable();
        finished.sort_unstable();
        assert_eq!(finished, expected);
        self.hand_out(handed);
        self.nothing_is_left();
    }

    fn hand_out(&mut self, mut handed: Vec<(Asker, ReservedJob)>) {
        handed.sort_by_key(|(_, job)| job.reservation.id);
        let ids: BTreeSet<JobId> = handed.iter().map(|(_, job)| job.reservation.id).collect();
        assert_eq!(ids.len(), handed.len(), "no job is handed out twice");
        for (_, job) in &handed {
            self.may_be_handed_out(job, &ids);
        }
        for (asker, job) in handed {
            let steady = self.steady;
            let resumable = self.resumes.get(&asker.owner).copied();
            let item = self.item(job.reservation.id).unwrap();
            item.epoch += 1;
            (item.resumable, item.first_visibility) = (resumable, asker.visibility);
            if let At::Due(due) = item.at {
                item.since = due;
            }
            (item.at, item.started, item.blocks) = (At::Reserved, true, false);
            (item.owner, item.visibility) = (asker.owner, asker.visibility);
            item.deadline = steady + asker.visibility;
            let topic = self.topics.get_mut(&asker.topic).unwrap();
            topic.starts.push(steady);
            self.keeps_to_limits(&asker.topic);
        }
    }

    /// J3, J10, J11, J12, of one that is handed out with these others.
    fn may_be_handed_out(&self, job: &ReservedJob, with: &BTreeSet<JobId>) {
        let item = self.items.iter().find(|item| item.id == job.reservation.id).unwrap();
        assert!(item.ready(self.utc), "{item:?} is not ready");
        assert_eq!(job.reservation.epoch, item.epoch + 1);
        assert_eq!((job.failures, job.losses), (item.failures, item.losses));
        assert_eq!((&job.topic, &job.payload), (&item.push.topic, &item.push.payload));
        assert!(!self.topics[&job.topic].paused);
        let step = self.config().priority_step.as_millis() as u64;
        match &item.push.options.order_key {
            None => {
                // Nobody is left who stands before it.
                let left = self.of_topic(&job.topic).filter(|other| {
                    other.ready(self.utc)
                        && other.push.options.order_key.is_none()
                        && !with.contains(&other.id)
                });
                left.for_each(|other| assert!(other.rank(step) >= item.rank(step), "{other:?}"));
            }
            Some(_) => {
                let before = self.of_key(item).filter(|other| {
                    other.id < item.id && other.ready(self.utc) && !with.contains(&other.id)
                });
                let At::Due(since) = item.at else { panic!() };
                for other in before.filter(|other| !other.started && !item.started) {
                    let At::Due(ready) = other.at else { panic!() };
                    assert!(ready >= since, "{item:?} before {other:?}");
                }
            }
        }
    }

    fn of_key<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = &'a Item> {
        let key = item.push.options.order_key.clone();
        self.of_topic(&item.push.topic).filter(move |other| other.push.options.order_key == key)
    }

    /// J12, J13.
    fn keeps_to_limits(&self, name: &Blob) {
        let Named { settings, starts, .. } = &self.topics[name];
        let reserved = self.of_topic(name).filter(|it| it.state(self.utc) == JobState::Reserved);
        let reserved: Vec<&Item> = reserved.collect();
        assert!(settings.concurrency.is_none_or(|max| reserved.len() <= max as usize));
        for item in reserved.iter().filter(|item| item.push.options.order_key.is_some()) {
            let taken = self.of_key(item).filter(|it| self.takes_place(it)).count();
            assert!(taken <= settings.order_limit.unwrap_or(1) as usize, "{item:?}");
        }
        let Some(rate) = settings.rate else { return };
        for (at, from) in starts.iter().enumerate() {
            let passed = u128::from(self.steady - from);
            let more = passed * u128::from(rate.jobs) / rate.per.as_micros();
            assert!((starts.len() - at) as u128 <= u128::from(rate.burst) + more, "{starts:?}");
        }
    }

    /// Whether others of its order key must leave it its place.
    fn takes_place(&self, item: &Item) -> bool {
        match item.at {
            At::Reserved | At::Recording => true,
            At::Due(_) => item.started && item.blocks,
            _ => false,
        }
    }

    /// Whoever waits has a reason to.
    fn nothing_is_left(&mut self) {
        let steady = self.steady;
        assert!(self.askers.values().all(|asker| asker.deadline > steady));
        for asker in self.askers.values() {
            let Named { settings, paused, .. } = &self.topics[&asker.topic];
            let reserved = self
                .of_topic(&asker.topic)
                .filter(|item| item.state(self.utc) == JobState::Reserved)
                .count();
            let busy = settings.concurrency.is_some_and(|max| reserved >= max as usize);
            if *paused || busy || settings.rate.is_some() {
                continue;
            }
            for item in self.of_topic(&asker.topic).filter(|item| item.ready(self.utc)) {
                let limit = settings.order_limit.unwrap_or(1) as usize;
                let taken = self.of_key(item).filter(|it| self.takes_place(it)).count();
                let keyed = item.push.options.order_key.is_some();
                assert!(keyed && taken >= limit && !self.takes_place(item), "{item:?} is left");
            }
        }
        if let Some((jobs, deadline, _)) = self.pushes.values().next().cloned() {
            assert!(deadline > steady);
            let before = self.items.len();
            assert_eq!(self.push(&jobs), PushAnswer::Full, "a push that fits was not let in");
            assert_eq!(self.items.len(), before);
        }
    }

    /// Jobs that wait in a topic.
    pub(super) fn waiting(&self, topic: &Blob) -> Vec<JobId> {
        let waits = |item: &&Item| matches!(item.at, At::Due(_));
        self.of_topic(topic).filter(waits).map(|item| item.id).collect()
    }

    pub(super) fn state_of(&self, id: JobId) -> JobState {
        self.items.iter().find(|item| item.id == id).unwrap().state(self.utc)
    }
}
