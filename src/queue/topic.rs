//! [`TopicState`]: the jobs of one topic and the requests that wait for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::environment::RandomState;
use crate::fair::ClientId;

use super::change::Totals;
use super::lane::Lane;
use super::meter::Meter;
use super::park::ParkId;
use super::{JobSlot, Now};
use crate::model::{Blob, JobId, JobState, Rate, TopicSettings, UnixMillis};

#[derive(Debug, Default)]
pub(super) struct TopicState {
    pub(super) name: Blob,
    /// The client that created the topic since the start, or 0.
    pub(super) creator: ClientId,
    pub(super) settings: TopicSettings,
    pub(super) paused: bool,
    /// Ready jobs by rank, then by turn.
    pub(super) ready: BTreeSet<(i64, u64, JobSlot)>,
    /// Order keys with jobs.
    pub(super) lanes: HashMap<Blob, Lane, RandomState>,
    /// The number of jobs that wait for a slot of their order key.
    pub(super) waiting: u64,
    pub(super) delayed: u64,
    pub(super) reserved: u64,
    /// The number of unfinished jobs, and their bytes.
    pub(super) jobs: u64,
    pub(super) bytes: u64,
    pub(super) dead: BTreeMap<JobId, JobSlot>,
    pub(super) indexes: HashMap<Blob, Index, RandomState>,
    pub(super) totals: Totals,
    /// Reserves that wait for a job, the longest first.
    pub(super) reserves: BTreeSet<ParkId>,
    /// Parked requests whose owners do not take the jobs that they were handed.
    pub(super) held_back: BTreeSet<ParkId>,
    pub(super) bucket: Bucket,
    /// The time at which the rate allows the next job, as in the list of throttled topics.
    pub(super) throttled: Option<u64>,
    pub(super) pushed: Meter,
    pub(super) finished: Meter,
    /// How far a clear has walked through all jobs.
    pub(super) cleared: JobId,
    /// Whether the topic is in the list to examine when the turn ends.
    pub(super) is_dirty: bool,
}

/// The holder of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) id: JobId,
    pub(super) taken: IndexHold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexHold {
    /// The index is taken from every other push.
    Yes,
    /// The job is finished, in this state; the index is taken until this time.
    Until(UnixMillis, JobState),
    /// The index only names the job.
    No,
}

impl TopicState {
    pub(super) fn named(name: Blob) -> Self {
        Self { name, ..Self::default() }
    }

    /// Returns how many jobs of one order key may have a slot.
    pub(super) fn order_limit(&self) -> u32 {
        self.settings.order_limit.unwrap_or(1).max(1)
    }

    pub(super) fn ready_jobs(&self) -> u64 {
        self.ready.len() as u64 + self.waiting
    }

    /// Returns the job to hand out next.
    pub(super) fn first_ready(&self) -> Option<JobSlot> {
        self.ready.first().map(|(_, _, slot)| *slot)
    }

    /// Returns whether one more job may be handed out, apart from the rate.
    pub(super) fn may_start(&self) -> bool {
        let concurrency = self.settings.concurrency.map_or(u64::MAX, u64::from);
        !self.paused && self.reserved < concurrency && !self.ready.is_empty()
    }
}

impl Index {
    /// Returns whether this is the index of this finished job, taken until this time.
    pub(super) fn is_of_finished(&self, id: JobId, until: UnixMillis) -> bool {
        self.id == id && matches!(self.taken, IndexHold::Until(at, _) if at == until)
    }

    pub(super) fn is_taken(&self, utc: UnixMillis) -> bool {
        match self.taken {
            IndexHold::Yes => true,
            IndexHold::Until(until, _) => utc < until,
            IndexHold::No => false,
        }
    }
}

/// Limits the rate of hand-outs: a token bucket, stored as the time at which it would be full again.
///
/// Source: the generic cell rate algorithm (ITU-T I.371), as a virtual scheduler.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// In nanoseconds.
    full: u64,
}

impl Bucket {
    /// Returns the time at which the next job may start: nanoseconds of the steady clock; 0 for now.
    pub(super) fn opens(&mut self, rate: Rate, now: Now) -> u64 {
        let interval = interval(rate);
        let spare = interval.saturating_mul(u64::from(rate.burst.max(1)) - 1);
        // Never emptier than empty: it may have been filled more slowly before.
        let empty = nanos(now).saturating_add(interval).saturating_add(spare);
        self.full = self.full.min(empty);
        let opens = self.full.saturating_sub(spare);
        if opens <= nanos(now) { 0 } else { opens }
    }

    /// Takes a token for a job that starts.
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
