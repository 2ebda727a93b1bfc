//! What is sought among the outcomes, and who waits for it.

use std::time::Duration;

use super::Outcomes;
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobState, OutcomeSeq, Reservation,
};
use crate::queue::describe::bytes_of;
use crate::queue::park::ParkId;
use crate::queue::{Now, QueueError, micros};
use crate::store::Micros;

/// What the queue cannot answer by itself.
#[derive(Debug)]
pub(crate) enum Sought {
    /// A job that is not in the queue (any more).
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
    /// Only the queue knows what the job is now.
    Unfinished(JobId),
}

/// Who waits is answered so.
#[derive(Debug)]
pub(crate) enum Told {
    Reply(JobReply),
    /// Its time is over: it is told what the job is now.
    Late(JobId),
}

#[derive(Debug)]
pub(super) struct Parked {
    deadline: Micros,
    what: Waits,
}

#[derive(Debug)]
enum Waits {
    Finish(JobId),
    Follow { topic: Blob, after: OutcomeSeq, limit: usize },
}

impl Outcomes {
    /// Answers, or parks until `wait` is over.
    pub(crate) fn seek(&mut self, now: Now, sought: Sought, wait: Duration) -> Found {
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
                let newest = self.end() - 1;
                let after = after.unwrap_or(newest);
                if after > newest {
                    let oldest = self.first;
                    let error = QueueError::FutureOutcome { after, oldest, newest };
                    return Found::Now(Err(error));
                }
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
        live: Option<Reservation>,
        wait: Duration,
    ) -> Found {
        let found = match live {
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
            return Found::Unfinished(live.id);
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
        let (mut bytes, mut looked) = (0, 0);
        for seq in named.order.range(from..) {
            looked += 1;
            let full = page.jobs.len() >= limit || bytes >= self.config.list_bytes_max;
            if full || looked > self.config.list_looked_at_max {
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

    fn park(&mut self, now: Now, wait: Duration, what: Waits) -> Result<ParkId, QueueError> {
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

    pub(super) fn tell_finish(&mut self, id: JobId, seq: OutcomeSeq) {
        for park in self.finishes.get(&id).cloned().into_iter().flatten() {
            self.unpark(park);
            if let Some(info) = self.get(seq) {
                let reply = JobReply::Job(Box::new(info.clone()));
                self.told.push((park, Told::Reply(reply)));
            }
        }
    }

    pub(super) fn tell_followers(&mut self, topic: &Blob) {
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
        self.evict(self.aged_utc());
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
}
