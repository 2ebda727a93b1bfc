//! Pushes: whether there is room, and those that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::change::{Change, New, Rare};
use super::park::What;
use super::producers::Place;
use super::record::StoredBackoff;
use super::state::Answer;
use super::topic::Taken;
use super::{Effect, Now, ParkId, QueueError, State, dispatch, millis};
use crate::model::{
    Blob, JobId, JobReply, JobState, PushOptions, PushRequest, Pushed, TopicSettings,
};

/// Why pushes do not fit.
enum Unfit {
    /// There is no room there.
    Room(Place),
    Refused(QueueError),
}

impl From<QueueError> for Unfit {
    fn from(error: QueueError) -> Self {
        Self::Refused(error)
    }
}

impl State {
    pub(super) fn push_or_park(
        &mut self,
        now: Now,
        owner: u64,
        jobs: Vec<PushRequest>,
        wait: Duration,
    ) -> Answer {
        if self.draining {
            return Answer::Now(Err(QueueError::Stopping));
        }
        if !wait.is_zero()
            && let Some(blocked) = self.queue_before(&jobs)
        {
            return match self.park_push(now, owner, jobs, wait, blocked) {
                Ok(park) => Answer::Parked(park),
                Err(error) => Answer::Now(Err(error)),
            };
        }
        let (unfit, jobs) = match self.push(jobs) {
            Ok(pushed) => return Answer::Now(Ok(JobReply::Pushed(pushed))),
            Err(unfit) => unfit,
        };
        let blocked = match unfit {
            Unfit::Refused(error) => return Answer::Now(Err(error)),
            Unfit::Room(blocked) => blocked,
        };
        let topic = jobs.first().map(|job| job.topic.clone()).unwrap_or_default();
        if wait.is_zero() {
            return Answer::Now(Err(self.full(blocked, topic)));
        }
        match self.park_push(now, owner, jobs, wait, blocked) {
            Ok(park) => Answer::Parked(park),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    /// Where others wait already for room that these jobs need too. Whoever is ready to wait does so
    /// behind them, even if its jobs fit: else small ones would overtake large ones for ever.
    fn queue_before(&self, jobs: &[PushRequest]) -> Option<Place> {
        if self.check_pushes(jobs).is_err() || jobs.iter().all(|job| self.taken(job).is_some()) {
            return None;
        }
        let topics = jobs.iter().filter_map(|job| self.names.get(&job.topic).copied());
        let mut places = std::iter::once(None).chain(topics.map(Some));
        places.find(|place| self.producers.first(*place).is_some())
    }

    fn park_push(
        &mut self,
        now: Now,
        owner: u64,
        jobs: Vec<PushRequest>,
        wait: Duration,
        blocked: Place,
    ) -> Result<ParkId, QueueError> {
        let wait = self.check_wait(Some(wait))?;
        self.check_parked()?;
        let bytes = jobs.iter().map(bytes_of).sum();
        let (max, what) = (self.config.parked_bytes_max, "pushes that wait for room take too much");
        QueueError::limit(
            "queue.parked_bytes_max",
            max,
            self.parties.push_bytes.saturating_add(bytes),
            what,
        )?;
        let what = What::Push { jobs, bytes, blocked };
        let park = self.parties.park(owner, dispatch::deadline(now, wait), what);
        self.producers.wait(blocked, park);
        Ok(park)
    }

    /// What a push is refused with for which there is no room.
    pub(super) fn full(&self, blocked: Place, topic: Blob) -> QueueError {
        let Some(it) = blocked.and_then(|topic| self.topic(topic)) else {
            let (name, max) = if self.unfinished >= self.config.jobs_max {
                ("queue.jobs_max", self.config.jobs_max as u64)
            } else {
                ("queue.bytes_max", self.config.bytes_max)
            };
            return QueueError::Full { topic, name, max };
        };
        let (jobs_max, bytes_max) = self.room_of(it);
        let (name, max) = if it.jobs >= jobs_max {
            ("queue.topic_jobs_max", jobs_max)
        } else {
            ("queue.topic_bytes_max", bytes_max)
        };
        QueueError::Full { topic: it.name.clone(), name, max }
    }

    fn room_of(&self, topic: &super::topic::Topic) -> (u64, u64) {
        let TopicSettings { jobs_max, bytes_max, .. } = topic.settings;
        let config = &self.config;
        (jobs_max.unwrap_or(config.topic_jobs_max), bytes_max.unwrap_or(config.topic_bytes_max))
    }

    /// Pushes all, or none.
    fn push(&mut self, jobs: Vec<PushRequest>) -> Result<Vec<Pushed>, (Unfit, Vec<PushRequest>)> {
        let topics = match self.check_pushes(&jobs) {
            Ok(topics) => topics,
            Err(unfit) => return Err((unfit, jobs)),
        };
        topics.into_iter().for_each(|made| self.commit(made));
        let mut pushed = Vec::with_capacity(jobs.len());
        for job in jobs {
            // All was checked: none can be refused now.
            if let Ok(one) = self.push_one(job) {
                pushed.push(one);
            }
        }
        Ok(pushed)
    }

    /// Gives what makes the topics that are not there yet.
    fn check_pushes(&self, jobs: &[PushRequest]) -> Result<Vec<Change>, Unfit> {
        if jobs.is_empty() {
            return Err(QueueError::Invalid("a push needs one job at least".to_owned()).into());
        }
        self.check_count(jobs.len())?;
        jobs.iter().try_for_each(|job| self.check_push(job))?;
        let bytes = jobs.iter().map(bytes_of).sum();
        if jobs.len() > 1 {
            let what = "too many bytes in one push; push in several";
            QueueError::limit("queue.push_bytes_max", self.config.push_bytes_max, bytes, what)?;
        }
        self.check_room(jobs)?;
        if jobs.iter().all(|job| self.names.contains_key(&job.topic)) {
            return Ok(Vec::new());
        }
        Ok(self.plan_topics(&jobs.iter().map(|job| &job.topic).collect())?)
    }

    /// That there is room, counting those too whose index may turn out to be taken.
    fn check_room(&self, jobs: &[PushRequest]) -> Result<(), Unfit> {
        let mut more: BTreeMap<&Blob, (u64, u64)> = BTreeMap::new();
        let (mut count, mut total) = (0_usize, 0_u64);
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
            count += new as usize;
            total += size;
        }
        let mut room = Ok(());
        for (name, (jobs, bytes)) in more {
            let number = self.names.get(name).copied();
            let none = super::topic::Topic::default();
            let topic = number.and_then(|number| self.topic(number)).unwrap_or(&none);
            let (jobs_max, bytes_max) = self.room_of(topic);
            for (name, max, more) in [
                ("queue.topic_jobs_max", jobs_max, jobs),
                ("queue.topic_bytes_max", bytes_max, bytes),
            ] {
                // What never fits need not wait.
                if more > max {
                    let what = "that many never fit in the topic";
                    return Err(QueueError::Limit { name, max, what }.into());
                }
            }
            if topic.jobs + jobs > jobs_max || topic.bytes + bytes > bytes_max {
                room = room.and(Err(Unfit::Room(number)));
            }
        }
        let config = &self.config;
        let what = "that many never fit in the queue";
        QueueError::limit("queue.jobs_max", config.jobs_max, count, what)?;
        if total > config.bytes_max {
            let (name, max) = ("queue.bytes_max", config.bytes_max);
            return Err(QueueError::Limit { name, max, what }.into());
        }
        room?;
        if self.unfinished + count > config.jobs_max || self.bytes + total > config.bytes_max {
            return Err(Unfit::Room(None));
        }
        Ok(())
    }

    /// The job that has the index of this push, and its state.
    fn taken(&self, push: &PushRequest) -> Option<(JobId, JobState)> {
        let index = push.options.index.as_ref()?;
        let index = self.topic(*self.names.get(&push.topic)?)?.indexes.get(index)?;
        let state = match index.taken {
            Taken::Until(_, state) => state,
            _ => self.job(self.ids.get(index.id)?)?.state(),
        };
        index.is_taken(self.utc).then_some((index.id, state))
    }

    fn push_one(&mut self, push: PushRequest) -> Result<Pushed, QueueError> {
        if let Some((id, state)) = self.taken(&push) {
            return Ok(Pushed { id, state, existing: true });
        }
        let topic = self.topic_or_make(&push.topic)?;
        let id = self.next_id;
        let PushOptions { priority, delay, retry_max, loss_max, .. } = push.options;
        let new = New {
            id,
            topic,
            payload: push.payload,
            due: self.utc.saturating_add(millis(delay)),
            priority,
            retry_max,
            loss_max,
            rare: rare_of(&push.options).map(Box::new),
        };
        self.commit(Change::Pushed(new));
        if let Some(it) = self.topics.get_mut(topic as usize) {
            it.pushed.add(self.steady, 1);
        }
        let state = if delay.is_zero() { JobState::Ready } else { JobState::Delayed };
        Ok(Pushed { id, state, existing: false })
    }

    /// Lets in pushes that wait for room, the longest first, none before those ahead of it.
    pub(super) fn admit_pushes(&mut self) {
        let mut budget = self.config.slice_max;
        while let Some(place) = self.producers.first_opened() {
            while let Some(park) = self.producers.first(place) {
                if budget == 0 {
                    // The next turn goes on.
                    return;
                }
                budget -= 1;
                if !self.admit(park, place) {
                    break;
                }
            }
            self.producers.close(place);
        }
    }

    /// Lets a push in; false if it waits on where it is.
    fn admit(&mut self, park: ParkId, place: Place) -> bool {
        let Some(parked) = self.parties.parked.get_mut(&park) else { return false };
        let What::Push { jobs, .. } = &mut parked.what else { return false };
        let taken = std::mem::take(jobs);
        let result = match self.push(taken) {
            Ok(pushed) => Ok(pushed),
            Err((Unfit::Refused(error), _)) => Err(error),
            Err((Unfit::Room(blocked), jobs)) => {
                self.block_on(park, jobs, place, blocked);
                return blocked != place;
            }
        };
        self.unpark(park);
        self.effects.push(Effect::Pushed(park, result));
        true
    }

    /// The push waits for room elsewhere.
    fn block_on(&mut self, park: ParkId, jobs: Vec<PushRequest>, place: Place, blocked: Place) {
        if let Some(parked) = self.parties.parked.get_mut(&park)
            && let What::Push { jobs: waiting, blocked: at, .. } = &mut parked.what
        {
            (*waiting, *at) = (jobs, blocked);
        }
        if blocked != place {
            self.producers.leave(place, park);
            self.producers.wait(blocked, park);
        }
    }

    /// Pushes what a schedule has; false if there is no room.
    pub(super) fn push_scheduled(&mut self, push: PushRequest) -> bool {
        self.push(vec![push]).is_ok()
    }
}

/// What most jobs have not; `None` if this one has not either.
pub(super) fn rare_of(options: &PushOptions) -> Option<Rare> {
    let PushOptions { index, unique, order_key, backoff, .. } = options;
    if index.is_none() && order_key.is_none() && backoff.is_none() {
        return None;
    }
    Some(Rare {
        index: index.clone(),
        unique: (*unique).into(),
        order_key: order_key.clone(),
        backoff: backoff.as_ref().map(StoredBackoff::from),
    })
}

/// What counts against limits of bytes.
fn bytes_of(push: &PushRequest) -> usize {
    let names = [&push.options.index, &push.options.order_key].into_iter().flatten();
    push.payload.len() + names.map(|name| name.len()).sum::<usize>()
}
