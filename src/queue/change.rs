//! [`QueueChange`]: what happened to a job or a topic, as applied and as recorded in the journal.
//!
//! Records hold effects, not requests: the random time of a retry is drawn once and read back on
//! replay. `docs/journal.md` has the layout.

use serde::{Deserialize, Serialize};

use super::TopicNo;
use super::record::{StoredBackoff, StoredOutcome, StoredSettings, StoredUnique, blob, blobs};
use crate::model::{Blob, JobId, JobState, UnixMillis};

/// The budget that a run without a result uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cost {
    Nothing,
    Failure,
    Loss,
}

/// The next place of a job that runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RequeueAt {
    /// Ready at once, in its previous position.
    Head,
    /// Delayed until this time, then behind the jobs that are ready.
    At(UnixMillis),
}

/// A job as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PushedJob {
    pub(super) id: JobId,
    pub(super) topic: TopicNo,
    #[serde(with = "blob")]
    pub(super) payload: Blob,
    /// When the job becomes ready.
    pub(super) due: UnixMillis,
    pub(super) priority: u8,
    pub(super) retry_max: Option<u32>,
    pub(super) loss_max: Option<u32>,
    pub(super) rare: Option<Box<RareFields>>,
}

/// Properties that most jobs do not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RareFields {
    #[serde(with = "blobs")]
    pub(super) index: Option<Blob>,
    pub(super) unique: StoredUnique,
    #[serde(with = "blobs")]
    pub(super) order_key: Option<Blob>,
    pub(super) backoff: Option<StoredBackoff>,
}

/// A job in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobSnapshot {
    /// The job as pushed. Its due time is that of its state, if that has one.
    pub(super) new: PushedJob,
    pub(super) state: JobSnapshotState,
    pub(super) epoch: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    pub(super) rank: i64,
    pub(super) turn: u64,
    pub(super) pushed: UnixMillis,
    pub(super) started: UnixMillis,
    pub(super) holds_place: bool,
    /// `Some` if its index names it; `Some(true)` if no other job may take the index.
    pub(super) indexed: Option<bool>,
    pub(super) errors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobSnapshotState {
    Ready,
    Waiting,
    Delayed,
    Reserved,
    Dead,
    ReservedResumable(Resumable),
}

/// The data that a worker needs to resume a reservation after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resumable {
    /// How long the job is held without a touch, milliseconds.
    pub(super) visibility_ms: u64,
    /// The [fingerprint](super::user_fingerprint) of the worker's user; 0 where there are no users.
    pub(super) user: u64,
}

/// The end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Finish {
    Done,
    Dead,
    Cancelled,
}

impl From<JobState> for Finish {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Done => Self::Done,
            JobState::Dead => Self::Dead,
            _ => Self::Cancelled,
        }
    }
}

impl From<Finish> for JobState {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Done => Self::Done,
            Finish::Dead => Self::Dead,
            Finish::Cancelled => Self::Cancelled,
        }
    }
}

/// The totals of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) pushed: u64,
    pub(super) done: u64,
    pub(super) dead: u64,
    pub(super) cancelled: u64,
    pub(super) evicted: u64,
}

/// The content of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScheduleSet {
    #[serde(with = "blob")]
    pub(super) name: Blob,
    pub(super) cron: String,
    pub(super) timezone: String,
    #[serde(with = "blob")]
    pub(super) topic: Blob,
    #[serde(with = "blob")]
    pub(super) payload: Blob,
    pub(super) delay_ms: u64,
    pub(super) priority: u8,
    pub(super) retry_max: Option<u32>,
    pub(super) loss_max: Option<u32>,
    pub(super) rare: RareFields,
    pub(super) next: Option<UnixMillis>,
    pub(super) pushed: u64,
    pub(super) missed: u64,
}

/// A change of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum QueueChange {
    /// A topic was created; topics are numbered from 0 in this order.
    TopicMade {
        #[serde(with = "blob")]
        name: Blob,
    },
    TopicSet {
        topic: TopicNo,
        settings: StoredSettings,
    },
    TopicPaused {
        topic: TopicNo,
        paused: bool,
    },
    Pushed(PushedJob),
    /// A job was handed out, with the next epoch.
    Started {
        id: JobId,
    },
    /// A job will run again.
    Again {
        id: JobId,
        again: RequeueAt,
        cost: Cost,
        error: Option<String>,
    },
    /// The delay of a job with an order key is over. For other jobs, the time of waking makes no
    /// difference.
    Woken {
        id: JobId,
    },
    /// A job is done, and its result is recorded.
    Done {
        id: JobId,
    },
    Dead {
        id: JobId,
        cost: Cost,
        error: String,
    },
    Cancelled {
        id: JobId,
    },
    /// A dead letter is ready again, with full budgets.
    Replayed {
        id: JobId,
    },
    /// A dead letter was evicted for lack of space or because of its age, or deleted by request.
    Evicted {
        id: JobId,
    },
    ScheduleSet(ScheduleSet),
    ScheduleRemoved {
        #[serde(with = "blob")]
        name: Blob,
    },
    /// A schedule's time came; the pushed job is a change of its own.
    ScheduleCame {
        #[serde(with = "blob")]
        name: Blob,
        next: Option<UnixMillis>,
        missed: bool,
    },
    /// A snapshot begins: topics, jobs and schedules follow.
    Began {
        next_id: JobId,
        /// The last turn given to a job that became ready or died.
        line: u64,
    },
    TopicKept {
        /// Empty if the number is vacant.
        #[serde(with = "blob")]
        name: Blob,
        settings: StoredSettings,
        paused: bool,
        totals: Totals,
    },
    JobKept(Box<JobSnapshot>),
    /// The index of a finished job stays taken.
    IndexKept {
        topic: TopicNo,
        #[serde(with = "blob")]
        index: Blob,
        id: JobId,
        state: Finish,
        until: UnixMillis,
    },
    /// A topic without jobs was forgotten, or was deleted before; another has its number.
    TopicReplaced {
        topic: TopicNo,
        #[serde(with = "blob")]
        name: Blob,
    },
    /// A start found the records ahead of the time of day by this many milliseconds.
    ClockSetBack {
        by: u64,
    },
    /// A job was cancelled by a clear of its topic: it has no outcome.
    Cleared {
        id: JobId,
    },
    /// The index of a job was freed for pushes.
    IndexFreed {
        topic: TopicNo,
        #[serde(with = "blob")]
        index: Blob,
        id: JobId,
    },
    /// A job was handed out, with the next epoch, to a worker that resumes its reservations.
    StartedResumable {
        id: JobId,
        resumable: Resumable,
    },
    /// A topic without jobs and dead letters was deleted. Its number is vacant until the next new topic
    /// gets it.
    TopicDeleted {
        topic: TopicNo,
    },
    /// In a snapshot: a job was dead or cancelled, and the outcomes had not recorded that yet.
    Unheard(Box<StoredOutcome>),
    /// Ids below `next_id`, and the next `epochs` epochs of each existing job, may have been visible
    /// before a loss, and are skipped.
    Fenced {
        next_id: JobId,
        epochs: u32,
    },
}

impl RareFields {
    fn bytes(&self) -> usize {
        let pauses = self.backoff.as_ref().map_or(0, StoredBackoff::bytes);
        let names = [&self.index, &self.order_key].into_iter().flatten();
        pauses + names.map(|name| name.len()).sum::<usize>()
    }
}

impl PushedJob {
    fn bytes(&self) -> usize {
        self.payload.len() + self.rare.as_deref().map_or(0, RareFields::bytes)
    }
}

impl JobSnapshot {
    /// Returns the approximate size of the encoding in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.new.bytes() + self.errors.iter().map(|error| error.len() + 8).sum::<usize>() + 32
    }
}

impl QueueChange {
    /// Returns the approximate size of the encoding in bytes, never less than half of the actual size.
    pub(super) fn bytes(&self) -> usize {
        32 + match self {
            Self::Pushed(new) => new.bytes(),
            Self::Again { error, .. } => error.as_ref().map_or(0, String::len),
            Self::Dead { error, .. } => error.len(),
            Self::TopicMade { name }
            | Self::TopicReplaced { name, .. }
            | Self::ScheduleRemoved { name } => name.len(),
            Self::TopicSet { settings, .. } => settings.bytes(),
            Self::ScheduleSet(set) => {
                let names = set.name.len() + set.topic.len() + set.timezone.len();
                names + set.cron.len() + set.payload.len() + set.rare.bytes()
            }
            Self::ScheduleCame { name, .. } => name.len(),
            Self::JobKept(kept) => kept.bytes(),
            Self::Unheard(outcome) => outcome.bytes(),
            Self::TopicKept { name, settings, .. } => name.len() + settings.bytes(),
            Self::IndexKept { index, .. } | Self::IndexFreed { index, .. } => index.len(),
            _ => 0,
        }
    }
}
