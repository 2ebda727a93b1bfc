//! [`Change`]: what happened to a job or a topic, as it is applied and as the journal has it.
//!
//! Effects, not requests: when a job runs again was drawn once, and is read back. `docs/journal.md`
//! has the layout.

use serde::{Deserialize, Serialize};

use super::TopicNo;
use super::record::{StoredBackoff, StoredOutcome, StoredSettings, StoredUnique, blob, blobs};
use crate::model::{Blob, JobId, JobState, UnixMillis};

/// What a run that ended without a result has cost its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cost {
    Nothing,
    Failure,
    Loss,
}

/// Where a job goes that is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Again {
    /// At once, where it stood before.
    Head,
    /// At this time, behind those that are ready by then.
    At(UnixMillis),
}

/// A job as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct New {
    pub(super) id: JobId,
    pub(super) topic: TopicNo,
    #[serde(with = "blob")]
    pub(super) payload: Blob,
    /// When it is ready.
    pub(super) due: UnixMillis,
    pub(super) priority: u8,
    pub(super) retry_max: Option<u32>,
    pub(super) loss_max: Option<u32>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What most jobs have not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rare {
    #[serde(with = "blobs")]
    pub(super) index: Option<Blob>,
    pub(super) unique: StoredUnique,
    #[serde(with = "blobs")]
    pub(super) order_key: Option<Blob>,
    pub(super) backoff: Option<StoredBackoff>,
}

/// A job as a snapshot found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its due time is that of its state, if that has one.
    pub(super) new: New,
    pub(super) state: KeptState,
    pub(super) epoch: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    pub(super) rank: i64,
    pub(super) turn: u64,
    pub(super) pushed: UnixMillis,
    pub(super) started: UnixMillis,
    pub(super) holds_place: bool,
    /// Its index names it; `Some(true)` if no other may take it.
    pub(super) indexed: Option<bool>,
    pub(super) errors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeptState {
    Ready,
    Waiting,
    Delayed,
    Reserved,
    Dead,
    ReservedResumable(Resumable),
}

/// What a reservation needs to be resumed by its worker after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resumable {
    /// How long the job is held without a touch, milliseconds.
    pub(super) visibility_ms: u64,
    /// The [fingerprint](super::user_fingerprint) of the worker's user; 0 where there are no users.
    pub(super) user: u64,
}

/// How a job finished.
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

/// What a topic has counted, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) pushed: u64,
    pub(super) done: u64,
    pub(super) dead: u64,
    pub(super) cancelled: u64,
    pub(super) evicted: u64,
}

/// What a schedule pushes, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Set {
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
    pub(super) rare: Rare,
    pub(super) next: Option<UnixMillis>,
    pub(super) pushed: u64,
    pub(super) missed: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// A topic was made; they are numbered from 0 in this order.
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
    Pushed(New),
    /// A job was handed out, under the next epoch.
    Started {
        id: JobId,
    },
    /// A job is to run again.
    Again {
        id: JobId,
        again: Again,
        cost: Cost,
        error: Option<String>,
    },
    /// The delay of a job with an order key is over. Of others it makes no difference when.
    Woken {
        id: JobId,
    },
    /// A job is done, and its result recorded.
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
    /// A dead letter is ready again, its budgets full.
    Replayed {
        id: JobId,
    },
    /// A dead letter was given up for room or age, or deleted by request.
    Evicted {
        id: JobId,
    },
    ScheduleSet(Set),
    ScheduleRemoved {
        #[serde(with = "blob")]
        name: Blob,
    },
    /// A schedule's time came; what it pushed is told apart.
    ScheduleCame {
        #[serde(with = "blob")]
        name: Blob,
        next: Option<UnixMillis>,
        missed: bool,
    },
    /// A snapshot begins: topics, jobs and schedules follow.
    Began {
        next_id: JobId,
        /// The last turn given to a job that became ready, or died.
        line: u64,
    },
    TopicKept {
        /// Empty: the number is vacant.
        #[serde(with = "blob")]
        name: Blob,
        settings: StoredSettings,
        paused: bool,
        totals: Totals,
    },
    JobKept(Box<Kept>),
    /// The index of a finished job that stays taken.
    IndexKept {
        topic: TopicNo,
        #[serde(with = "blob")]
        index: Blob,
        id: JobId,
        state: Finish,
        until: UnixMillis,
    },
    /// A topic that had nothing was forgotten, or was deleted before; another has its number.
    TopicReplaced {
        topic: TopicNo,
        #[serde(with = "blob")]
        name: Blob,
    },
    /// A start found the records ahead of the time of day by so many milliseconds.
    ClockSetBack {
        by: u64,
    },
    /// A job was cancelled with all that waited in its topic: it has no outcome.
    Cleared {
        id: JobId,
    },
    /// A push may take this index again, which is that of a job.
    IndexFreed {
        topic: TopicNo,
        #[serde(with = "blob")]
        index: Blob,
        id: JobId,
    },
    /// A job was handed out, under the next epoch, to a worker that resumes its reservations.
    StartedResumable {
        id: JobId,
        resumable: Resumable,
    },
    /// A topic without jobs and dead letters was deleted. Its number is vacant: nobody's until the
    /// next topic that is made has it.
    TopicDeleted {
        topic: TopicNo,
    },
    /// In a snapshot: a job was dead or cancelled, and the outcomes had not recorded it yet.
    Unheard(Box<StoredOutcome>),
    /// Ids below `next_id` may have been seen, and the next `epochs` of each job that is there, and what
    /// they were of lost.
    Fenced {
        next_id: JobId,
        epochs: u32,
    },
}

impl Rare {
    fn bytes(&self) -> usize {
        let pauses = self.backoff.as_ref().map_or(0, StoredBackoff::bytes);
        let names = [&self.index, &self.order_key].into_iter().flatten();
        pauses + names.map(|name| name.len()).sum::<usize>()
    }
}

impl New {
    fn bytes(&self) -> usize {
        self.payload.len() + self.rare.as_deref().map_or(0, Rare::bytes)
    }
}

impl Kept {
    /// About how many it is encoded in.
    pub(super) fn bytes(&self) -> usize {
        self.new.bytes() + self.errors.iter().map(|error| error.len() + 8).sum::<usize>() + 32
    }
}

impl Change {
    /// About how many it is encoded in, and no fewer than half as many.
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
