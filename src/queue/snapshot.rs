//! A snapshot of the queue: changes that lead to the state at one moment, produced slice by slice while
//! the queue goes on changing. The previous state of a job that changes before it is written is saved.

use std::collections::VecDeque;

use super::change::{Again, Change, Kept, KeptState, New, Rare, Resumable};
use super::job::{Job, Phase};
use super::record::{Head, QUEUE_RECORD, StoredBackoff, TIME_LIMIT, encode_record};
use super::topic::{Index, Taken, Topic};
use super::{Slot, State};
use crate::config::record::job_record_bytes;
use crate::journal::Batch;
use crate::model::{JobId, JobState, UnixMillis};
use crate::record::decode;

/// A limit that no queue reaches: every id and turn is lower.
const ID_LIMIT: JobId = 1 << 62;

/// What a snapshot in progress needs from the past.
#[derive(Debug)]
pub(super) struct Frozen {
    at: UnixMillis,
    /// Jobs from this id on are newer.
    next_id: JobId,
    /// Everything except jobs, as it was.
    head: VecDeque<Change>,
    /// Slots before this one are written.
    cursor: Slot,
    end: Slot,
    /// Jobs that changed before they were written.
    kept: Vec<Kept>,
    /// Their slots, one bit each.
    changed: Vec<u64>,
}

impl State {
    /// Begins a snapshot of the current state. Whatever it needs from the past stays until
    /// [`end_snapshot`](Self::end_snapshot).
    pub(crate) fn begin_snapshot(&mut self) {
        let end = self.jobs.capacity() as Slot;
        self.frozen = Some(Frozen {
            at: self.utc,
            next_id: self.next_id,
            head: self.tell_head(),
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

    fn tell_head(&self) -> VecDeque<Change> {
        let mut head = VecDeque::from([Change::Began { next_id: self.next_id, line: self.line }]);
        head.extend(self.topics.iter().map(|topic| Change::TopicKept {
            name: topic.name.clone(),
            settings: (&topic.settings).into(),
            paused: topic.paused,
            totals: topic.totals,
        }));
        for ((until, id), (topic, index)) in self.finished_indexes.iter() {
            let entry = self.topic(*topic).and_then(|it| it.indexes.get(index));
            if let Some(&Index { taken: Taken::Until(_, state), .. }) = entry {
                let (topic, index, id, until) = (*topic, index.clone(), *id, *until);
                head.push_back(Change::IndexKept { topic, index, id, state: state.into(), until });
            }
        }
        head.extend(self.schedules.all().cloned().map(Change::ScheduleSet));
        head.extend(self.unheard.notes().map(|note| Change::Unheard(Box::new(note.into()))));
        head
    }

    /// Saves a job that is about to change.
    pub(super) fn keep_frozen(&mut self, slot: Slot) {
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
    pub(crate) fn tell_snapshot(&mut self, slice: usize, out: &mut Batch) -> bool {
        let slice_bytes = self.config.slice_bytes_max.min(job_record_bytes(&self.config));
        let Some(frozen) = &mut self.frozen else { return false };
        let mut changes: Vec<Change> = frozen.take_head(slice, slice_bytes);
        let mut bytes: usize = changes.iter().map(Change::bytes).sum();
        while changes.len() < slice
            && bytes < slice_bytes
            && let Some(kept) = frozen.kept.pop()
        {
            bytes += kept.bytes();
            changes.push(Change::JobKept(Box::new(kept)));
        }
        // A little further than the slice, to skip slots without jobs.
        let stop = frozen.cursor.saturating_add(8 * slice as Slot).min(frozen.end);
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
                changes.push(Change::JobKept(Box::new(kept)));
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
        let (head, mut rest) = decode::<Head>(rest)?;
        if head.at > TIME_LIMIT {
            return Err(format!("{} is not a time of day", head.at));
        }
        // Goes back at a start by a clock that was behind the records.
        self.utc = head.at;
        for _ in 0..head.changes {
            let (change, after) = decode::<Change>(rest)?;
            rest = after;
            self.check_replayed(&change)?;
            self.replay_change(head.at, &change);
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the changes", rest.len()));
        }
        Ok(())
    }

    fn replay_change(&mut self, at: UnixMillis, change: &Change) {
        if let Change::Cancelled { id } = change
            && let Some(slot) = self.ids.get(*id)
        {
            self.replay_note(slot, JobState::Cancelled);
        }
        self.apply(at, change);
        match change {
            Change::Dead { id, .. } => {
                if let Some(slot) = self.ids.get(*id) {
                    self.replay_note(slot, JobState::Dead);
                }
            }
            Change::Done { id } => self.unheard.forget_result(*id),
            _ => {}
        }
    }

    /// Checks that a change is possible in the current state.
    fn check_replayed(&self, change: &Change) -> Result<(), String> {
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
            Phase::Dead(_) => Err(format!("job {id} is dead")),
            _ => Ok(()),
        };
        match change {
            Change::TopicMade { name } | Change::TopicReplaced { name, .. } if name.is_empty() => {
                Err("a topic has no name".to_owned())
            }
            // A vacant number.
            Change::TopicKept { name, .. } if name.is_empty() => Ok(()),
            Change::TopicMade { name } | Change::TopicKept { name, .. } => {
                let double = self.names.contains_key(name);
                if double { Err(format!("topic {name} is made twice")) } else { Ok(()) }
            }
            Change::TopicReplaced { name, .. } if self.names.contains_key(name) => {
                Err(format!("topic {name} is made twice"))
            }
            Change::TopicDeleted { topic } => topic_of(topic).and_then(|()| unused(topic)),
            // Indexes whose time is over may still be there.
            Change::TopicReplaced { topic, .. } => unused(topic),
            Change::TopicSet { topic, .. }
            | Change::TopicPaused { topic, .. }
            | Change::IndexKept { topic, .. }
            | Change::IndexFreed { topic, .. } => topic_of(topic),
            Change::Pushed(new) if new.id < self.next_id || new.id > ID_LIMIT => {
                Err(format!("job {} does not follow", new.id))
            }
            Change::Pushed(new) => topic_of(&new.topic),
            Change::JobKept(kept) if self.ids.get(kept.new.id).is_some() => {
                Err(format!("job {} exists twice", kept.new.id))
            }
            Change::JobKept(kept) if kept.new.id >= self.next_id => {
                Err(format!("job {} is from a later time", kept.new.id))
            }
            Change::JobKept(kept)
                if kept.state == KeptState::Waiting
                    && kept.new.rare.as_ref().is_none_or(|rare| rare.order_key.is_none()) =>
            {
                Err(format!("job {} waits for an order key but has none", kept.new.id))
            }
            Change::JobKept(kept) => topic_of(&kept.new.topic),
            Change::Again { again: Again::At(at), id, .. } if *at == UnixMillis::MAX => {
                Err(format!("job {id} is never ready"))
            }
            Change::Started { id }
            | Change::StartedResumable { id, .. }
            | Change::Again { id, .. }
            | Change::Done { id }
            | Change::Dead { id, .. }
            | Change::Cancelled { id }
            | Change::Cleared { id }
            | Change::Woken { id } => alive(id),
            Change::Replayed { id } | Change::Evicted { id } => match job_of(id)?.phase {
                Phase::Dead(_) => Ok(()),
                _ => Err(format!("job {id} is not a dead letter")),
            },
            Change::Began { .. } if !fresh => Err("a snapshot begins where none can be".to_owned()),
            Change::Began { next_id, line }
                if *next_id == 0 || (*next_id).max(*line) > ID_LIMIT =>
            {
                Err("a snapshot of no queue".to_owned())
            }
            Change::Began { .. }
            | Change::ScheduleSet(_)
            | Change::ScheduleRemoved { .. }
            | Change::ScheduleCame { .. }
            | Change::Unheard(_)
            | Change::ClockSetBack { .. } => Ok(()),
            Change::Fenced { next_id, .. } if *next_id < self.next_id || *next_id > ID_LIMIT => {
                Err(format!("job {next_id} does not follow"))
            }
            Change::Fenced { .. } => Ok(()),
        }
    }
}

impl Frozen {
    /// Takes the next changes that precede the jobs.
    fn take_head(&mut self, slice: usize, bytes_max: usize) -> Vec<Change> {
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
    fn mark(&mut self, slot: Slot) -> bool {
        let Some(word) = self.changed.get_mut(slot as usize / 64) else { return false };
        let bit = 1 << (slot % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn is_marked(&self, slot: Slot) -> bool {
        let word = self.changed.get(slot as usize / 64).copied().unwrap_or(0);
        word & (1 << (slot % 64)) != 0
    }
}

fn kept_of(job: &Job, topic: Option<&Topic>) -> Kept {
    let entry = topic.zip(job.index()).and_then(|(topic, index)| topic.indexes.get(index));
    let indexed = match entry {
        Some(Index { id, taken }) if *id == job.id => match taken {
            Taken::Yes => Some(true),
            Taken::No => Some(false),
            // The index of a dead letter is a change of its own.
            Taken::Until(..) => None,
        },
        _ => None,
    };
    let rare = job.extra.as_deref().map(|extra| {
        Box::new(Rare {
            index: extra.index.clone(),
            unique: extra.unique.into(),
            order_key: extra.order_key.clone(),
            backoff: extra.backoff.as_ref().map(StoredBackoff::from),
        })
    });
    let (state, due) = match job.phase {
        Phase::Ready => (KeptState::Ready, job.pushed),
        Phase::Waiting => (KeptState::Waiting, job.pushed),
        Phase::Delayed(due) => (KeptState::Delayed, due),
        Phase::Reserved(_) | Phase::Recording if job.resumable => {
            let resumable =
                Resumable { visibility_ms: job.visibility.div_ceil(1_000), user: job.user };
            (KeptState::ReservedResumable(resumable), job.pushed)
        }
        Phase::Reserved(_) | Phase::Recording => (KeptState::Reserved, job.pushed),
        Phase::Dead(since) => (KeptState::Dead, since),
    };
    let errors = job.extra.as_ref().map(|it| it.errors.iter().cloned().collect());
    Kept {
        new: New {
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
