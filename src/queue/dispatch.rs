//! Dispatch: reserves, and the hand-out of jobs at the end of each turn.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::change::{QueueChange, Resumable};
use super::park::{ParkedKind, Requester, ReserveTerms};
use super::state::QueueAnswer;
use super::{Effect, JobSlot, Now, ParkId, QueueError, QueueState, TopicNo, micros};
use crate::environment::RandomState;
use crate::model::{Reservation, ReserveRequest, ReservedJob};
use crate::time::Micros;

/// A reserve that gets jobs in this turn.
struct JobTaker {
    park: ParkId,
    owner: u64,
    /// The user who may resume the reservations, if any.
    resumes: Option<u64>,
    ask: ReserveTerms,
    jobs: Vec<ReservedJob>,
    bytes: usize,
}

impl QueueState {
    pub(super) fn reserve(
        &mut self,
        now: Now,
        requester: Requester,
        request: &ReserveRequest,
    ) -> QueueAnswer {
        match self.park_reserve(now, requester, request) {
            Ok(park) => QueueAnswer::Parked(park),
            Err(error) => QueueAnswer::Now(Err(error)),
        }
    }

    fn park_reserve(
        &mut self,
        now: Now,
        requester: Requester,
        request: &ReserveRequest,
    ) -> Result<ParkId, QueueError> {
        if self.draining {
            return Err(QueueError::Stopping);
        }
        let (credits, max) = (request.credits, self.config.credits_max);
        if credits == 0 {
            return QueueError::invalid("credits must be at least 1: how many jobs may come");
        }
        let what = "too many credits; ask for fewer jobs at once";
        QueueError::limit("queue.credits_max", max as usize, credits as usize, what)?;
        let wait = self.check_wait(request.wait)?;
        let visibility = request.visibility.unwrap_or(self.config.visibility_default);
        let visibility = self.check_visibility(visibility)?;
        // A reserve that does not wait is answered when the turn ends.
        if wait > Duration::ZERO {
            self.check_parked(requester.client)?;
        }
        let topic = self.topic_or_make(&request.topic, requester.client)?;
        let ask = ReserveTerms { topic, credits, visibility };
        let park = self.parked.park(requester, deadline(now, wait), ParkedKind::Reserve(ask));
        if let Some(it) = self.topics.get_mut(topic as usize) {
            it.reserves.insert(park);
        }
        self.mark_dirty(topic);
        Ok(park)
    }

    /// Hands out a slice of the ready jobs, one to each reserve in turn, beginning with those that have
    /// waited longest.
    pub(super) fn dispatch(&mut self, now: Now) {
        let mut budget = self.config.slice_max;
        let mut hot = std::mem::take(&mut self.dirty).into_iter();
        while budget > 0
            && let Some(topic) = hot.next()
        {
            if let Some(it) = self.topics.get_mut(topic as usize) {
                it.is_dirty = false;
            }
            if !self.draining {
                self.dispatch_topic(now, topic, &mut budget);
            }
        }
        // The next turn continues, beginning with topics that had no job handed out in this one.
        self.dirty.splice(..0, hot);
    }

    fn dispatch_topic(&mut self, now: Now, number: TopicNo, budget: &mut usize) {
        let mut round: VecDeque<JobTaker> = VecDeque::new();
        let mut full: Vec<JobTaker> = Vec::new();
        loop {
            self.put_full_aside(number, budget);
            let slot = self.next_ready(now, number, !round.is_empty(), *budget);
            let Some(slot) = slot else { break };
            *budget -= 1;
            if self.dead_letter_spent(slot) {
                continue;
            }
            let Some(mut taker) = self.next_taker(number).or_else(|| round.pop_front()) else {
                break;
            };
            let Some(job) = self.start(now, slot, &taker) else { break };
            let bytes = job.payload.len();
            taker.bytes += bytes;
            taker.jobs.push(job);
            let keeps_all_it_may = self.note_handed(taker.owner, bytes);
            let done = keeps_all_it_may
                || taker.jobs.len() >= taker.ask.credits as usize
                || taker.bytes >= self.config.push_bytes_max;
            if done { full.push(taker) } else { round.push_back(taker) }
        }
        for taker in full.into_iter().chain(round) {
            self.parked.unpark(taker.park);
            self.effects.push(Effect::Reserved(taker.park, taker.jobs));
        }
    }

    /// Returns the next job of a topic, if it may start, a reserve wants it, and the turn's slice is
    /// not used up.
    fn next_ready(
        &mut self,
        now: Now,
        number: TopicNo,
        has_takers: bool,
        budget: usize,
    ) -> Option<JobSlot> {
        let topic = self.topics.get_mut(number as usize)?;
        if !topic.may_start() || (topic.reserves.is_empty() && !has_takers) {
            return None;
        }
        if budget == 0 {
            self.mark_dirty(number);
            return None;
        }
        if let Some(rate) = topic.settings.rate {
            let opens = topic.bucket.opens(rate, now);
            if opens > 0 {
                if let Some(before) = topic.throttled.replace(opens) {
                    self.throttled.remove(&(before, number));
                }
                self.throttled.insert((opens, number));
                return None;
            }
            topic.bucket.take(rate, now);
        }
        topic.first_ready()
    }

    fn next_taker(&mut self, number: TopicNo) -> Option<JobTaker> {
        let park = self.topics.get_mut(number as usize)?.reserves.pop_first()?;
        let parked = self.parked.parked.get(&park)?;
        let ParkedKind::Reserve(ask) = parked.what else { return None };
        let owner = parked.owner;
        let resumes = self.parked.owners.get(&owner).and_then(|owner| owner.resumes);
        let resumes = resumes.filter(|_| !self.config.resume_grace.is_zero());
        Some(JobTaker { park, owner, resumes, ask, jobs: Vec::new(), bytes: 0 })
    }

    fn start(&mut self, now: Now, slot: JobSlot, taker: &JobTaker) -> Option<ReservedJob> {
        let id = self.job(slot)?.id;
        let visibility = taker.ask.visibility;
        self.commit(match taker.resumes {
            None => QueueChange::Started { id },
            Some(user) => {
                let resumable = Resumable { visibility_ms: visibility.div_ceil(1_000), user };
                QueueChange::StartedResumable { id, resumable }
            }
        });
        self.assign(slot, taker.owner);
        self.hold_until(slot, now, Some(visibility));
        let job = self.job(slot)?;
        Some(ReservedJob {
            reservation: job.reservation(),
            topic: self.name_of(job.topic),
            payload: job.payload.clone(),
            index: job.index().cloned(),
            order_key: job.order_key().cloned(),
            failures: job.failures,
            losses: job.losses,
            pushed: job.pushed,
        })
    }

    pub(super) fn ask_revoked(
        &mut self,
        now: Now,
        requester: Requester,
        wait: Option<Duration>,
    ) -> QueueAnswer {
        let parks = |wait| self.check_parked(requester.client).map(|()| wait);
        let asked = self.check_wait(wait).and_then(parks);
        let wait = match asked {
            Ok(wait) => wait,
            Err(error) => return QueueAnswer::Now(Err(error)),
        };
        let owner = requester.owner;
        let park = self.parked.park(requester, deadline(now, wait), ParkedKind::Revoked);
        let it = self.parked.owners.entry(owner).or_default();
        it.listens = true;
        it.asks.insert(park);
        if !it.revoked.is_empty() {
            self.answer_revoked(owner);
        }
        QueueAnswer::Parked(park)
    }

    /// Reports lost reservations to `owner` again, because the answers with them did not arrive in
    /// time: each once, although each of several requests had been answered with it. Beyond
    /// `revoked_max`, the oldest are forgotten.
    pub(crate) fn report_again(&mut self, owner: u64, lost: impl IntoIterator<Item = Reservation>) {
        let Some(known) = self.parked.owners.get_mut(&owner) else { return };
        let mut seen: HashSet<Reservation, RandomState> = HashSet::default();
        let newer = std::mem::take(&mut known.revoked);
        known.revoked.extend(lost.into_iter().chain(newer).filter(|it| seen.insert(*it)));
        let excess = known.revoked.len().saturating_sub(self.config.revoked_max);
        known.revoked.drain(..excess);
        if !known.revoked.is_empty() && !known.asks.is_empty() {
            self.answer_revoked(owner);
        }
    }

    /// Answers all requests of an owner that wait for revoked reservations: several workers may share a
    /// connection, and only they know whose job it was.
    pub(super) fn answer_revoked(&mut self, owner: u64) {
        let Some(owner) = self.parked.owners.get_mut(&owner) else { return };
        let revoked: Vec<Reservation> = std::mem::take(&mut owner.revoked).into();
        for park in std::mem::take(&mut owner.asks) {
            if self.unpark(park) {
                self.effects.push(Effect::Revoked(park, revoked.clone()));
            }
        }
    }

    /// Removes a waiting request; returns false if it no longer waits.
    pub(crate) fn unpark(&mut self, park: ParkId) -> bool {
        let Some(parked) = self.parked.unpark(park) else { return false };
        match parked.what {
            ParkedKind::Reserve(ask) => {
                if let Some(it) = self.topics.get_mut(ask.topic as usize) {
                    it.reserves.remove(&park);
                    it.held_back.remove(&park);
                }
                self.note_left(ask.topic);
            }
            ParkedKind::Push { blocked, .. } => {
                self.producers.leave(blocked, park);
                blocked.into_iter().for_each(|topic| self.note_left(topic));
            }
            ParkedKind::Revoked => {}
        }
        true
    }

    /// Answers requests whose wait has timed out, and admits pushes that waited behind them.
    pub(super) fn expire_parked(&mut self, now: Now) {
        let mut budget = self.config.slice_max;
        let late = |state: &Self| {
            let first = state.parked.deadlines.first().copied();
            first.filter(|(deadline, _)| *deadline <= now.steady).map(|(_, park)| park)
        };
        while budget > 0
            && let Some(park) = late(self)
        {
            budget -= 1;
            self.end_parked(park, None);
            budget = self.admit_pushes(budget);
        }
    }

    /// Ends a waiting request, with `error` or with the answer for the end of its waiting time.
    fn end_parked(&mut self, park: ParkId, error: Option<QueueError>) {
        let Some(parked) = self.parked.parked.get(&park) else { return };
        let effect = match (&parked.what, error) {
            (_, Some(error)) => Effect::Refused(park, error),
            (ParkedKind::Reserve(_), None) => Effect::Reserved(park, Vec::new()),
            (ParkedKind::Revoked, None) => Effect::Revoked(park, Vec::new()),
            (ParkedKind::Push { jobs, blocked, .. }, None) => {
                Effect::Pushed(park, Err(self.still_full(jobs, *blocked)))
            }
        };
        self.unpark(park);
        self.effects.push(effect);
    }

    /// Stops the hand-out of jobs and refuses all waiting requests.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        let parked: Vec<ParkId> = self.parked.parked.keys().copied().collect();
        for park in parked {
            self.end_parked(park, Some(QueueError::Stopping));
        }
    }

    /// Returns jobs that were handed out to a caller that is gone, at no cost to their budgets.
    pub(crate) fn undeliver(&mut self, now: Now, jobs: impl IntoIterator<Item = Reservation>) {
        self.tick(now);
        for reservation in jobs {
            if let Ok(slot) = self.held(reservation) {
                self.release(slot);
            }
        }
    }
}

pub(super) fn deadline(now: Now, wait: Duration) -> Micros {
    now.steady.saturating_add(micros(wait))
}
