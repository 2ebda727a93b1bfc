//! A naive model of the queue: a list of all jobs that ever existed, searched for everything.
//!
//! The model does not predict which worker gets which job but judges it ([`judge`]): every hand-out
//! must be allowed, and no job may be left that a reserve waits for.

mod item;
mod judge;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{Pushed, ReservedJob};
pub(super) use item::{At, Item};

/// A waiting reserve.
#[derive(Debug, Clone)]
struct Requester {
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
    /// The times of hand-outs under this rate, in microseconds.
    starts: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    config: Option<QueueConfig>,
    utc: u64,
    steady: u64,
    pub(super) items: Vec<Item>,
    topics: BTreeMap<Blob, Named>,
    askers: BTreeMap<u64, Requester>,
    /// Owners that resume their reservations, with their users.
    resumes: BTreeMap<u64, u64>,
    /// By deadline and owner.
    pushes: BTreeMap<u64, (Vec<PushRequest>, u64, u64)>,
    /// The jobs that finished in this turn, with their states, which must be reported.
    finished: Vec<(JobId, JobState)>,
}

/// The answer to a push.
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

    /// J8, J9: returns the answer to a push, and executes it if it fits.
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
            gone: false,
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

    /// Returns whether any push waits for capacity.
    pub(super) fn pushes_wait(&self) -> bool {
        !self.pushes.is_empty()
    }

    pub(super) fn park_reserve(&mut self, park: u64, owner: u64, request: &ReserveRequest) {
        let micros = |it: Option<Duration>| it.unwrap().as_micros() as u64;
        let requester = Requester {
            owner,
            topic: request.topic.clone(),
            credits: request.credits as usize,
            visibility: micros(request.visibility),
            deadline: self.steady + micros(request.wait),
        };
        self.askers.insert(park, requester);
    }

    fn held(&mut self, reservation: Reservation) -> Option<&mut Item> {
        self.item(reservation.id)
            .filter(|item| item.epoch == reservation.epoch && item.at == At::Reserved)
    }

    /// J3: returns whether a settlement is accepted, and executes it if so.
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

    /// The job runs again: at this time, or in its previous position.
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

    /// J17, J21: resumable reservations are held for the owner if it may return.
    pub(super) fn gone(&mut self, owner: u64, may_return: bool) {
        self.askers.retain(|_, requester| requester.owner != owner);
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

    /// J21: returns the topic of each reservation that is the owner's again.
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

    /// Ends all waits and reservations; reserved jobs are lost unless they may be resumed.
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

    /// J15: returns whether the job was cancelled.
    pub(super) fn cancel(&mut self, id: JobId) -> bool {
        let waits = |item: &mut Item| matches!(item.at, At::Due(_) | At::Reserved);
        let cancelled = self.item(id).is_some_and(waits);
        if cancelled {
            self.finish(id, JobState::Cancelled);
        }
        cancelled
    }

    /// Returns how many dead letters are ready again.
    pub(super) fn replay(&mut self, topic: &Blob, id: Option<JobId>) -> u64 {
        let ids = self.dead(topic, id);
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

    /// Returns the dead letters of a topic; with `id`, only that one.
    pub(super) fn dead(&self, topic: &Blob, id: Option<JobId>) -> Vec<JobId> {
        let dead = |item: &Item| matches!(item.at, At::Finished(JobState::Dead, _)) && !item.gone;
        let fits = |item: &&Item| dead(item) && id.is_none_or(|id| id == item.id);
        self.of_topic(topic).filter(fits).map(|item| item.id).collect()
    }

    /// J7: returns how many dead letters are deleted.
    pub(super) fn delete_dead(&mut self, topic: &Blob, id: Option<JobId>) -> u64 {
        let ids = self.dead(topic, id);
        ids.iter().for_each(|id| self.item(*id).unwrap().gone = true);
        ids.len() as u64
    }

    /// J8: returns whether an index was freed; `None` if an unfinished job holds it.
    pub(super) fn free_index(&mut self, topic: &Blob, index: &Blob) -> Option<bool> {
        let mut push = PushRequest::new(topic.clone(), "");
        push.options.index = Some(index.clone());
        let Some(holder) = self.holder(&push) else { return Some(false) };
        let (id, free) = (holder.id, !holder.unfinished());
        if free {
            self.item(id).unwrap().nameless = true;
        }
        free.then_some(true)
    }

    /// Returns whether jobs of a topic run, or a request waits for the topic or for capacity.
    pub(super) fn is_used(&self, topic: &Blob) -> bool {
        self.of_topic(topic).any(|item| item.state(0) == JobState::Reserved)
            || self.askers.values().any(|requester| requester.topic == *topic)
            || self.pushes_wait()
    }

    /// Deletes a topic: its jobs belong to none any more.
    pub(super) fn delete_topic(&mut self, topic: &Blob) {
        for item in self.items.iter_mut().filter(|item| item.push.topic == *topic) {
            (item.push.topic, item.gone) = (Blob::default(), true);
        }
        *self.topics.get_mut(topic).unwrap() = Named::default();
    }

    pub(super) fn set(&mut self, topic: &Blob, settings: TopicSettings) {
        let named = self.topics.get_mut(topic).unwrap();
        named.settings = settings;
        named.starts.clear();
    }

    pub(super) fn pause(&mut self, topic: &Blob, paused: bool) {
        self.topics.get_mut(topic).unwrap().paused = paused;
    }

    /// Returns the waiting jobs of a topic.
    pub(super) fn waiting(&self, topic: &Blob) -> Vec<JobId> {
        let waits = |item: &&Item| matches!(item.at, At::Due(_));
        self.of_topic(topic).filter(waits).map(|item| item.id).collect()
    }

    pub(super) fn state_of(&self, id: JobId) -> JobState {
        self.items.iter().find(|item| item.id == id).unwrap().state(self.utc)
    }
}
