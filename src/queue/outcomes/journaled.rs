//! Outcomes in the journal: records, replay, and snapshots.

use serde::{Deserialize, Serialize};

use super::Outcomes;
use super::kept::{OutcomeKey, TopicOutcomes};
use crate::config::record::job_record_bytes;
use crate::journal::RecordBatch;
use crate::model::{Blob, JobId, JobInfo, JobState, OutcomeSeq, Reservation, UnixMillis};
use crate::queue::record::{OUTCOME_RECORD, QueueRecordHead, StoredOutcome, TIME_LIMIT, blob};
use crate::record::{decode, encode};

/// Every number of an outcome is lower.
const NUMBER_LIMIT: OutcomeSeq = 1 << 62;

/// A change that is not in a record yet.
#[derive(Debug)]
pub(super) enum UnrecordedChange {
    Recorded(OutcomeKey),
    /// Outcomes of a topic were dropped, up to a number.
    Dropped {
        topic: Blob,
        through: OutcomeSeq,
    },
}

/// The progress of a snapshot, which covers one topic after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutcomesSnapshot {
    /// Outcomes from this number on are newer than the snapshot.
    end: OutcomeSeq,
    begun: bool,
    /// The next outcome is the first of this topic, or of a later one, with a number from `seq` on.
    topic: usize,
    topics: usize,
    seq: OutcomeSeq,
    /// The number that a reader of the records expects next.
    next: OutcomeSeq,
}

/// The changes of a record.
#[derive(Default)]
struct Changes {
    encoded: Vec<u8>,
    count: u32,
}

impl Changes {
    fn push(&mut self, change: &StoredOutcomeChange) {
        encode(change, &mut self.encoded);
        self.count += 1;
    }

    /// Adds an outcome for a reader that expects the number `next`.
    fn push_outcome(&mut self, next: &mut OutcomeSeq, seq: OutcomeSeq, info: &JobInfo) {
        self.push_number(next, seq);
        self.push(&StoredOutcomeChange::Recorded(StoredOutcome::from(info)));
        *next = seq + 1;
    }

    /// Adds the next number, for a reader that expects another one.
    fn push_number(&mut self, next: &mut OutcomeSeq, seq: OutcomeSeq) {
        if *next != seq {
            self.push(&StoredOutcomeChange::Numbered { next: seq });
            *next = seq;
        }
    }

    /// Appends the changes as one record; returns false if there are none.
    fn finish(self, at: UnixMillis, out: &mut Vec<u8>) -> bool {
        if self.count == 0 {
            return false;
        }
        out.extend_from_slice(&OUTCOME_RECORD);
        encode(&QueueRecordHead { at, changes: self.count }, out);
        out.extend_from_slice(&self.encoded);
        true
    }
}

impl Outcomes {
    /// Appends to `out` a record of the changes since the last record, up to the usual size of one;
    /// returns false if there are no changes. Outcomes beyond the limits are evicted only once all
    /// changes are written.
    pub(crate) fn take_record(&mut self, out: &mut Vec<u8>) -> bool {
        if self.unwritten.is_empty() {
            self.evict();
        }
        let (mut changes, max) = (Changes::default(), job_record_bytes(&self.config));
        let mut next = self.written_next;
        // Skips outcomes that were dropped before they were written.
        let mut end = next;
        while changes.encoded.len() < max
            && let Some(unwritten) = self.unwritten.pop_front()
        {
            match unwritten {
                UnrecordedChange::Recorded(place) => {
                    end = place.seq + 1;
                    if let Some(info) = self.get(place) {
                        changes.push_outcome(&mut next, place.seq, info);
                    }
                }
                UnrecordedChange::Dropped { topic, through } => {
                    changes.push(&StoredOutcomeChange::Dropped { topic, through });
                }
            }
        }
        end = end.max(next);
        changes.push_number(&mut next, end);
        self.written_next = next;
        changes.finish(self.utc, out)
    }

    /// Returns whether `payload` is a record of outcomes.
    pub(crate) fn owns(payload: &[u8]) -> bool {
        payload.starts_with(&OUTCOME_RECORD)
    }

    /// Applies the changes of a record again; calls `heard` with each hand-out whose end it contains,
    /// and how that ended.
    ///
    /// Returns an error text if the payload is not a record of this version or does not follow the last
    /// one.
    pub(crate) fn replay(
        &mut self,
        payload: &[u8],
        mut heard: impl FnMut(Reservation, JobState),
    ) -> Result<(), String> {
        let Some(rest) = payload.strip_prefix(&OUTCOME_RECORD) else {
            return Err("not a record of outcomes, or a record of another version".to_owned());
        };
        let (head, mut rest) = decode::<QueueRecordHead>(rest)?;
        if head.at > TIME_LIMIT {
            return Err(format!("{} is not a time of day", head.at));
        }
        self.utc = head.at;
        for _ in 0..head.changes {
            let (change, after) = decode::<StoredOutcomeChange>(rest)?;
            rest = after;
            match &change {
                StoredOutcomeChange::Recorded(outcome) => {
                    heard(outcome.reservation(), outcome.state())
                }
                StoredOutcomeChange::Unconfirmed { id, epoch } => {
                    heard(Reservation { id: *id, epoch: *epoch }, JobState::Done);
                }
                _ => {}
            }
            self.replay_change(change)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow", rest.len())) }
    }

    fn replay_change(&mut self, change: StoredOutcomeChange) -> Result<(), String> {
        match change {
            // May come again, if earlier outcomes were dropped meanwhile.
            StoredOutcomeChange::Began { first } if (self.next..NUMBER_LIMIT).contains(&first) => {
                let topics: Vec<u32> = self.names.values().copied().collect();
                topics.into_iter().for_each(|topic| self.remove_topic(topic));
                (self.next, self.forgotten) = (first, first - 1);
            }
            StoredOutcomeChange::Began { .. } => {
                return Err("a snapshot begins where none can be".to_owned());
            }
            StoredOutcomeChange::Recorded(outcome) => {
                let last = self.named(&outcome.topic).and_then(TopicOutcomes::last);
                if last.is_some_and(|last| last >= self.next) {
                    return Err(format!("outcome {} does not follow", self.next));
                }
                self.put(Box::new(outcome.into()));
            }
            StoredOutcomeChange::Numbered { next } if (1..NUMBER_LIMIT).contains(&next) => {
                self.next = next;
            }
            StoredOutcomeChange::Dropped { topic, through } if through < NUMBER_LIMIT => {
                self.replay_dropped(&topic, through);
            }
            StoredOutcomeChange::Unconfirmed { .. } => {}
            StoredOutcomeChange::Numbered { next: number }
            | StoredOutcomeChange::Dropped { through: number, .. } => {
                return Err(format!("{number} is not the number of an outcome"));
            }
        }
        Ok(())
    }

    fn replay_dropped(&mut self, topic: &Blob, through: OutcomeSeq) {
        let Some(number) = self.names.get(topic).copied() else {
            self.forgotten = self.forgotten.max(through);
            return;
        };
        let of =
            |outcomes: &Self| outcomes.topics.get(number as usize).and_then(TopicOutcomes::last);
        if of(self).is_some_and(|last| last <= through) {
            self.note_dropped(number, through);
            self.remove_topic(number);
            return;
        }
        let first =
            |outcomes: &Self| outcomes.topics.get(number as usize).and_then(TopicOutcomes::first);
        while first(self).is_some_and(|first| first <= through) {
            self.drop_oldest(number);
        }
        self.note_dropped(number, through);
    }

    /// Begins a snapshot of the current outcomes. Outcomes do not change; those dropped meanwhile are
    /// left out.
    pub(crate) fn begin_snapshot(&mut self) {
        self.unconfirmed_untold = self.unconfirmed.iter().copied().collect();
        self.telling = Some(OutcomesSnapshot {
            end: self.next,
            begun: false,
            topic: 0,
            topics: self.topics.capacity(),
            seq: 0,
            next: self.forgotten + 1,
        });
    }

    pub(crate) fn end_snapshot(&mut self) {
        self.telling = None;
        self.unconfirmed_untold = Vec::new();
    }

    /// Appends the next records of the snapshot, about `slice` outcomes; returns false if there are no
    /// more.
    pub(crate) fn write_snapshot(&mut self, slice: usize, out: &mut RecordBatch) -> bool {
        let Some(mut telling) = self.telling else { return false };
        let mut changes = Changes::default();
        if !std::mem::replace(&mut telling.begun, true) {
            changes.push(&StoredOutcomeChange::Began { first: telling.next });
        }
        let max = self.config.slice_bytes_max.min(job_record_bytes(&self.config));
        while changes.encoded.len() < max
            && let Some(Reservation { id, epoch }) = self.unconfirmed_untold.pop()
        {
            changes.push(&StoredOutcomeChange::Unconfirmed { id, epoch });
        }
        let mut steps = 0;
        while telling.topic < telling.topics && steps < slice && changes.encoded.len() < max {
            steps += 1 + self.write_topic(&mut telling, slice - steps, max, &mut changes);
        }
        let more = telling.topic < telling.topics || !self.unconfirmed_untold.is_empty();
        if !more {
            changes.push_number(&mut telling.next, telling.end);
        }
        self.telling = Some(telling);
        let at = self.utc;
        out.push_if(|out| changes.finish(at, out));
        more
    }

    /// Adds the next topic, or a part of it; returns the number of outcomes.
    fn write_topic(
        &self,
        snapshot: &mut OutcomesSnapshot,
        count_max: usize,
        bytes_max: usize,
        changes: &mut Changes,
    ) -> usize {
        let mut told = 0;
        if let Some(topic) = self.topics.get(snapshot.topic)
            && topic.first().is_some_and(|first| first < snapshot.end)
        {
            let from = topic.order.partition_point(|(seq, _)| *seq < snapshot.seq);
            for (seq, info) in topic.order.range(from..).take_while(|(seq, _)| *seq < snapshot.end)
            {
                if told == count_max || changes.encoded.len() >= bytes_max {
                    snapshot.seq = *seq;
                    return told;
                }
                changes.push_outcome(&mut snapshot.next, *seq, info);
                told += 1;
            }
            let (topic, through) = (topic.name.clone(), topic.gone);
            changes.push(&StoredOutcomeChange::Dropped { topic, through });
        }
        (snapshot.topic, snapshot.seq) = (snapshot.topic + 1, 0);
        told
    }
}

#[derive(Serialize, Deserialize)]
enum StoredOutcomeChange {
    /// A snapshot begins: outcomes from this number on follow.
    Began {
        first: OutcomeSeq,
    },
    Recorded(StoredOutcome),
    /// The next outcome has this number.
    Numbered {
        next: OutcomeSeq,
    },
    /// Outcomes of a topic were dropped, up to this number.
    Dropped {
        #[serde(with = "blob")]
        topic: Blob,
        through: OutcomeSeq,
    },
    /// In a snapshot: the result of this hand-out was recorded, and may have been dropped since, while
    /// the queue may not have recorded yet that the job is done.
    Unconfirmed {
        id: JobId,
        epoch: u32,
    },
}
