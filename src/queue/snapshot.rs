//! A snapshot of the queue: changes that lead to the state at one moment, produced slice by slice while
//! the queue goes on changing. The previous state of a job that changes before it is written is saved.

use std::collections::VecDeque;

use super::change::{
    JobSnapshot, JobSnapshotState, PushedJob, QueueChange, RareFields, RequeueAt, Resumable,
};
use super::job::{Job, JobPhase};
use super::record::{QUEUE_RECORD, QueueRecordHead, StoredBackoff, TIME_LIMIT, encode_record};
use super::topic::{Index, IndexHold, TopicState};
use super::{JobSlot, QueueState};
use crate::config::record::job_record_bytes;
use crate::journal::RecordBatch;
use crate::model::{JobId, JobState, UnixMillis};
use crate::record::decode;

/// A limit that no queue reaches: every id and turn is lower.
const ID_LIMIT: JobId = 1 << 62;

/// The parts of the past that a snapshot in progress needs.
#[derive(Debug)]
pub(super) struct FrozenQueue {
    at: UnixMillis,
    /// Jobs from this id on are newer.
    next_id: JobId,
    /// Everything except jobs, as it was.
    head: VecDeque<QueueChange>,
    /// Slots before this one are written.
    cursor: JobSlot,
    end: JobSlot,
    /// Jobs that changed before they were written.
    kept: Vec<JobSnapshot>,
    /// Their slots, one bit each.
    changed: Vec<u64>,
}

impl QueueState {
    /// Begins a snapshot of the current state. Whatever it needs from the past stays until
    /// [`end_snapshot`](Self::end_snapshot).
    pub(crate) fn begin_snapshot(&mut self) {
        let end = self.jobs.capacity() as JobSlot;
        self.frozen = Some(FrozenQueue {
            at: self.utc,
            next_id: self.next_id,
            head: self.write_head(),
            cursor: 0,
            end,
            kept: Vec::new(),
            changed: vec![0; (end as usize).div_ceil(64)],
        });
    }

    /// Ends the snapshot and releases what was kept for it.
    pub(crate) fn end_snapshot(&mut self) {
        self.frozen = None;
    }

    fn write_head(&self) -> VecDeque<QueueChange> {
        let mut head =
            VecDeque::from([QueueChange::Began { next_id: self.next_id, line: self.line }]);
        head.extend(self.topics.iter().map(|topic| QueueChange::TopicKept {
            name: topic.name.clone(),
            settings: (&topic.settings).into(),
            paused: topic.paused,
            totals: topic.totals,
        }));
        for ((until, id), (topic, index)) in self.finished_indexes.iter() {
            let entry = self.topic(*topic).and_then(|it| it.indexes.get(index));
            if let Some(&Index { taken: IndexHold::Until(_, state), .. }) = entry {
                let (topic, index, id, until) = (*topic, index.clone(), *id, *until);
                head.push_back(QueueChange::IndexKept {
                    topic,
                    index,
                    id,
                    state: state.into(),
                    until,
                });
            }
        }
        head.extend(self.schedules.all().cloned().map(QueueChange::ScheduleSet));
        head.extend(
            self.unacknowledged.notes().map(|note| QueueChange::Unheard(Box::new(note.into()))),
        );
        head
    }

    /// Saves a job that is about to change.
    pub(super) fn keep_frozen(&mut self, slot: JobSlot) {
        let Some(frozen) = &mut self.frozen else { return };
        if slot < frozen.cursor || slot >= frozen.end {
            return;
        }
        let Some(job) = self.jobs.get(slot as usize) else { return };
        if job.id < frozen.next_id && frozen.mark(slot) {
            frozen.kept.push(kept_of(job, self.topics.get(job.topic as usize)));
        }
    }

    /// Appends the next records of the snapshot, about `slice` jobs; returns false if there are no
    /// more.
    pub(crate) fn write_snapshot(&mut self, slice: usize, out: &mut RecordBatch) -> bool {
        let slice_bytes = self.config.slice_bytes_max.min(job_record_bytes(&self.config));
        let Some(frozen) = &mut self.frozen else { return false };
        let mut changes: Vec<QueueChange> = frozen.take_head(slice, slice_bytes);
        let mut bytes: usize = changes.iter().map(QueueChange::bytes).sum();
        while changes.len() < slice
            && bytes < slice_bytes
            && let Some(kept) = frozen.kept.pop()
        {
            bytes += kept.bytes();
            changes.push(QueueChange::JobKept(Box::new(kept)));
        }
        // A little further than the slice, to skip slots without jobs.
        let stop = frozen.cursor.saturating_add(8 * slice as JobSlot).min(frozen.end);
        while frozen.head.is_empty()
            && changes.len() < slice
            && bytes < slice_bytes
            && frozen.cursor < stop
        {
            let slot = frozen.cursor;
            frozen.cursor += 1;
            if let Some(job) = self.jobs.get(slot as usize)
                && job.id < frozen.next_id
                && !frozen.is_marked(slot)
            {
                let kept = kept_of(job, self.topics.get(job.topic as usize));
                bytes += kept.bytes();
                changes.push(QueueChange::JobKept(Box::new(kept)));
            }
        }
        let at = frozen.at;
        let more = !frozen.head.is_empty() || !frozen.kept.is_empty() || frozen.cursor < frozen.end;
        if !changes.is_empty() {
            out.push_if(|out| {
                encode_record(at, changes.iter(), out);
                true
            });
        }
        more
    }

    /// Returns whether `payload` is a record of the queue.
    pub(crate) fn owns(payload: &[u8]) -> bool {
        payload.starts_with(&QUEUE_RECORD)
    }

    /// Applies the changes of a record again.
    ///
    /// Returns an error text if the payload is not a record of this version or does not follow the last
    /// one.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        let Some(rest) = payload.strip_prefix(&QUEUE_RECORD) else {
            return Err("not a record of the queue, or a record of another version".to_owned());
        };
        let (head, mut rest) = decode::<QueueRecordHead>(rest)?;
        if head.at > TIME_LIMIT {
            return Err(format!("{} is not a time of day", head.at));
        }
        // Goes back at a start by a clock that was behind the records.
        self.utc = head.at;
        for _ in 0..head.changes {
            let (change, after) = decode::<QueueChange>(rest)?;
            rest = after;
            self.check_replayed(&change)?;
            self.replay_change(head.at, &change);
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the changes", rest.len()));
        }
        Ok(())
    }

    fn replay_change(&mut self, at: UnixMillis, change: &QueueChange) {
        if let QueueChange::Cancelled { id } = change
            && let Some(slot) = self.ids.get(*id)
        {
            self.replay_note(slot, JobState::Cancelled);
        }
        self.apply(at, change);
        match change {
            QueueChange::Dead { id, .. } => {
                if let Some(slot) = self.ids.get(*id) {
                    self.replay_note(slot, JobState::Dead);
                }
            }
            QueueChange::Done { id } => self.unacknowledged.forget_result(*id),
            _ => {}
        }
    }

    /// Checks that a change is possible in the current state.
    fn check_replayed(&self, change: &QueueChange) -> Result<(), String> {
        let fresh = self.next_id == 1 && self.topics.is_empty();
        let topic_of = |topic: &super::TopicNo| match self.topic(*topic) {
            Some(known) if known.name.is_empty() => Err(format!("topic {topic} was deleted")),
            Some(_) => Ok(()),
            None => Err(format!("topic {topic} was never made")),
        };
        let job_of = |id: &JobId| match self.ids.get(*id).and_then(|slot| self.job(slot)) {
            Some(job) => Ok(job),
            None => Err(format!("job {id} does not exist")),
        };
        let unused = |topic: &super::TopicNo| match self.topic(*topic) {
            Some(old) if old.jobs == 0 && old.dead.is_empty() => Ok(()),
            _ => Err(format!("topic {topic} is in use, or was never made")),
        };
        let alive = |id: &JobId| match job_of(id)?.phase {
            JobPhase::Dead(_) => Err(format!("job {id} is dead")),
            _ => Ok(()),
        };
        match change {
            QueueChange::TopicMade { name } | QueueChange::TopicReplaced { name, .. }
                if name.is_empty() =>
            {
                Err("a topic has no name".to_owned())
            }
            // A vacant number.
            QueueChange::TopicKept { name, .. } if name.is_empty() => Ok(()),
            QueueChange::TopicMade { name } | QueueChange::TopicKept { name, .. } => {
                let double = self.names.contains_key(name);
                if double { Err(format!("topic {name} is made twice")) } else { Ok(()) }
            }
            QueueChange::TopicReplaced { name, .. } if self.names.contains_key(name) => {
                Err(format!("topic {name} is made twice"))
            }
            QueueChange::TopicDeleted { topic } => topic_of(topic).and_then(|()| unused(topic)),
            // Indexes whose time is over may still be there.
            QueueChange::TopicReplaced { topic, .. } => unused(topic),
            QueueChange::TopicSet { topic, .. }
            | QueueChange::TopicPaused { topic, .. }
            | QueueChange::IndexKept { topic, .. }
            | QueueChange::IndexFreed { topic, .. } => topic_of(topic),
            QueueChange::Pushed(new) if new.id < self.next_id || new.id > ID_LIMIT => {
                Err(format!("job {} does not follow", new.id))
            }
            QueueChange::Pushed(new) => topic_of(&new.topic),
            QueueChange::JobKept(kept) if self.ids.get(kept.new.id).is_some() => {
                Err(format!("job {} exists twice", kept.new.id))
            }
            QueueChange::JobKept(kept) if kept.new.id >= self.next_id => {
                Err(format!("job {} is from a later time", kept.new.id))
            }
            QueueChange::JobKept(kept)
                if kept.state == JobSnapshotState::Waiting
                    && kept.new.rare.as_ref().is_none_or(|rare| rare.order_key.is_none()) =>
            {
                Err(format!("job {} waits for an order key but has none", kept.new.id))
            }
            QueueChange::JobKept(kept) => topic_of(&kept.new.topic),
            QueueChange::Again { again: RequeueAt::At(at), id, .. } if *at == UnixMillis::MAX => {
                Err(format!("job {id} is never ready"))
            }
            QueueChange::Started { id }
            | QueueChange::StartedResumable { id, .. }
            | QueueChange::Again { id, .. }
            | QueueChange::Done { id }
            | QueueChange::Dead { id, .. }
            | QueueChange::Cancelled { id }
            | QueueChange::Cleared { id }
            | QueueChange::Woken { id } => alive(id),
            QueueChange::Replayed { id } | QueueChange::Evicted { id } => match job_of(id)?.phase {
                JobPhase::Dead(_) => Ok(()),
                _ => Err(format!("job {id} is not a dead letter")),
            },
            QueueChange::Began { .. } if !fresh => {
                Err("a snapshot begins where none can be".to_owned())
            }
            QueueChange::Began { next_id, line }
                if *next_id == 0 || (*next_id).max(*line) > ID_LIMIT =>
            {
                Err("a snapshot of no queue".to_owned())
            }
            QueueChange::Began { .. }
            | QueueChange::ScheduleSet(_)
            | QueueChange::ScheduleRemoved { .. }
            | QueueChange::ScheduleCame { .. }
            | QueueChange::Unheard(_)
            | QueueChange::ClockSetBack { .. } => Ok(()),
            QueueChange::Fenced { next_id, .. }
                if *next_id < self.next_id || *next_id > ID_LIMIT =>
            {
                Err(format!("job {next_id} does not follow"))
            }
            QueueChange::Fenced { .. } => Ok(()),
        }
    }
}

impl FrozenQueue {
    /// Takes the next changes that precede the jobs.
    fn take_head(&mut self, slice: usize, bytes_max: usize) -> Vec<QueueChange> {
        let mut bytes = 0;
        let fitting = self.head.iter().take(slice).take_while(|change| {
            let fits = bytes < bytes_max;
            bytes += change.bytes();
            fits
        });
        let count = fitting.count();
        self.head.drain(..count).collect()
    }

    /// Marks a slot as changed; returns false if it already was.
    fn mark(&mut self, slot: JobSlot) -> bool {
        let Some(word) = self.changed.get_mut(slot as usize / 64) else { return false };
        let bit = 1 << (slot % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn is_marked(&self, slot: JobSlot) -> bool {
        let word = self.changed.get(slot as usize / 64).copied().unwrap_or(0);
        word & (1 << (slot % 64)) != 0
    }
}

fn kept_of(job: &Job, topic: Option<&TopicState>) -> JobSnapshot {
    let entry = topic.zip(job.index()).and_then(|(topic, index)| topic.indexes.get(index));
    let indexed = match entry {
        Some(Index { id, taken }) if *id == job.id => match taken {
            IndexHold::Yes => Some(true),
            IndexHold::No => Some(false),
            // The index of a dead letter is a change of its own.
            IndexHold::Until(..) => None,
        },
        _ => None,
    };
    let rare = job.extra.as_deref().map(|extra| {
        Box::new(RareFields {
            index: extra.index.clone(),
            unique: extra.unique.into(),
            order_key: extra.order_key.clone(),
            backoff: extra.backoff.as_ref().map(StoredBackoff::from),
        })
    });
    let (state, due) = match job.phase {
        JobPhase::Ready => (JobSnapshotState::Ready, job.pushed),
        JobPhase::Waiting => (JobSnapshotState::Waiting, job.pushed),
        JobPhase::Delayed(due) => (JobSnapshotState::Delayed, due),
        JobPhase::Reserved(_) | JobPhase::Recording if job.resumable => {
            let resumable =
                Resumable { visibility_ms: job.visibility.div_ceil(1_000), user: job.user };
            (JobSnapshotState::ReservedResumable(resumable), job.pushed)
        }
        JobPhase::Reserved(_) | JobPhase::Recording => (JobSnapshotState::Reserved, job.pushed),
        JobPhase::Dead(since) => (JobSnapshotState::Dead, since),
    };
    let errors = job.extra.as_ref().map(|it| it.errors.iter().cloned().collect());
    JobSnapshot {
        new: PushedJob {
            id: job.id,
            topic: job.topic,
            payload: job.payload.clone(),
            due,
            priority: job.priority,
            retry_max: job.retry_max,
            loss_max: job.loss_max,
            rare,
        },
        state,
        epoch: job.epoch,
        failures: job.failures,
        losses: job.losses,
        rank: job.rank,
        turn: job.turn,
        pushed: job.pushed,
        started: job.started,
        holds_place: job.holds_place,
        indexed,
        errors: errors.unwrap_or_default(),
    }
}
