//! [`MemoryQueue`]: a small queue without dependencies.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::time::later;
use super::topic_queue::closed;
use super::{NewJob, Next, Queue};
use crate::error::{Details, Error, ErrorCode};
use crate::model::{
    Backoff, Blob, JobId, JobState, PushOptions, Pushed, Reservation, ReservedJob, Settlement,
    Unique, UnixMillis, Verdict,
};
use crate::runtime::require_tokio;

/// A bounded queue in memory, first in, first out, which lives as long as its last handle. It
/// refuses the features it lacks (priorities, order keys, indexes kept after the job); a
/// [`Wakeful`](crate::Wakeful) has them.
#[derive(Debug)]
pub struct MemoryQueue {
    bounds: Bounds,
    state: Mutex<MemoryQueueState>,
    changed: Notify,
}

/// The bounds of a [`MemoryQueue`], and the defaults of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of unfinished jobs.
    pub jobs_max: usize,
    /// Maximum number of dead letters; beyond it the oldest are evicted.
    pub dead_max: usize,
    /// Maximum number of reruns after failures.
    pub retry_max: u32,
    /// Maximum number of reruns after losses.
    pub loss_max: u32,
    /// The delay after a failure, if the push has no backoff of its own.
    pub backoff: Duration,
}

/// A job that will not run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The job as last handed out.
    pub job: ReservedJob,
    /// The error message.
    pub error: String,
}

#[derive(Debug, Default)]
struct MemoryQueueState {
    last: JobId,
    /// In the order in which they are handed out.
    ready: VecDeque<QueuedJob>,
    delayed: BTreeMap<(Instant, JobId), QueuedJob>,
    held: BTreeMap<JobId, HeldJob>,
    indexes: HashMap<Blob, JobId>,
    dead: VecDeque<DeadLetter>,
    closed: bool,
}

#[derive(Debug)]
struct QueuedJob {
    job: ReservedJob,
    options: PushOptions,
}

#[derive(Debug)]
struct HeldJob {
    entry: QueuedJob,
    until: Instant,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            jobs_max: 100_000,
            dead_max: 10_000,
            retry_max: 25,
            loss_max: 3,
            backoff: Duration::from_secs(1),
        }
    }
}

impl MemoryQueue {
    /// Returns an empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), changed: Notify::new() }
    }

    /// Returns the dead letters, oldest first.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.state.lock().dead.iter().cloned().collect()
    }

    /// Returns the number of unfinished jobs, waiting and held.
    pub fn unfinished(&self) -> usize {
        self.state.lock().unfinished()
    }

    /// Takes ready jobs; otherwise returns the time to look again, `None` for after a change.
    fn take(&self, next: Next) -> Result<Vec<ReservedJob>, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.come_due(now, &self.bounds);
        let count = state.ready.len().min(next.credits as usize);
        let entries: Vec<QueuedJob> = state.ready.drain(..count).collect();
        let mut jobs = Vec::with_capacity(count);
        for mut entry in entries {
            entry.job.reservation.epoch += 1;
            jobs.push(entry.job.clone());
            let held = HeldJob { entry, until: after(now, next.visibility) };
            state.held.insert(held.entry.job.reservation.id, held);
        }
        if jobs.is_empty() { Err(state.next_due()) } else { Ok(jobs) }
    }

    fn conclude(&self, settlements: Vec<Settlement>) -> Vec<Option<Error>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.come_due(now, &self.bounds);
        let mut settle = |settlement: Settlement| match state.release(settlement.reservation) {
            Ok(entry) => {
                state.settle(entry, settlement.verdict, now, &self.bounds);
                None
            }
            Err(error) => Some(error),
        };
        settlements.into_iter().map(&mut settle).collect()
    }
}

impl MemoryQueueState {
    fn add(&mut self, new: NewJob) -> Pushed {
        if let Some(id) = new.options.index.as_ref().and_then(|index| self.indexes.get(index)) {
            let state = if self.held.contains_key(id) {
                JobState::Reserved
            } else if self.delayed.keys().any(|(_, delayed)| delayed == id) {
                JobState::Delayed
            } else {
                JobState::Ready
            };
            return Pushed { id: *id, state, existing: true };
        }
        self.last += 1;
        let id = self.last;
        if let Some(index) = &new.options.index {
            self.indexes.insert(index.clone(), id);
        }
        let job = ReservedJob {
            index: new.options.index.clone(),
            pushed: unix_millis(),
            ..ReservedJob::new(Reservation { id, epoch: 0 }, Blob::default(), new.payload)
        };
        let delay = new.options.delay;
        self.wait(QueuedJob { job, options: new.options }, Instant::now(), delay);
        let state = if delay.is_zero() { JobState::Ready } else { JobState::Delayed };
        Pushed { id, state, existing: false }
    }

    fn wait(&mut self, entry: QueuedJob, now: Instant, delay: Duration) {
        if delay.is_zero() {
            self.ready.push_back(entry);
        } else {
            self.delayed.insert((after(now, delay), entry.job.reservation.id), entry);
        }
    }

    /// Makes delayed jobs ready, and counts jobs held for too long as lost.
    fn come_due(&mut self, now: Instant, bounds: &Bounds) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                break;
            }
            self.ready.push_back(first.remove());
        }
        let lost: Vec<JobId> =
            self.held.iter().filter(|(_, held)| held.until <= now).map(|(id, _)| *id).collect();
        for id in lost {
            let Some(HeldJob { mut entry, .. }) = self.held.remove(&id) else { continue };
            entry.job.losses += 1;
            if entry.job.losses > entry.options.loss_max.unwrap_or(bounds.loss_max) {
                self.dead_letter(entry, "its workers were lost".to_owned(), bounds);
            } else {
                self.ready.push_front(entry);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let delayed = self.delayed.keys().next().map(|(due, _)| *due);
        let held = self.held.values().map(|held| held.until).min();
        delayed.into_iter().chain(held).min()
    }

    fn holds(&mut self, reservation: Reservation) -> Result<&mut HeldJob, Error> {
        match self.held.get_mut(&reservation.id) {
            Some(held) if held.entry.job.reservation == reservation => Ok(held),
            _ => Err(stale(reservation)),
        }
    }

    fn release(&mut self, reservation: Reservation) -> Result<QueuedJob, Error> {
        self.holds(reservation)?;
        let held = self.held.remove(&reservation.id);
        held.map(|held| held.entry).ok_or_else(|| stale(reservation))
    }

    fn settle(&mut self, mut entry: QueuedJob, verdict: Verdict, now: Instant, bounds: &Bounds) {
        match verdict {
            Verdict::Done { .. } => self.forget_index(&entry),
            Verdict::Retry { after, error } => {
                entry.job.failures += 1;
                if entry.job.failures > entry.options.retry_max.unwrap_or(bounds.retry_max) {
                    return self.dead_letter(entry, error, bounds);
                }
                let pause = after.unwrap_or_else(|| pause(&entry, bounds));
                self.wait(entry, now, pause);
            }
            Verdict::Fail { error } => self.dead_letter(entry, error, bounds),
            Verdict::Snooze { after } => self.wait(entry, now, after),
            Verdict::Release => self.ready.push_front(entry),
        }
    }

    fn dead_letter(&mut self, entry: QueuedJob, error: String, bounds: &Bounds) {
        self.forget_index(&entry);
        self.dead.push_back(DeadLetter { job: entry.job, error });
        while self.dead.len() > bounds.dead_max {
            self.dead.pop_front();
        }
    }

    fn forget_index(&mut self, entry: &QueuedJob) {
        if let Some(index) = &entry.job.index {
            self.indexes.remove(index);
        }
    }

    fn unfinished(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.held.len()
    }
}

impl Queue for MemoryQueue {
    async fn push(&self, jobs: Vec<NewJob>) -> Result<Vec<Pushed>, Error> {
        jobs.iter().try_for_each(|job| check(&job.options))?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        if state.unfinished() + jobs.len() > self.bounds.jobs_max {
            let limit =
                Details::Limit { name: "jobs_max".to_owned(), value: self.bounds.jobs_max as u64 };
            let message = "the queue has no room for this many jobs";
            return Err(Error::new(ErrorCode::Full, message).with_details(limit));
        }
        let pushed = jobs.into_iter().map(|job| state.add(job)).collect();
        drop(state);
        self.changed.notify_waiters();
        Ok(pushed)
    }

    async fn next(&self, next: Next) -> Result<Vec<ReservedJob>, Error> {
        require_tokio("MemoryQueue::next")?;
        let until = after(Instant::now(), next.wait);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registers before the check, so that no push in between is missed.
            changed.as_mut().enable();
            if self.state.lock().closed {
                return Err(closed());
            }
            let due = match self.take(next) {
                Ok(jobs) => return Ok(jobs),
                Err(due) => due.unwrap_or(until).min(until),
            };
            if Instant::now() >= until {
                return Ok(Vec::new());
            }
            // The next check decides, whether the time passed or not.
            let _ = tokio::time::timeout_at(due, changed).await;
        }
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Option<Error>>, Error> {
        let answers = self.conclude(settlements);
        self.changed.notify_waiters();
        Ok(answers)
    }

    async fn touch(
        &self,
        reservations: Vec<Reservation>,
        visibility: Duration,
    ) -> Result<Vec<Option<Error>>, Error> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.come_due(now, &self.bounds);
        let mut touch = |reservation| match state.holds(reservation) {
            Ok(held) => {
                held.until = after(now, visibility);
                None
            }
            Err(error) => Some(error),
        };
        Ok(reservations.into_iter().map(&mut touch).collect())
    }

    async fn len(&self) -> Result<u64, Error> {
        let mut state = self.state.lock();
        state.come_due(Instant::now(), &self.bounds);
        Ok((state.ready.len() + state.delayed.len()) as u64)
    }

    async fn clear(&self) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let mut removed: Vec<QueuedJob> = state.ready.drain(..).collect();
        removed.extend(std::mem::take(&mut state.delayed).into_values());
        removed.iter().for_each(|entry| state.forget_index(entry));
        Ok(removed.len() as u64)
    }

    async fn close(&self) -> Result<(), Error> {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

/// Uses the runtime's clock, which may be virtual.
fn after(now: Instant, time: Duration) -> Instant {
    later(now.into_std(), time).into()
}

fn check(options: &PushOptions) -> Result<(), Error> {
    let lacks = |what: &str| {
        let message = format!("a MemoryQueue does not support {what}");
        Err(Error::new(ErrorCode::InvalidArgument, message))
    };
    if options.order_key.is_some() {
        return lacks("order keys");
    }
    if options.priority != 0 {
        return lacks("priorities");
    }
    if options.index.is_some() && options.unique != Unique::Unfinished {
        return lacks("an index taken for other than the unfinished job");
    }
    Ok(())
}

fn pause(entry: &QueuedJob, bounds: &Bounds) -> Duration {
    let failures = entry.job.failures.max(1) as usize;
    match &entry.options.backoff {
        None => bounds.backoff,
        Some(Backoff::Constant(pause)) => *pause,
        Some(Backoff::List(pauses)) => {
            pauses.get(failures - 1).or(pauses.last()).copied().unwrap_or_default()
        }
        Some(Backoff::Exponential { base, cap, floor }) => {
            let longest = base.saturating_mul(1 << (failures - 1).min(20)).min(*cap);
            floor.saturating_add(longest.saturating_sub(*floor).mul_f64(rand::random()))
        }
    }
}

fn stale(reservation: Reservation) -> Error {
    let Reservation { id, epoch } = reservation;
    let message = format!("job {id} is no longer held under epoch {epoch}");
    Error::new(ErrorCode::StaleReservation, message)
}

fn unix_millis() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
