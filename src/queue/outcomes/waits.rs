//! Queries of outcomes, and the requests that wait for them.

use std::time::Duration;

use super::Outcomes;
use super::kept::OutcomeKey;
use crate::fair::ClientId;
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobState, OutcomeSeq, Reservation,
};
use crate::queue::check::TOO_MANY_WAIT;
use crate::queue::describe::bytes_of;
use crate::queue::park::ParkId;
use crate::queue::{Now, QueueError, micros};
use crate::time::Micros;

/// A query that the queue cannot answer by itself.
#[derive(Debug)]
pub(crate) enum OutcomeQuery {
    /// A job that is not, or no longer, in the queue.
    Job {
        job: JobRef,
        to_cancel: bool,
    },
    /// The finish of a job; `live` is its last hand-out if it has not come yet.
    Finish {
        job: JobRef,
        live: Option<Reservation>,
    },
    Outcomes {
        topic: TopicPage,
        after: Option<OutcomeSeq>,
    },
    List {
        topic: TopicPage,
        state: JobState,
        after: OutcomeSeq,
    },
}

impl OutcomeQuery {
    /// Returns whether the query is for the end of a job that was unfinished at the time of the
    /// request.
    pub(crate) fn is_of_unfinished(&self) -> bool {
        matches!(self, Self::Finish { live: Some(_), .. })
    }
}

/// A page of the outcomes of one topic.
#[derive(Debug)]
pub(crate) struct TopicPage {
    pub(crate) name: Blob,
    /// Whether the queue has the topic.
    pub(crate) known: bool,
    pub(crate) limit: usize,
}

/// The result of a query.
#[derive(Debug)]
pub(crate) enum OutcomeLookup {
    Now(Result<JobReply, QueueError>),
    Parked(ParkId),
    /// The job is unfinished; only the queue knows its state.
    Unfinished(JobId),
}

/// The answer to a waiting request.
#[derive(Debug)]
pub(crate) enum OutcomeAnswer {
    Reply(JobReply),
    /// The waiting time is over: the answer is the job's current state.
    Late(JobId),
}

#[derive(Debug)]
pub(super) struct ParkedQuery {
    client: ClientId,
    deadline: Micros,
    what: AwaitedOutcome,
}

#[derive(Debug)]
enum AwaitedOutcome {
    Finish(JobId),
    Follow { topic: Blob, after: OutcomeSeq, limit: usize },
}

impl Outcomes {
    /// Answers, or parks the request for up to `wait`. Jobs named by id are visible only if `may`
    /// permits their topics.
    pub(crate) fn query(
        &mut self,
        now: Now,
        client: ClientId,
        query: OutcomeQuery,
        wait: Duration,
        may: &dyn Fn(&Blob) -> bool,
    ) -> OutcomeLookup {
        match query {
            OutcomeQuery::Job { job, to_cancel } => {
                OutcomeLookup::Now(match self.find(&job, may) {
                    Some(info) if to_cancel => Err(QueueError::JobFinished(info.id)),
                    Some(info) => Ok(JobReply::Job(Box::new(info.clone()))),
                    None => Err(QueueError::not_found(&job)),
                })
            }
            OutcomeQuery::Finish { job, live } => {
                self.query_finish(now, client, &job, live, wait, may)
            }
            OutcomeQuery::List { topic: TopicPage { name, known, limit }, state, after } => {
                if let Err(error) = self.check_topic(&name, known) {
                    return OutcomeLookup::Now(Err(error));
                }
                let page = self.page(&name, after, limit, |info| info.state == state);
                OutcomeLookup::Now(Ok(JobReply::Jobs(page)))
            }
            OutcomeQuery::Outcomes { topic, after } => {
                match self.query_outcomes(now, client, topic, after, wait) {
                    Ok(found) => found,
                    Err(error) => OutcomeLookup::Now(Err(error)),
                }
            }
        }
    }

    /// Checks that the topic exists, or existed and finished something. (The queue forgets unused
    /// topics.)
    fn check_topic(&self, name: &Blob, known: bool) -> Result<(), QueueError> {
        if known || self.names.contains_key(name) {
            return Ok(());
        }
        Err(QueueError::TopicNotFound(name.clone()))
    }

    fn query_outcomes(
        &mut self,
        now: Now,
        client: ClientId,
        topic: TopicPage,
        after: Option<OutcomeSeq>,
        wait: Duration,
    ) -> Result<OutcomeLookup, QueueError> {
        let TopicPage { name: topic, known, limit } = topic;
        self.check_topic(&topic, known)?;
        let newest = self.next - 1;
        let after = after.unwrap_or(newest);
        let gone = self.named(&topic).map_or(self.forgotten, |topic| topic.gone);
        if after > newest {
            return Err(QueueError::FutureOutcome { after, oldest: gone + 1, newest });
        }
        if after < gone {
            return Err(QueueError::OutcomesGone { first: gone + 1 });
        }
        let page = self.page(&topic, after, limit, |_| true);
        if !page.jobs.is_empty() || wait.is_zero() {
            return Ok(OutcomeLookup::Now(Ok(JobReply::Jobs(page))));
        }
        let follow = AwaitedOutcome::Follow { topic: topic.clone(), after, limit };
        let park = self.park(now, client, wait, follow)?;
        self.followers.entry(topic).or_default().insert(park);
        Ok(OutcomeLookup::Parked(park))
    }

    fn query_finish(
        &mut self,
        now: Now,
        client: ClientId,
        job: &JobRef,
        live: Option<Reservation>,
        wait: Duration,
        may: &dyn Fn(&Blob) -> bool,
    ) -> OutcomeLookup {
        let found = match live {
            // An earlier life of the job, before it was replayed, or an earlier job with its index,
            // does not count.
            Some(live) => self
                .by_id(live.id)
                .filter(|it| it.epoch >= live.epoch && it.state != JobState::Dead),
            None => self.find(job, may),
        };
        if let Some(info) = found {
            return OutcomeLookup::Now(Ok(JobReply::Job(Box::new(info.clone()))));
        }
        let Some(live) = live else { return OutcomeLookup::Now(Err(QueueError::not_found(job))) };
        if wait.is_zero() {
            return OutcomeLookup::Unfinished(live.id);
        }
        match self.park(now, client, wait, AwaitedOutcome::Finish(live.id)) {
            Err(error) => OutcomeLookup::Now(Err(error)),
            Ok(park) => {
                self.finishes.entry(live.id).or_default().insert(park);
                OutcomeLookup::Parked(park)
            }
        }
    }

    fn find(&self, job: &JobRef, may: &dyn Fn(&Blob) -> bool) -> Option<&JobInfo> {
        match job {
            JobRef::Id(id) => self.by_id(*id).filter(|info| may(&info.topic)),
            JobRef::Index { topic, index } => {
                let topic = self.named(topic)?;
                topic.get(*topic.indexes.get(index)?)
            }
        }
    }

    fn page(
        &self,
        topic: &Blob,
        after: OutcomeSeq,
        limit: usize,
        fits: impl Fn(&JobInfo) -> bool,
    ) -> JobPage {
        let mut page = JobPage { after, ..JobPage::default() };
        let Some(named) = self.named(topic) else { return page };
        let from = named.order.partition_point(|(seq, _)| *seq <= after);
        let (mut bytes, mut looked) = (0, 0);
        for (seq, info) in named.order.range(from..) {
            looked += 1;
            let full = page.jobs.len() >= limit || bytes >= self.config.list_bytes_max;
            if full || looked > self.config.list_looked_at_max {
                page.more = true;
                break;
            }
            page.after = *seq;
            if fits(info) {
                bytes += bytes_of(info);
                page.jobs.push((**info).clone());
            }
        }
        page
    }

    fn park(
        &mut self,
        now: Now,
        client: ClientId,
        wait: Duration,
        what: AwaitedOutcome,
    ) -> Result<ParkId, QueueError> {
        let (waiting, max) = (&self.waiting, self.config.parked_max);
        QueueError::share(waiting, client, 1, "queue.parked_max", max, TOO_MANY_WAIT)?;
        self.waiting.take(client, 1);
        self.next_park += 1;
        let park = self.next_park;
        let deadline = now.steady.saturating_add(micros(wait));
        self.deadlines.insert((deadline, park));
        self.parked.insert(park, ParkedQuery { client, deadline, what });
        Ok(park)
    }

    /// Removes a waiting request; returns false if it no longer waits.
    pub(crate) fn unpark(&mut self, park: ParkId) -> bool {
        self.take_parked(park).is_some()
    }

    fn take_parked(&mut self, park: ParkId) -> Option<AwaitedOutcome> {
        let ParkedQuery { client, deadline, what } = self.parked.remove(&park)?;
        self.waiting.give_back(client, 1);
        self.deadlines.remove(&(deadline, park));
        match &what {
            AwaitedOutcome::Finish(id) => {
                if let Some(waiting) = self.finishes.get_mut(id) {
                    waiting.remove(&park);
                    if waiting.is_empty() {
                        self.finishes.remove(id);
                    }
                }
            }
            AwaitedOutcome::Follow { topic, .. } => {
                if let Some(followers) = self.followers.get_mut(topic) {
                    followers.remove(&park);
                    if followers.is_empty() {
                        self.followers.remove(topic);
                    }
                }
            }
        }
        Some(what)
    }

    pub(super) fn answer_finish(&mut self, id: JobId, place: OutcomeKey) {
        for park in self.finishes.get(&id).cloned().into_iter().flatten() {
            self.unpark(park);
            if let Some(info) = self.get(place) {
                let reply = JobReply::Job(Box::new(info.clone()));
                self.told.push((park, OutcomeAnswer::Reply(reply)));
            }
        }
    }

    /// Answers requests that wait for a job which was cancelled by a clear of its topic. No outcome is
    /// kept: the topic counts the job.
    pub(crate) fn answer_cleared(&mut self, info: &JobInfo) {
        for park in self.finishes.get(&info.id).cloned().into_iter().flatten() {
            self.unpark(park);
            self.told.push((park, OutcomeAnswer::Reply(JobReply::Job(Box::new(info.clone())))));
        }
    }

    pub(super) fn answer_followers(&mut self, topic: &Blob) {
        for park in self.followers.remove(topic).unwrap_or_default() {
            if let Some(AwaitedOutcome::Follow { topic, after, limit }) = self.take_parked(park) {
                let page = self.page(&topic, after, limit, |_| true);
                self.told.push((park, OutcomeAnswer::Reply(JobReply::Jobs(page))));
            }
        }
    }

    /// Ends waits whose time is over; returns all answers of the turn.
    pub(crate) fn finish_turn(&mut self, now: Now) -> Vec<(ParkId, OutcomeAnswer)> {
        self.utc = self.utc.max(now.utc);
        if !self.journaled {
            self.evict();
        }
        for _ in 0..self.config.slice_max {
            let Some((deadline, park)) = self.deadlines.first().copied() else { break };
            if deadline > now.steady {
                break;
            }
            match self.take_parked(park) {
                Some(AwaitedOutcome::Finish(id)) => self.told.push((park, OutcomeAnswer::Late(id))),
                Some(AwaitedOutcome::Follow { after, .. }) => {
                    // Everything up to now was considered.
                    let page = JobPage { after: after.max(self.next - 1), ..JobPage::default() };
                    self.told.push((park, OutcomeAnswer::Reply(JobReply::Jobs(page))));
                }
                None => {}
            }
        }
        std::mem::take(&mut self.told)
    }

    /// Returns all waiting requests when the service stops.
    pub(crate) fn stop(&mut self) -> Vec<ParkId> {
        let parked: Vec<ParkId> = self.parked.keys().copied().collect();
        parked.iter().for_each(|park| drop(self.take_parked(*park)));
        parked
    }
}
