//! Applying a [`QueueChange`]: identically live and on replay.

use super::change::{
    Cost, JobSnapshot, JobSnapshotState, PushedJob, QueueChange, RareFields, RequeueAt, Resumable,
};
use super::job::{Job, JobPhase, RareJobFields};
use super::topic::{Index, IndexHold};
use super::{JobSlot, QueueState, TopicNo, millis};
use crate::model::{Backoff, Blob, JobId, JobInfo, JobState, OrderRetry, Unique, UnixMillis};

impl QueueState {
    pub(super) fn apply(&mut self, at: UnixMillis, change: &QueueChange) {
        match change {
            QueueChange::TopicMade { name } => self.make_topic(name.clone()),
            QueueChange::TopicReplaced { topic, name } => self.replace_topic(*topic, name.clone()),
            QueueChange::TopicDeleted { topic } => self.replace_topic(*topic, Blob::default()),
            QueueChange::TopicSet { topic, settings } => {
                let Some(it) = self.topics.get_mut(*topic as usize) else { return };
                let before = it.order_limit();
                it.settings = settings.into();
                if it.order_limit() > before {
                    self.fill_all_places(at, *topic);
                }
                self.mark_dirty(*topic);
                self.note_left(*topic);
                self.producers.open_all();
            }
            QueueChange::TopicPaused { topic, paused } => {
                if let Some(it) = self.topics.get_mut(*topic as usize) {
                    it.paused = *paused;
                }
                self.note_left(*topic);
                self.mark_dirty(*topic);
            }
            QueueChange::Pushed(new) => self.apply_pushed(at, new),
            QueueChange::Started { id } => {
                self.on(*id, |state, slot| state.apply_started(at, slot, None));
            }
            QueueChange::StartedResumable { id, resumable } => {
                self.on(*id, |state, slot| state.apply_started(at, slot, Some(*resumable)));
            }
            QueueChange::Again { id, again, cost, error } => self.on(*id, |state, slot| {
                state.charge(slot, *cost, error.as_ref());
                state.apply_again(at, slot, *again);
            }),
            QueueChange::Woken { id } => self.on(*id, |state, slot| state.wake(slot)),
            QueueChange::Done { id } => self.on(*id, |state, slot| {
                state.total(slot, |totals| add(&mut totals.done));
                state.finish(at, slot, JobState::Done);
                state.remove(slot);
            }),
            QueueChange::Dead { id, cost, error } => self.on(*id, |state, slot| {
                state.charge(slot, *cost, Some(error));
                state.total(slot, |totals| add(&mut totals.dead));
                state.finish(at, slot, JobState::Dead);
                state.dead_letter(at, slot);
            }),
            QueueChange::Cancelled { id } | QueueChange::Cleared { id } => {
                self.on(*id, |state, slot| {
                    state.total(slot, |totals| add(&mut totals.cancelled));
                    state.finish(at, slot, JobState::Cancelled);
                    state.remove(slot);
                })
            }
            QueueChange::Replayed { id } => {
                self.on(*id, |state, slot| state.apply_replayed(at, slot))
            }
            QueueChange::Evicted { id } => self.on(*id, |state, slot| {
                state.total(slot, |totals| add(&mut totals.evicted));
                state.forget_index(slot);
                state.remove(slot);
            }),
            QueueChange::ScheduleSet(set) => self.schedules.put(set),
            QueueChange::ScheduleRemoved { name } => self.schedules.remove(name),
            QueueChange::ScheduleCame { name, next, missed } => {
                self.schedules.came(name, *next, *missed);
            }
            QueueChange::Began { next_id, line } => (self.next_id, self.line) = (*next_id, *line),
            QueueChange::TopicKept { name, settings, paused, totals } => {
                self.make_topic(name.clone());
                if let Some(it) = self.topics.last_mut() {
                    (it.settings, it.paused, it.totals) = (settings.into(), *paused, *totals);
                }
            }
            QueueChange::ClockSetBack { by } => self.apply_clock_set_back(at, *by),
            QueueChange::Fenced { next_id, epochs } => self.apply_fenced(*next_id, *epochs),
            QueueChange::JobKept(kept) => self.apply_kept(kept),
            QueueChange::IndexKept { topic, index, id, state, until } => {
                self.keep_index(*topic, index.clone(), *id, ((*state).into(), *until));
            }
            QueueChange::Unheard(outcome) => {
                self.unacknowledged.push(Box::new(JobInfo::from((**outcome).clone())));
            }
            QueueChange::IndexFreed { topic, index, id } => {
                self.apply_index_freed(*topic, index, *id)
            }
        }
    }

    fn on(&mut self, id: JobId, what: impl FnOnce(&mut Self, JobSlot)) {
        if let Some(slot) = self.ids.get(id) {
            self.keep_frozen(slot);
            what(self, slot);
        }
    }

    fn apply_pushed(&mut self, at: UnixMillis, new: &PushedJob) {
        self.next_id = self.next_id.max(new.id + 1);
        self.line = self.line.max(new.id.saturating_sub(1));
        let job = job_of(at, new);
        if let Some(index) = job.index().cloned() {
            self.set_index(new.topic, index, Index { id: new.id, taken: IndexHold::Yes });
        }
        let Some(slot) = self.insert(job) else { return };
        self.total(slot, |totals| add(&mut totals.pushed));
        if new.due > at { self.delay(slot, new.due) } else { self.make_ready(at, slot) }
    }

    /// Adds a job that is in no place yet.
    fn insert(&mut self, job: Job) -> Option<JobSlot> {
        let (id, bytes) = (job.id, job.bytes());
        let topic = self.topics.get_mut(job.topic as usize)?;
        topic.jobs += 1;
        topic.bytes += bytes;
        self.unfinished += 1;
        self.bytes += bytes;
        let slot = self.jobs.insert(job) as JobSlot;
        self.ids.insert(id, slot);
        Some(slot)
    }

    fn apply_kept(&mut self, kept: &JobSnapshot) {
        let new = &kept.new;
        let mut job = job_of(kept.pushed, new);
        (job.epoch, job.failures, job.losses) = (kept.epoch, kept.failures, kept.losses);
        (job.rank, job.turn) = (kept.rank, kept.turn);
        (job.started, job.holds_place) = (kept.started, kept.holds_place);
        if !kept.errors.is_empty() {
            job.extra().errors = kept.errors.iter().cloned().collect();
        }
        if let (Some(index), Some(taken)) = (job.index().cloned(), kept.indexed) {
            let taken = if taken { IndexHold::Yes } else { IndexHold::No };
            self.set_index(new.topic, index, Index { id: job.id, taken });
        }
        if job.holds_place
            && let (Some(key), Some(topic)) =
                (job.order_key(), self.topics.get_mut(new.topic as usize))
        {
            topic.lanes.entry(key.clone()).or_default().busy += 1;
        }
        let id = job.id;
        let Some(slot) = self.insert(job) else { return };
        match kept.state {
            JobSnapshotState::Ready => self.put_ready(slot),
            JobSnapshotState::Waiting => self.put_waiting(slot),
            JobSnapshotState::Delayed => self.delay(slot, new.due),
            JobSnapshotState::Reserved => self.hold(slot, None),
            JobSnapshotState::ReservedResumable(resumable) => self.hold(slot, Some(resumable)),
            JobSnapshotState::Dead => {
                self.leave(slot);
                self.put_dead(new.due, slot);
            }
        }
        self.next_id = self.next_id.max(id + 1);
    }

    fn apply_started(&mut self, at: UnixMillis, slot: JobSlot, resumable: Option<Resumable>) {
        // The journal does not record the waking; if the job returns to the head, its place since then
        // counts.
        self.wake(slot);
        self.detach(slot);
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.epoch = job.epoch.saturating_add(1);
        job.started = at;
        self.release_index(slot, |unique| unique == Unique::Waiting);
        self.hold(slot, resumable);
    }

    /// Marks a job as reserved; which connection holds it, and until when, is not in the journal.
    fn hold(&mut self, slot: JobSlot, resumable: Option<Resumable>) {
        if let Some(job) = self.jobs.get_mut(slot as usize) {
            job.phase = JobPhase::Reserved(0);
            let Resumable { visibility_ms, user } = resumable.unwrap_or_default();
            (job.owner, job.user) = (0, user);
            job.visibility = visibility_ms.saturating_mul(1_000);
            job.resumable = resumable.is_some();
            self.awaiting_resume += usize::from(job.resumable);
            if let Some(topic) = self.topics.get_mut(job.topic as usize) {
                topic.reserved += 1;
            }
            self.deadlines.insert((0, slot));
        }
    }

    /// Makes the index only name the job from now on, if its pushed option `releases` it.
    fn release_index(&mut self, slot: JobSlot, releases: impl FnOnce(Unique) -> bool) {
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let Some(extra) = job.extra.as_ref().filter(|extra| releases(extra.unique)) else { return };
        if let (Some(index), Some(topic)) = (&extra.index, self.topics.get_mut(job.topic as usize))
            && let Some(entry) = topic.indexes.get_mut(index)
            && entry.id == job.id
        {
            entry.taken = IndexHold::No;
        }
    }

    fn charge(&mut self, slot: JobSlot, cost: Cost, error: Option<&String>) {
        let kept_max = self.config.errors_kept_max;
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        match cost {
            Cost::Nothing => {}
            Cost::Failure => job.failures = job.failures.saturating_add(1),
            Cost::Loss => job.losses = job.losses.saturating_add(1),
        }
        if let Some(error) = error {
            job.note_error(error.clone(), kept_max);
        }
        if let Some(extra) = &mut job.extra {
            extra.progress = None;
        }
    }

    fn apply_again(&mut self, at: UnixMillis, slot: JobSlot, again: RequeueAt) {
        self.detach(slot);
        match again {
            RequeueAt::Head => self.put_ready(slot),
            RequeueAt::At(due) => {
                let topic = self.job(slot).and_then(|job| self.topic(job.topic));
                if topic.is_some_and(|it| it.settings.order_retry == OrderRetry::Skip) {
                    self.give_up_place(at, slot);
                }
                if due > at { self.delay(slot, due) } else { self.make_ready(at, slot) }
            }
        }
    }

    fn apply_replayed(&mut self, at: UnixMillis, slot: JobSlot) {
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let bytes = job.bytes();
        let index = job.index().cloned();
        self.detach(slot);
        self.total(slot, |totals| totals.dead = totals.dead.saturating_sub(1));
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        (job.failures, job.losses) = (0, 0);
        if let Some(topic) = self.topics.get_mut(job.topic as usize) {
            topic.jobs += 1;
            topic.bytes += bytes;
        }
        if let Some(index) = index {
            self.take_index_again(at, slot, index);
        }
        self.unfinished += 1;
        self.bytes += bytes;
        self.make_ready(at, slot);
    }

    /// Returns its index to a replayed dead letter, unless another job has taken it meanwhile.
    fn take_index_again(&mut self, at: UnixMillis, slot: JobSlot, index: Blob) {
        let Some(job) = self.job(slot) else { return };
        let (id, topic) = (job.id, job.topic);
        let waiting = job.extra.as_ref().is_some_and(|it| it.unique == Unique::Waiting);
        let before = self.topic(topic).and_then(|it| it.indexes.get(&index));
        // The job was handed out before, so one that held its index only while waiting gets back only
        // the name.
        let free = |it: &Index| !it.is_taken(at) && (!waiting || it.id < id);
        if before.is_none_or(|before| before.id == id || free(before)) {
            let taken = if waiting { IndexHold::No } else { IndexHold::Yes };
            self.set_index(topic, index, Index { id, taken });
        }
    }

    pub(super) fn total(&mut self, slot: JobSlot, add: impl FnOnce(&mut super::change::Totals)) {
        if let Some(job) = self.jobs.get(slot as usize)
            && let Some(topic) = self.topics.get_mut(job.topic as usize)
        {
            add(&mut topic.totals);
        }
    }

    /// Removes a finished job from its place, and frees its slot of the order key and its index.
    fn finish(&mut self, at: UnixMillis, slot: JobSlot, state: JobState) {
        self.detach(slot);
        self.give_up_place(at, slot);
        self.leave(slot);
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let Some(extra) = &job.extra else { return };
        let Some(index) = extra.index.clone() else { return };
        let (id, topic, unique) = (job.id, job.topic, extra.unique);
        let Some(it) = self.topics.get_mut(topic as usize) else { return };
        if it.indexes.get(&index).is_none_or(|entry| entry.id != id) {
            return;
        }
        match unique {
            // A cancelled job is treated as if it had never been pushed.
            Unique::Finished(after) if state != JobState::Cancelled => {
                self.keep_index(topic, index, id, (state, at.saturating_add(millis(after))));
            }
            // The index names its dead letter as long as that is kept.
            _ if state == JobState::Dead => {
                self.set_index(topic, index, Index { id, taken: IndexHold::No })
            }
            _ => {
                it.indexes.remove(&index);
                self.note_left(topic);
            }
        }
    }

    /// Stops the index from naming the dead letter; an index that is taken stays.
    fn forget_index(&mut self, slot: JobSlot) {
        let Some(job) = self.jobs.get(slot as usize) else { return };
        let number = job.topic;
        if let (Some(index), Some(topic)) = (job.index(), self.topics.get_mut(number as usize))
            && topic
                .indexes
                .get(index)
                .is_some_and(|it| it.id == job.id && it.taken == IndexHold::No)
        {
            topic.indexes.remove(index);
            self.note_left(number);
        }
    }

    /// Keeps the index of a finished job taken, with the job's state and the time until which it is
    /// taken.
    fn keep_index(
        &mut self,
        topic: TopicNo,
        index: Blob,
        id: JobId,
        finished: (JobState, UnixMillis),
    ) {
        let (state, until) = finished;
        self.set_index(topic, index.clone(), Index { id, taken: IndexHold::Until(until, state) });
        self.finished_indexes.insert((until, id), topic, index);
    }

    /// Assigns the index to this job; a snapshot in progress saves the job that had it before.
    fn set_index(&mut self, number: TopicNo, index: Blob, entry: Index) {
        match self.topic(number).and_then(|topic| topic.indexes.get(&index)).copied() {
            Some(Index { id, taken: IndexHold::Until(until, _) }) => {
                self.finished_indexes.remove((until, id));
            }
            Some(Index { id, .. }) if id != entry.id => {
                if let Some(slot) = self.ids.get(id) {
                    self.keep_frozen(slot);
                }
            }
            _ => {}
        }
        if let Some(topic) = self.topics.get_mut(number as usize) {
            topic.indexes.insert(index, entry);
        }
    }
}

/// Adds one; saturates, because the count in a snapshot may be anything.
fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn job_of(at: UnixMillis, new: &PushedJob) -> Job {
    let extra = new.rare.as_deref().map(|rare| {
        let RareFields { index, unique, order_key, backoff } = rare.clone();
        let backoff = backoff.as_ref().map(Backoff::from);
        Box::new(RareJobFields {
            index,
            unique: unique.into(),
            order_key,
            backoff,
            ..RareJobFields::default()
        })
    });
    Job {
        id: new.id,
        topic: new.topic,
        priority: new.priority,
        phase: JobPhase::Ready,
        holds_place: false,
        resumable: false,
        epoch: 0,
        failures: 0,
        losses: 0,
        retry_max: new.retry_max,
        loss_max: new.loss_max,
        rank: 0,
        turn: 0,
        pushed: at,
        started: 0,
        payload: new.payload.clone(),
        owner: 0,
        visibility: 0,
        user: 0,
        extra,
    }
}
