//! Outcomes as the journal has them: records of what came, read back, and snapshots.

use serde::{Deserialize, Serialize};

use super::Outcomes;
use crate::config::record::job_record_bytes;
use crate::journal::Batch;
use crate::model::{Blob, JobId, JobInfo, OutcomeSeq, UnixMillis};
use crate::queue::change::Finish;
use crate::queue::describe::{bytes_of, no_info};
use crate::queue::record::{Head, OUTCOME_RECORD, TIME_LIMIT, blob, blobs, decode, encode};

impl Outcomes {
    /// Appends a record of what came since the last to `out`: all of it, or as much as fits well
    /// into one; false if there is nothing.
    pub(crate) fn take_record(&mut self, out: &mut Vec<u8>) -> bool {
        let (mut bytes, from) = (0, self.unwritten);
        let max = job_record_bytes(&self.config);
        while self.unwritten < self.end() && bytes < max {
            bytes += self.get(self.unwritten).map_or(0, bytes_of);
            self.unwritten += 1;
        }
        if from == self.unwritten {
            return false;
        }
        self.encode(from, self.unwritten, self.utc, out);
        true
    }

    fn encode(&self, from: OutcomeSeq, to: OutcomeSeq, at: UnixMillis, out: &mut Vec<u8>) {
        out.extend_from_slice(&OUTCOME_RECORD);
        encode(&Head { at, changes: (to - from) as u32 }, out);
        for seq in from..to {
            if let Some(info) = self.get(seq) {
                encode(&StoredChange::Recorded(StoredOutcome::from(info)), out);
            }
        }
    }

    /// Whether `payload` is a record of outcomes.
    pub(crate) fn owns(payload: &[u8]) -> bool {
        payload.starts_with(&OUTCOME_RECORD)
    }

    /// Does again what a record says was done.
    ///
    /// Errors: a sentence, if it is no record of this version or does not follow on the last.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        let Some(rest) = payload.strip_prefix(&OUTCOME_RECORD) else {
            return Err("not a record of outcomes, or of another version".to_owned());
        };
        let (head, mut rest) = decode::<Head>(rest)?;
        if head.at > TIME_LIMIT {
            return Err(format!("{} is no time of day", head.at));
        }
        self.utc = head.at;
        for _ in 0..head.changes {
            let (change, after) = decode::<StoredChange>(rest)?;
            rest = after;
            match change {
                // Again, if those told before were given up meanwhile.
                StoredChange::Began { first } if (self.end()..1 << 62).contains(&first) => {
                    while !self.kept.is_empty() {
                        self.drop_oldest();
                    }
                    self.first = first;
                }
                StoredChange::Began { .. } => {
                    return Err("a snapshot begins where none can be".to_owned());
                }
                StoredChange::Recorded(outcome) => {
                    self.put(Box::new(outcome.into()));
                    // By number and bytes alone: by age when the time of day is known.
                    self.evict(0);
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow", rest.len())) }
    }

    /// Begins a snapshot of what there is now. Outcomes do not change; those given up meanwhile
    /// are not in it.
    pub(crate) fn begin_snapshot(&mut self) {
        self.telling = Some((self.first, self.end(), false));
    }

    pub(crate) fn end_snapshot(&mut self) {
        self.telling = None;
    }

    /// Appends the next records of the snapshot, about `slice` outcomes; false when there are no
    /// more.
    pub(crate) fn tell_snapshot(&mut self, slice: usize, out: &mut Batch) -> bool {
        let Some((cursor, end, begun)) = self.telling else { return false };
        let from = cursor.max(self.first).min(end);
        if !begun || from > cursor {
            self.telling = Some((from, end, true));
            out.push_if(|out| {
                out.extend_from_slice(&OUTCOME_RECORD);
                encode(&Head { at: self.utc, changes: 1 }, out);
                encode(&StoredChange::Began { first: from }, out);
                true
            });
            return true;
        }
        let (mut to, mut bytes) = (from, 0);
        let slice_bytes = self.config.slice_bytes_max.min(job_record_bytes(&self.config));
        while to < end && to - from < slice as u64 && bytes < slice_bytes {
            bytes += self.get(to).map_or(0, bytes_of);
            to += 1;
        }
        if to > from {
            let at = self.utc;
            out.push_if(|out| {
                self.encode(from, to, at, out);
                true
            });
        }
        self.telling = Some((to, end, true));
        to < end
    }
}

#[derive(Serialize, Deserialize)]
enum StoredChange {
    /// A snapshot begins: outcomes from this number on follow.
    Began {
        first: OutcomeSeq,
    },
    Recorded(StoredOutcome),
}

#[derive(Serialize, Deserialize)]
struct StoredOutcome {
    id: JobId,
    #[serde(with = "blob")]
    topic: Blob,
    state: Finish,
    #[serde(with = "blobs")]
    index: Option<Blob>,
    #[serde(with = "blobs")]
    order_key: Option<Blob>,
    priority: u8,
    epoch: u32,
    failures: u32,
    losses: u32,
    retry_max: u32,
    pushed: UnixMillis,
    started: Option<UnixMillis>,
    finished: UnixMillis,
    errors: Vec<String>,
    #[serde(with = "blobs")]
    output: Option<Blob>,
}

impl From<&JobInfo> for StoredOutcome {
    fn from(info: &JobInfo) -> Self {
        Self {
            id: info.id,
            topic: info.topic.clone(),
            state: info.state.into(),
            index: info.index.clone(),
            order_key: info.order_key.clone(),
            priority: info.priority,
            epoch: info.epoch,
            failures: info.failures,
            losses: info.losses,
            retry_max: info.retry_max,
            pushed: info.pushed,
            started: info.started,
            finished: info.finished.unwrap_or(0),
            errors: info.errors.clone(),
            output: info.output.clone(),
        }
    }
}

impl From<StoredOutcome> for JobInfo {
    fn from(stored: StoredOutcome) -> Self {
        Self {
            id: stored.id,
            topic: stored.topic,
            state: stored.state.into(),
            index: stored.index,
            order_key: stored.order_key,
            priority: stored.priority,
            epoch: stored.epoch,
            failures: stored.failures,
            losses: stored.losses,
            retry_max: stored.retry_max,
            pushed: stored.pushed,
            started: stored.started,
            finished: Some(stored.finished),
            output: stored.output,
            errors: stored.errors,
            ..no_info()
        }
    }
}
