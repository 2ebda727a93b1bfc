//! Descriptions of jobs and topics.

use std::ops::Bound;
use std::time::Duration;

use super::job::{Job, JobPhase};
use super::live::no_topic;
use super::outcomes::{OutcomeQuery, TopicPage};
use super::state::QueueAnswer;
use super::topic::TopicState;
use super::{JobSlot, Now, QueueError, QueueState, millis};
use crate::model::{
    Blob, JobId, JobInfo, JobPage, JobRef, JobReply, JobState, OutcomeSeq, TopicInfo,
};

impl QueueState {
    /// Returns the slot of a job. By its id, a job is found only if `may` permits its topic.
    pub(super) fn find(&self, job: &JobRef, may: &dyn Fn(&Blob) -> bool) -> Option<JobSlot> {
        let id = match job {
            JobRef::Id(id) => {
                return self.ids.get(*id).filter(|_| self.topic_of(*id).is_some_and(may));
            }
            JobRef::Index { topic, index } => {
                let topic = self.topic(*self.names.get(topic)?)?;
                topic.indexes.get(index)?.id
            }
        };
        self.ids.get(id)
    }

    /// Returns the topic of a job that is unfinished or kept as a dead letter.
    pub(crate) fn topic_of(&self, id: JobId) -> Option<&Blob> {
        let job = self.job(self.ids.get(id)?)?;
        self.topic(job.topic).map(|topic| &topic.name)
    }

    pub(super) fn get(&self, job: &JobRef, may: &dyn Fn(&Blob) -> bool) -> QueueAnswer {
        match self.find(job, may).and_then(|slot| self.job(slot)) {
            Some(found) => QueueAnswer::Now(Ok(JobReply::Job(Box::new(self.info(found, true))))),
            None => self.not_here(job, false),
        }
    }

    /// Passes a request on to the outcomes: a job missing here may have finished.
    pub(super) fn not_here(&self, job: &JobRef, to_cancel: bool) -> QueueAnswer {
        QueueAnswer::Ask(OutcomeQuery::Job { job: job.clone(), to_cancel })
    }

    pub(super) fn await_finished(&self, job: &JobRef, may: &dyn Fn(&Blob) -> bool) -> QueueAnswer {
        let found = self.find(job, may).and_then(|slot| self.job(slot));
        match found {
            Some(dead) if dead.state() == JobState::Dead => {
                QueueAnswer::Now(Ok(JobReply::Job(Box::new(self.info(dead, false)))))
            }
            live => {
                let live = live.map(Job::reservation);
                QueueAnswer::Ask(OutcomeQuery::Finish { job: job.clone(), live })
            }
        }
    }

    pub(super) fn ask_outcomes(
        &self,
        topic: Blob,
        after: Option<OutcomeSeq>,
        limit: usize,
    ) -> QueueAnswer {
        match self.page_limit(limit) {
            Ok(limit) => QueueAnswer::Ask(OutcomeQuery::Outcomes {
                topic: self.topical(topic, limit),
                after,
            }),
            Err(error) => QueueAnswer::Now(Err(error)),
        }
    }

    /// Describes a query of outcomes; the outcomes may know a topic that the queue has forgotten.
    fn topical(&self, name: Blob, limit: usize) -> TopicPage {
        TopicPage { known: self.names.contains_key(&name), name, limit }
    }

    fn page_limit(&self, limit: usize) -> Result<usize, QueueError> {
        let max = self.config.list_jobs_max;
        QueueError::limit("queue.list_jobs_max", max, limit, "too many in one page")?;
        Ok(if limit == 0 { max } else { limit })
    }

    pub(super) fn list(
        &self,
        topic: &Blob,
        state: JobState,
        after: JobId,
        limit: usize,
    ) -> QueueAnswer {
        let limit = match self.page_limit(limit) {
            Ok(limit) => limit,
            Err(error) => return QueueAnswer::Now(Err(error)),
        };
        if matches!(state, JobState::Done | JobState::Cancelled) {
            let topic = self.topical(topic.clone(), limit);
            return QueueAnswer::Ask(OutcomeQuery::List { topic, state, after });
        }
        let number = match self.topic_named(topic) {
            Ok(number) => number,
            Err(error) => return QueueAnswer::Now(Err(error)),
        };
        let from = (Bound::Excluded(after), Bound::Unbounded);
        let page = match self.topic(number) {
            Some(topic) if state == JobState::Dead => {
                let dead = topic.dead.range(from).map(|(id, slot)| (*id, *slot));
                self.page(after, dead, |_| true, limit)
            }
            _ => {
                let all = self.ids.after(after);
                let fits = |job: &Job| job.topic == number && job.state() == state;
                self.page(after, all, fits, limit)
            }
        };
        QueueAnswer::Now(Ok(JobReply::Jobs(page)))
    }

    fn page(
        &self,
        after: JobId,
        slots: impl Iterator<Item = (JobId, JobSlot)>,
        fits: impl Fn(&Job) -> bool,
        limit: usize,
    ) -> JobPage {
        let (mut page, mut bytes) = (JobPage { after, ..JobPage::default() }, 0);
        let (mut looked, mut before) = (0, after);
        for (id, slot) in slots {
            looked += 1;
            let full = page.jobs.len() >= limit || bytes >= self.config.list_bytes_max;
            if full || looked > self.config.list_looked_at_max {
                page.more = true;
                page.after = if full { page.after } else { before };
                break;
            }
            before = id;
            if let Some(job) = self.job(slot).filter(|job| fits(job)) {
                // Only permitted ids: others belong to topics that the caller may not know about.
                page.after = id;
                let info = self.info(job, false);
                bytes += bytes_of(&info);
                page.jobs.push(info);
            }
        }
        page
    }

    pub(super) fn retry_max(&self, job: &Job) -> u32 {
        let topics = || self.topic(job.topic).and_then(|topic| topic.settings.retry_max);
        job.retry_max.or_else(topics).unwrap_or(self.config.retry_max)
    }

    fn info(&self, job: &Job, with_payload: bool) -> JobInfo {
        let extra = job.extra.as_deref();
        JobInfo {
            id: job.id,
            topic: self.name_of(job.topic),
            state: job.state(),
            payload: with_payload.then(|| job.payload.clone()),
            index: job.index().cloned(),
            order_key: job.order_key().cloned(),
            priority: job.priority,
            epoch: job.epoch,
            failures: job.failures,
            losses: job.losses,
            retry_max: self.retry_max(job),
            pushed: job.pushed,
            due: if let JobPhase::Delayed(due) = job.phase { Some(due) } else { None },
            // After a fence, jobs that were never handed out have an epoch too.
            started: (job.started > 0).then_some(job.started),
            finished: if let JobPhase::Dead(since) = job.phase { Some(since) } else { None },
            progress: extra.and_then(|extra| extra.progress.clone()),
            errors: extra.map(|extra| extra.errors.iter().cloned().collect()).unwrap_or_default(),
            output: None,
            outcome: None,
        }
    }

    /// Returns the outcome of a job.
    pub(super) fn outcome(
        &self,
        slot: JobSlot,
        state: JobState,
        output: Option<Blob>,
    ) -> Box<JobInfo> {
        let Some(job) = self.job(slot) else {
            return Box::new(JobInfo::new(0, Blob::default(), state));
        };
        let mut info = self.info(job, false);
        (info.state, info.output) = (state, output);
        (info.due, info.progress, info.finished) = (None, None, Some(self.utc));
        Box::new(info)
    }

    pub(super) fn describe_topic(&self, now: Now, name: &Blob) -> Result<JobReply, QueueError> {
        let topic = self.topic(self.topic_named(name)?).ok_or_else(|| no_topic(name))?;
        Ok(JobReply::Topic(Box::new(self.topic_info(now, topic))))
    }

    pub(super) fn describe_topics(
        &self,
        now: Now,
        after: &Blob,
        limit: usize,
    ) -> Result<JobReply, QueueError> {
        let limit = self.page_limit(limit)?;
        let from = (Bound::Excluded(after.clone()), Bound::Unbounded);
        let mut names = self.names.range(from).peekable();
        let (mut topics, mut bytes) = (Vec::new(), 0);
        while topics.len() < limit
            && bytes < self.config.list_bytes_max
            && let Some((name, number)) = names.next()
        {
            bytes += name.len();
            topics.extend(self.topic(*number).map(|topic| self.topic_info(now, topic)));
        }
        Ok(JobReply::Topics { topics, more: names.peek().is_some() })
    }

    fn topic_info(&self, now: Now, topic: &TopicState) -> TopicInfo {
        let oldest = topic.ready.first().and_then(|(rank, _, slot)| {
            let lead = millis(self.config.priority_step) * u64::from(self.job(*slot)?.priority);
            let since = rank.saturating_add(i64::try_from(lead).unwrap_or(i64::MAX));
            Some(self.utc.saturating_sub(u64::try_from(since).unwrap_or(0)))
        });
        TopicInfo {
            name: topic.name.clone(),
            settings: topic.settings.clone(),
            paused: topic.paused,
            ready: topic.ready_jobs(),
            delayed: topic.delayed,
            reserved: topic.reserved,
            dead: topic.dead.len() as u64,
            bytes: topic.bytes,
            pushed_total: topic.totals.pushed,
            done_total: topic.totals.done,
            dead_total: topic.totals.dead,
            cancelled_total: topic.totals.cancelled,
            evicted_total: topic.totals.evicted,
            oldest: Duration::from_millis(oldest.unwrap_or(0)),
            pushed_recent: topic.pushed.recent(now.steady),
            finished_recent: topic.finished.recent(now.steady),
            waiting_workers: (topic.reserves.len() + topic.held_back.len()) as u64,
        }
    }
}

/// Returns the bytes that count against the limits of pages and of kept outcomes.
pub(super) fn bytes_of(info: &JobInfo) -> usize {
    let blobs = [Some(&info.topic), info.index.as_ref(), info.order_key.as_ref()];
    let values = [info.payload.as_ref(), info.progress.as_ref(), info.output.as_ref()];
    let blobs = blobs.into_iter().chain(values).flatten().map(|blob| blob.len()).sum::<usize>();
    blobs + info.errors.iter().map(|it| it.len() + 24).sum::<usize>() + size_of::<JobInfo>()
}
