//! [`Topic`]: the jobs of one topic, and who waits for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::environment::RandomState;
use crate::fair::ClientId;

use super::change::Totals;
use super::lane::Lane;
use super::meter::Meter;
use super::park::ParkId;
use super::{Now, Slot};
use crate::model::{Blob, JobId, JobState, Rate, TopicSettings, UnixMillis};

#[derive(Debug, Default)]
pub(super) struct Topic {
    pub(super) name: Blob,
    /// The client that made it since the start, or 0.
    pub(super) maker: ClientId,
    pub(super) settings: TopicSettings,
    pub(super) paused: bool,
    /// By rank, then by turn.
    pub(super) ready: BTreeSet<(i64, u64, Slot)>,
    /// By order key.
    pub(super) lanes: HashMap<Blob, Lane, RandomState>,
    /// Jobs that wait for a place of their order key.
    pub(super) waiting: u64,
    pub(super) delayed: u64,
    pub(super) reserved: u64,
    /// Unfinished jobs, and their bytes.
    pub(super) jobs: u64,
    pub(super) bytes: u64,
    pub(super) dead: BTreeMap<JobId, Slot>,
    pub(super) indexes: HashMap<Blob, Index, RandomState>,
    pub(super) totals: Totals,
    /// Reserves that wait for a job, the longest first.
    pub(super) reserves: BTreeSet<ParkId>,
    /// Those of them whose owners do not take what they were handed.
    pub(super) held_back: BTreeSet<ParkId>,
    pub(super) bucket: Bucket,
    /// When its rate allows the next job, as it stands among those that wait for it.
    pub(super) throttled: Option<u64>,
    pub(super) pushed: Meter,
    pub(super) finished: Meter,
    /// How far a clear has looked through all jobs.
    pub(super) cleared: JobId,
    /// Stands among those to be looked at when the turn ends.
    pub(super) is_hot: bool,
}

/// Who has an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) id: JobId,
    pub(super) taken: Taken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// No other push may take it.
    Yes,
    /// The job is finished, in this state; as before until then.
    Until(UnixMillis, JobState),
    /// It only names the job.
    No,
}

impl Topic {
    pub(super) fn named(name: Blob) -> Self {
        Self { name, ..Self::default() }
    }

    /// How many jobs of one order key may have a place.
    pub(super) fn order_limit(&self) -> u32 {
        self.settings.order_limit.unwrap_or(1).max(1)
    }

    pub(super) fn ready_jobs(&self) -> u64 {
        self.ready.len() as u64 + self.waiting
    }

    /// The job that is handed out next.
    pub(super) fn first_ready(&self) -> Option<Slot> {
        self.ready.first().map(|(_, _, slot)| *slot)
    }

    /// Whether one more job may be handed out, but for the rate.
    pub(super) fn may_start(&self) -> bool {
        let concurrency = self.settings.concurrency.map_or(u64::MAX, u64::from);
        !self.paused && self.reserved < concurrency && !self.ready.is_empty()
    }
}

impl Index {
    /// Whether it is that of a finished job, taken until then.
    pub(super) fn is_of_finished(&self, id: JobId, until: UnixMillis) -> bool {
        self.id == id && matches!(self.taken, Taken::Until(at, _) if at == until)
    }

    pub(super) fn is_taken(&self, utc: UnixMillis) -> bool {
        match self.taken {
            Taken::Yes => true,
            Taken::Until(until, _) => utc < until,
            Taken::No => false,
        }
    }
}

/// How often jobs start: a token bucket, kept as the time at which it would be full again.
///
/// Source: the generic cell rate algorithm (ITU-T I.371), as a virtual scheduler.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// Nanoseconds.
    full: u64,
}

impl Bucket {
    /// When the next job may start: nanoseconds of the steady clock; 0 for now.
    pub(super) fn opens(&mut self, rate: Rate, now: Now) -> u64 {
        let interval = interval(rate);
        let spare = interval.saturating_mul(u64::from(rate.burst.max(1)) - 1);
        // No emptier than empty: it may have been filled more slowly before.
        let empty = nanos(now).saturating_add(interval).saturating_add(spare);
        self.full = self.full.min(empty);
        let opens = self.full.saturating_sub(spare);
        if opens <= nanos(now) { 0 } else { opens }
    }

    /// A job starts.
    pub(super) fn take(&mut self, rate: Rate, now: Now) {
        let empty = interval(rate).saturating_mul(u64::from(rate.burst.max(1)));
        let full = self.full.max(nanos(now)).saturating_add(interval(rate));
        self.full = full.min(nanos(now).saturating_add(empty));
    }
}

fn nanos(now: Now) -> u64 {
    now.steady.saturating_mul(1_000)
}

fn interval(rate: Rate) -> u64 {
    let per = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX);
    per.div_ceil(u64::from(rate.jobs.max(1)))
}
