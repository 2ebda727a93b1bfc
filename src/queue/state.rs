//! [`QueueState`]: topics, jobs, and the requests that wait for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use slab::Slab;

use super::change::QueueChange;
use super::dead::DeadLetters;
use super::ids::Ids;
use super::indexes::FinishedIndexes;
use super::job::Job;
use super::names::TopicMakers;
use super::outcomes::OutcomeQuery;
use super::park::{Effect, ParkId, ParkedRequests, Requester};
use super::producers::Producers;
use super::record::encode_record;
use super::retry::JitterSource;
use super::schedule::Schedules;
use super::snapshot::FrozenQueue;
use super::topic::TopicState;
use super::unacknowledged::Unacknowledged;
use super::{JobSlot, Now, QueueError, TopicNo};
use crate::config::QueueConfig;
use crate::config::record::job_record_bytes;
use crate::fair::ClientId;
use crate::model::{Blob, JobId, JobReply, JobRequest, UnixMillis};
use crate::time::Micros;

/// The pure state machine of jobs: takes requests; returns answers, effects and records.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(super) config: QueueConfig,
    pub(super) jobs: Slab<Job>,
    /// The ids of unfinished jobs and dead letters.
    pub(super) ids: Ids,
    pub(super) next_id: JobId,
    /// The last turn given to a job that became ready or died; no id is higher.
    pub(super) line: u64,
    pub(super) topics: Vec<TopicState>,
    pub(super) names: BTreeMap<Blob, TopicNo>,
    pub(super) makers: TopicMakers,
    pub(super) delayed: BTreeSet<(UnixMillis, JobId, JobSlot)>,
    /// The deadlines of reservations.
    pub(super) deadlines: BTreeSet<(Micros, JobSlot)>,
    /// The number of reservations that are held for workers that are not connected.
    pub(super) awaiting_resume: usize,
    /// The number of unfinished jobs, and their bytes.
    pub(super) unfinished: usize,
    pub(super) bytes: u64,
    pub(super) dead: DeadLetters,
    pub(super) finished_indexes: FinishedIndexes,
    pub(super) schedules: Schedules,
    pub(super) parked: ParkedRequests,
    /// The numbers of deleted topics, which have no name.
    pub(super) vacant: BTreeSet<TopicNo>,
    /// The position from which the next topic to forget is searched.
    pub(super) forgotten: (ClientId, TopicNo),
    /// Topics that were unused when something last left them, with their makers. Some may be in use
    /// again, or belong to another.
    pub(super) idle: BTreeSet<(ClientId, TopicNo)>,
    /// Topics to examine when the turn ends.
    pub(super) dirty: Vec<TopicNo>,
    /// Topics whose next job waits for its rate, by time in nanoseconds.
    pub(super) throttled: BTreeSet<(u64, TopicNo)>,
    pub(super) producers: Producers,
    pub(super) draw: JitterSource,
    /// True if no more jobs are handed out.
    pub(super) draining: bool,
    /// The disk is full: nothing that makes the journal grow is accepted.
    pub(super) disk_full: bool,
    /// The newest time of day; it goes back only at a start.
    pub(super) utc: UnixMillis,
    /// The part of `utc` that passed in jumps of the clock, which do not age anything.
    unaged: UnixMillis,
    pub(super) steady: Micros,
    journaled: bool,
    /// Changes that are not in a record yet.
    changes: VecDeque<QueueChange>,
    /// The time of these changes.
    changes_at: UnixMillis,
    pub(super) unacknowledged: Unacknowledged,
    pub(super) effects: Vec<Effect>,
    pub(super) frozen: Option<FrozenQueue>,
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum QueueAnswer {
    Now(Result<JobReply, QueueError>),
    /// The answer comes as an [`Effect`].
    Parked(ParkId),
    /// The outcomes have the answer.
    Ask(OutcomeQuery),
}

impl QueueState {
    /// Makes an empty queue; `seed` is the seed of the jitter.
    pub(crate) fn new(config: QueueConfig, seed: u64) -> Self {
        Self {
            config,
            jobs: Slab::new(),
            ids: Ids::default(),
            next_id: 1,
            line: 0,
            topics: Vec::new(),
            names: BTreeMap::new(),
            makers: TopicMakers::default(),
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            awaiting_resume: 0,
            unfinished: 0,
            bytes: 0,
            dead: DeadLetters::default(),
            finished_indexes: FinishedIndexes::default(),
            schedules: Schedules::default(),
            parked: ParkedRequests::default(),
            vacant: BTreeSet::new(),
            forgotten: (ClientId::Process, 0),
            idle: BTreeSet::new(),
            dirty: Vec::new(),
            throttled: BTreeSet::new(),
            producers: Producers::default(),
            draw: JitterSource::new(seed),
            draining: false,
            disk_full: false,
            utc: 0,
            unaged: 0,
            steady: 0,
            journaled: false,
            changes: VecDeque::new(),
            changes_at: 0,
            unacknowledged: Unacknowledged::default(),
            effects: Vec::new(),
            frozen: None,
        }
    }

    /// Sets the time; neither clock goes back.
    pub(super) fn tick(&mut self, now: Now) {
        self.utc = self.utc.max(now.utc);
        self.steady = self.steady.max(now.steady);
    }

    /// Sets the part of the time of day that passed in jumps of the clock: it does not shorten
    /// retention.
    pub(crate) fn set_unaged(&mut self, unaged: UnixMillis) {
        self.unaged = unaged;
    }

    /// Returns the time of day that decides about retention.
    pub(super) fn aged_utc(&self) -> UnixMillis {
        self.utc.saturating_sub(self.unaged)
    }

    /// Sets whether changes are recorded.
    pub(crate) fn set_journaled(&mut self, journaled: bool) {
        self.journaled = journaled;
    }

    pub(super) fn is_journaled(&self) -> bool {
        self.journaled
    }

    /// Returns the time of day at the last replayed change.
    pub(crate) fn utc(&self) -> UnixMillis {
        self.utc
    }

    /// Returns whether this owner holds a job.
    pub(crate) fn holds(&self, owner: u64) -> bool {
        self.parked.owners.get(&owner).is_some_and(|it| !it.reserved.is_empty())
    }

    /// Returns whether any connected owner holds a job.
    pub(crate) fn has_reserved(&self) -> bool {
        let reserved: u64 = self.topics.iter().map(|topic| topic.reserved).sum();
        reserved > self.awaiting_resume as u64
    }

    /// Executes a request of `owner` in this process. Settlements are made one by one, see
    /// [`settle`](Self::settle); reservations are resumed with [`resume`](Self::resume).
    ///
    /// `now` must be the same until the turn is finished and its record taken.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn request(&mut self, now: Now, owner: u64, request: JobRequest) -> QueueAnswer {
        self.request_within(now, Requester { owner, client: ClientId::Process }, request, &|_| true)
    }

    /// Executes a request of `requester`, to whom jobs named by id are visible only if `may` permits
    /// their topics: for any other job, the answer is the same as if it had never been pushed.
    pub(crate) fn request_within(
        &mut self,
        now: Now,
        requester: Requester,
        request: JobRequest,
        may: &dyn Fn(&Blob) -> bool,
    ) -> QueueAnswer {
        self.tick(now);
        let done = match request {
            JobRequest::Push { jobs, wait } => {
                return self.push_or_park(now, requester, jobs, wait);
            }
            JobRequest::Reserve(reserve) => return self.reserve(now, requester, &reserve),
            JobRequest::Revoked { wait } => return self.ask_revoked(now, requester, wait),
            JobRequest::Get(job) => return self.get(&job, may),
            JobRequest::Await { job, .. } => return self.await_finished(&job, may),
            JobRequest::Outcomes { topic, after, limit, .. } => {
                return self.ask_outcomes(topic, after, limit);
            }
            JobRequest::List { topic, state, after, limit } => {
                return self.list(&topic, state, after, limit);
            }
            JobRequest::Cancel(job) => return self.cancel(&job, may),
            JobRequest::Settle(_) => {
                QueueError::invalid("settlements are settled one by one, not here")
            }
            JobRequest::Touch { reservations, visibility } => {
                self.touch(now, &reservations, visibility, may)
            }
            JobRequest::Progress { reservation, progress } => {
                self.progress(reservation, progress, may)
            }
            JobRequest::Resume(_) => QueueError::invalid(
                "only a connection resumes reservations; those of this process end with it",
            ),
            JobRequest::Replay { topic, id } => self.replay_dead(now, &topic, id),
            JobRequest::DeleteDead { topic, id } => self.delete_dead(&topic, id),
            JobRequest::FreeIndex { topic, index } => self.free_index(&topic, &index),
            JobRequest::SetTopic { topic, settings } => {
                self.set_topic(now, requester.client, &topic, &settings)
            }
            JobRequest::PauseTopic { topic, paused } => {
                self.pause_topic(now, requester.client, &topic, paused)
            }
            JobRequest::ClearTopic(topic) => self.clear_topic(&topic),
            JobRequest::DeleteTopic { topic, force } => self.delete_topic(&topic, force),
            JobRequest::Topic(topic) => self.describe_topic(now, &topic),
            JobRequest::Topics { after, limit } => self.describe_topics(now, &after, limit),
            JobRequest::SetSchedule(schedule) => {
                self.set_schedule(now, requester.client, *schedule)
            }
            JobRequest::RemoveSchedule(name) => self.remove_schedule(now, &name),
            JobRequest::Schedules => Ok(self.list_schedules()),
        };
        QueueAnswer::Now(done)
    }

    /// Finishes a turn: hands out jobs, admits pushes, and ends what is overdue. Must be called at the
    /// end of each turn.
    pub(crate) fn finish_turn(&mut self, now: Now) -> Vec<Effect> {
        self.forget_handed();
        self.advance(now);
        self.admit_pushes(self.config.slice_max);
        self.dispatch(now);
        let next_id = self.next_id;
        self.expire_parked(now);
        if self.next_id > next_id {
            // The admitted pushes may have brought jobs that reserves wait for.
            self.dispatch(now);
        }
        std::mem::take(&mut self.effects)
    }

    /// Does a slice of the work that is due.
    fn advance(&mut self, now: Now) {
        self.tick(now);
        self.wake_delayed();
        self.fire_schedules();
        self.expire_reservations(now);
        self.take_from_gone();
        self.evict_dead();
        self.free_indexes();
        while let Some((opens, topic)) = self.throttled.first().copied()
            && opens <= now.steady.saturating_mul(1_000)
        {
            self.throttled.remove(&(opens, topic));
            if let Some(it) = self.topics.get_mut(topic as usize) {
                it.throttled = None;
            }
            self.note_left(topic);
            self.mark_dirty(topic);
        }
    }

    /// Returns the time until something is due; `None` for never.
    pub(crate) fn next_due(&self, now: Now) -> Option<std::time::Duration> {
        let micros = |until: Micros| until.saturating_sub(now.steady);
        let millis =
            |until: UnixMillis| until.saturating_sub(self.utc.max(now.utc)).saturating_mul(1_000);
        if self.is_behind() {
            return Some(std::time::Duration::ZERO);
        }
        let due = [
            self.delayed.first().map(|(due, ..)| millis(*due)),
            self.schedules.next().filter(|_| !self.draining).map(millis),
            self.dead.next_age(&self.config).map(|at| millis(at.saturating_add(self.unaged))),
            self.deadlines.first().map(|(deadline, _)| micros(*deadline)),
            self.parked.deadlines.first().map(|(deadline, _)| micros(*deadline)),
            self.throttled.first().map(|(opens, _)| micros(opens.div_ceil(1_000))),
        ];
        due.into_iter().flatten().min().map(std::time::Duration::from_micros)
    }

    /// Returns whether a slice was not enough, so that the next turn must continue.
    fn is_behind(&self) -> bool {
        self.producers.first_opened().is_some()
            || !self.dirty.is_empty()
            || !self.parked.gone.is_empty()
            || self.dead.surplus(&self.config, self.aged_utc()).is_some()
            || self.has_surplus_indexes()
    }

    /// Applies a change and keeps it for the journal.
    pub(super) fn commit(&mut self, change: QueueChange) {
        // A record has a single time, that of its first change.
        if self.changes.is_empty() {
            self.changes_at = self.utc;
        }
        self.apply(self.changes_at, &change);
        if self.journaled {
            self.changes.push_back(change);
        }
    }

    /// Appends a record of the changes since the last one to `out`, up to the size that fits well into
    /// one; returns false if there are none.
    pub(crate) fn take_record(&mut self, out: &mut Vec<u8>) -> bool {
        let (mut bytes, max) = (0, job_record_bytes(&self.config));
        let fitting = self.changes.iter().take_while(|change| {
            let fits = bytes < max;
            bytes += change.bytes();
            fits
        });
        let count = fitting.count();
        if count == 0 {
            return false;
        }
        encode_record(self.changes_at, self.changes.iter().take(count), out);
        self.changes.drain(..count);
        true
    }

    /// Marks a topic to be examined when the turn ends.
    pub(super) fn mark_dirty(&mut self, topic: TopicNo) {
        if let Some(it) = self.topics.get_mut(topic as usize)
            && !std::mem::replace(&mut it.is_dirty, true)
        {
            self.dirty.push(topic);
        }
    }

    pub(super) fn job(&self, slot: JobSlot) -> Option<&Job> {
        self.jobs.get(slot as usize)
    }

    pub(super) fn topic(&self, number: TopicNo) -> Option<&TopicState> {
        self.topics.get(number as usize)
    }

    pub(super) fn topic_named(&self, name: &Blob) -> Result<TopicNo, QueueError> {
        self.names.get(name).copied().ok_or_else(|| QueueError::TopicNotFound(name.clone()))
    }

    pub(super) fn name_of(&self, number: TopicNo) -> Blob {
        self.topic(number).map(|topic| topic.name.clone()).unwrap_or_default()
    }
}
