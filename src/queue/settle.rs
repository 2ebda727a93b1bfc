//! Settling of jobs that were handed out.

use std::time::Duration;

use super::change::{Cost, QueueChange, RequeueAt};
use super::job::{Job, JobPhase};
use super::{JobSlot, Now, Outcomes, QueueError, QueueState, millis, retry};
use crate::model::{Blob, JobReply, JobState, Reservation, Settlement, Verdict, cut_off};
use crate::time::Micros;

/// The progress of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettleProgress {
    /// The settlement is complete.
    Now,
    /// The result must be recorded first: see [`Effect::Record`](super::Effect::Record).
    Recording,
}

impl QueueState {
    /// Settles one job.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn settle(
        &mut self,
        now: Now,
        settlement: Settlement,
    ) -> Result<SettleProgress, QueueError> {
        self.settle_within(now, settlement, &|_| true)
    }

    /// Settles one job for a requester to whom only jobs of topics that `may` permits are visible, as
    /// in [`request_within`](Self::request_within).
    pub(crate) fn settle_within(
        &mut self,
        now: Now,
        settlement: Settlement,
        may: &dyn Fn(&Blob) -> bool,
    ) -> Result<SettleProgress, QueueError> {
        self.tick(now);
        let Settlement { reservation, verdict } = settlement;
        let slot = self.held_within(reservation, may)?;
        match verdict {
            Verdict::Done { output } => {
                let max = self.config.output_bytes_max;
                let what = "the result is too large; store it elsewhere and return its location";
                QueueError::limit("queue.output_bytes_max", max, output.len(), what)?;
                self.begin_recording(slot, output);
                return Ok(SettleProgress::Recording);
            }
            Verdict::Retry { after, error } => {
                self.check_delay(after.unwrap_or_default())?;
                self.fail(slot, error, after);
            }
            Verdict::Fail { error } => {
                let error = self.cut(error);
                self.die(slot, Cost::Failure, error);
            }
            Verdict::Snooze { after } => {
                self.check_delay(after)?;
                let again = RequeueAt::At(self.utc.saturating_add(millis(after)));
                let id = reservation.id;
                self.commit(QueueChange::Again { id, again, cost: Cost::Nothing, error: None });
            }
            Verdict::Release => self.release(slot),
        }
        Ok(SettleProgress::Now)
    }

    /// Notes that the result of a job is recorded, or why not: then the job has failed.
    pub(crate) fn recorded(
        &mut self,
        now: Now,
        reservation: Reservation,
        recorded: Result<(), String>,
    ) {
        self.tick(now);
        let Some(slot) = self.ids.get(reservation.id) else { return };
        let recording =
            |job: &Job| job.phase == JobPhase::Recording && job.epoch == reservation.epoch;
        if !self.job(slot).is_some_and(recording) {
            return;
        }
        match recorded {
            Ok(()) => {
                self.meter_finished(slot);
                self.commit(QueueChange::Done { id: reservation.id });
            }
            Err(error) => self.fail(slot, format!("recording failed: {error}"), None),
        }
    }

    pub(super) fn meter_finished(&mut self, slot: JobSlot) {
        if let Some(job) = self.jobs.get(slot as usize)
            && let Some(topic) = self.topics.get_mut(job.topic as usize)
        {
            topic.finished.add(self.steady, 1);
        }
    }

    pub(super) fn held(&self, reservation: Reservation) -> Result<JobSlot, QueueError> {
        let slot = self.ids.get(reservation.id);
        let held = |slot: &JobSlot| {
            self.job(*slot).is_some_and(|job| {
                job.epoch == reservation.epoch && matches!(job.phase, JobPhase::Reserved(_))
            })
        };
        slot.filter(held).ok_or(QueueError::Stale(reservation))
    }

    /// Returns the slot of a reserved job in a topic that `may` permits.
    fn held_within(
        &self,
        reservation: Reservation,
        may: &dyn Fn(&Blob) -> bool,
    ) -> Result<JobSlot, QueueError> {
        let slot = self.held(reservation)?;
        match self.job(slot).and_then(|job| self.topic(job.topic)) {
            Some(topic) if may(&topic.name) => Ok(slot),
            _ => Err(QueueError::Stale(reservation)),
        }
    }

    fn begin_recording(&mut self, slot: JobSlot, output: Blob) {
        self.keep_frozen(slot);
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        if let JobPhase::Reserved(deadline) = std::mem::replace(&mut job.phase, JobPhase::Recording)
        {
            self.deadlines.remove(&(deadline, slot));
        }
        let outcome = self.outcome(slot, JobState::Done, Some(output));
        self.effects.push(super::Effect::Record(outcome));
    }

    /// Handles a failure: another run after `after` or the backoff's delay; or none.
    fn fail(&mut self, slot: JobSlot, error: String, after: Option<Duration>) {
        let error = self.cut(error);
        let Some(job) = self.job(slot) else { return };
        let (id, failures) = (job.id, job.failures.saturating_add(1));
        if failures > self.retry_max(job) {
            self.die(slot, Cost::Failure, error);
            return;
        }
        let after = after.unwrap_or_else(|| {
            let own = job.extra.as_ref().and_then(|extra| extra.backoff.clone());
            let topics = || self.topic(job.topic).and_then(|topic| topic.settings.backoff.clone());
            let backoff =
                own.or_else(topics).unwrap_or_else(|| retry::default_backoff(&self.config));
            let random = self.draw.clone().next();
            retry::pause(&backoff, failures, random)
        });
        self.draw.next();
        let again = RequeueAt::At(self.utc.saturating_add(millis(after)));
        self.commit(QueueChange::Again { id, again, cost: Cost::Failure, error: Some(error) });
    }

    /// Handles a loss: another run at once, or none.
    pub(super) fn lose(&mut self, slot: JobSlot, why: &str) {
        let Some(job) = self.job(slot) else { return };
        if job.phase == JobPhase::Recording {
            // The job's end is already decided.
            return;
        }
        let topics = || self.topic(job.topic).and_then(|topic| topic.settings.loss_max);
        let loss_max = job.loss_max.or_else(topics).unwrap_or(self.config.loss_max);
        let (id, losses) = (job.id, job.losses.saturating_add(1));
        if losses > loss_max {
            self.die(slot, Cost::Loss, format!("lost {losses} times, at last: {why}"));
            return;
        }
        let (again, cost) = (RequeueAt::Head, Cost::Loss);
        self.commit(QueueChange::Again { id, again, cost, error: Some(why.to_owned()) });
    }

    /// Returns a job to the head, at no cost to its budgets.
    pub(super) fn release(&mut self, slot: JobSlot) {
        let Some(id) = self.job(slot).map(|job| job.id) else { return };
        let (again, cost) = (RequeueAt::Head, Cost::Nothing);
        self.commit(QueueChange::Again { id, again, cost, error: None });
    }

    pub(super) fn die(&mut self, slot: JobSlot, cost: Cost, error: String) {
        let Some(id) = self.job(slot).map(|job| job.id) else { return };
        self.meter_finished(slot);
        self.commit(QueueChange::Dead { id, cost, error });
        let outcome = self.outcome(slot, JobState::Dead, None);
        self.note(outcome);
    }

    /// Cuts off a text that is too long, at a character boundary.
    fn cut(&self, mut error: String) -> String {
        cut_off(&mut error, self.config.error_bytes_max);
        error
    }

    pub(super) fn touch(
        &mut self,
        now: Now,
        reservations: &[Reservation],
        visibility: Option<Duration>,
        may: &dyn Fn(&Blob) -> bool,
    ) -> Result<JobReply, QueueError> {
        self.check_count(reservations.len())?;
        let visibility = visibility.map(|it| self.check_visibility(it)).transpose()?;
        let touched = reservations.iter().map(|reservation| {
            let slot = self.held_within(*reservation, may)?;
            self.hold_until(slot, now, visibility);
            Ok(())
        });
        let touched: Vec<Result<(), QueueError>> = touched.collect();
        Ok(JobReply::Settled(touched.into_iter().map(|it| it.err().map(Into::into)).collect()))
    }

    /// Restarts the visibility timeout.
    pub(super) fn hold_until(&mut self, slot: JobSlot, now: Now, visibility: Option<Micros>) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.visibility = visibility.unwrap_or(job.visibility);
        let deadline = now.steady.saturating_add(job.visibility);
        self.set_deadline(slot, deadline);
    }

    pub(super) fn set_deadline(&mut self, slot: JobSlot, deadline: Micros) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        if let JobPhase::Reserved(before) =
            std::mem::replace(&mut job.phase, JobPhase::Reserved(deadline))
        {
            self.deadlines.remove(&(before, slot));
        }
        self.deadlines.insert((deadline, slot));
    }

    pub(super) fn progress(
        &mut self,
        reservation: Reservation,
        progress: Blob,
        may: &dyn Fn(&Blob) -> bool,
    ) -> Result<JobReply, QueueError> {
        let max = self.config.progress_bytes_max;
        let what = "the progress note is too long";
        QueueError::limit("queue.progress_bytes_max", max, progress.len(), what)?;
        let answer = match self.held_within(reservation, may) {
            Ok(slot) => {
                if let Some(job) = self.jobs.get_mut(slot as usize) {
                    job.extra().progress = Some(progress);
                }
                None
            }
            Err(error) => Some(error.into()),
        };
        Ok(JobReply::Settled(vec![answer]))
    }

    /// Takes back a slice of the jobs that were not touched in time.
    pub(super) fn expire_reservations(&mut self, now: Now) {
        for _ in 0..self.config.slice_max {
            let Some((deadline, slot)) = self.deadlines.first().copied() else { return };
            if deadline > now.steady {
                return;
            }
            self.revoke(slot);
            let alone = self.job(slot).is_some_and(Job::awaits_resume);
            let why = if alone {
                "its worker was lost, and did not resume it in time"
            } else {
                "it was not touched within its visibility timeout"
            };
            self.lose(slot, why);
        }
    }

    /// Reports the end of a reservation to its owner.
    pub(super) fn revoke(&mut self, slot: JobSlot) {
        let Some(job) = self.job(slot) else { return };
        let (owner, reservation) = (job.owner, job.reservation());
        if !matches!(job.phase, JobPhase::Reserved(_)) {
            return;
        }
        if self.parked.revoke(owner, reservation, self.config.revoked_max) {
            self.answer_revoked(owner);
        }
    }

    /// Removes an owner. The next turns take its jobs back or, if it `may_return`, hold its resumable
    /// reservations for it. Its waiting requests are removed; returns them.
    pub(crate) fn owner_gone(
        &mut self,
        now: Now,
        owner: u64,
        may_return: bool,
    ) -> Vec<super::ParkId> {
        self.tick(now);
        let Some(it) = self.parked.owners.get_mut(&owner) else { return Vec::new() };
        (it.listens, it.resumes, it.parted) = (false, None, !may_return);
        it.revoked.clear();
        let parked = it.parked.clone();
        for park in &parked {
            self.unpark(*park);
        }
        if self.parked.owners.contains_key(&owner) {
            self.parked.gone.insert(owner);
        }
        self.parked.tidy(owner);
        parked.into_iter().collect()
    }

    /// Takes back a slice of the jobs of owners that are gone.
    pub(super) fn take_from_gone(&mut self) {
        let mut budget = self.config.slice_max;
        while budget > 0
            && let Some(owner) = self.parked.gone.first().copied()
        {
            let held = self.parked.owners.get(&owner);
            let first = held.and_then(|it| Some((it.reserved.first().copied()?, it.parted)));
            let Some((slot, parted)) = first else {
                self.parked.gone.remove(&owner);
                continue;
            };
            budget -= 1;
            self.parked.disown(owner, slot);
            match self.job(slot).map(|job| (job.phase, job.resumable)) {
                // The job's end is already decided.
                None | Some((JobPhase::Recording, _)) => {}
                Some((_, true)) if !parted => self.await_resume(slot),
                Some(_) if self.draining => self.release(slot),
                Some(_) => self.lose(slot, "its worker's connection was lost"),
            }
        }
    }

    /// Returns all reserved jobs, except those that a worker may resume, when the service stops.
    pub(crate) fn release_all(&mut self, now: Now) {
        self.tick(now);
        let stays = |slot: JobSlot| self.job(slot).is_some_and(|job| job.resumable);
        let held = self.deadlines.iter().map(|(_, slot)| *slot);
        let held: Vec<JobSlot> = held.filter(|slot| !stays(*slot)).collect();
        held.into_iter().for_each(|slot| self.release(slot));
    }

    /// Recovers after a restart: reserved jobs are held for their workers to resume, or lost if no one
    /// may, except those whose result is recorded. Finished jobs that are missing from the outcomes are
    /// recorded now. With `fenced`, earlier visible changes may be lost: no one resumes anything, and
    /// no id and no epoch that may have been visible is assigned again.
    pub(crate) fn recover(&mut self, now: Now, outcomes: &mut Outcomes, fenced: bool) {
        self.set_clock_back(now);
        outcomes.set_utc(now.utc);
        self.tick(now);
        let held: Vec<JobSlot> = self.deadlines.iter().map(|(_, slot)| *slot).collect();
        let (done, held): (Vec<JobSlot>, Vec<JobSlot>) = held.into_iter().partition(|slot| {
            let reservation = self.job(*slot).map(|job| job.reservation());
            reservation.is_some_and(|it| self.unacknowledged.take_result(it))
        });
        // Must come before any further losses, which the first turn records.
        for info in self.unacknowledged.take_notes() {
            outcomes.record(now, info);
        }
        for slot in done {
            let Some(id) = self.job(slot).map(|job| job.id) else { continue };
            self.commit(QueueChange::Done { id });
        }
        for slot in held {
            if !fenced && self.may_await_resume(slot) {
                self.restart_grace(slot);
            } else {
                self.lose(slot, "the server ended while it ran");
            }
        }
        if fenced {
            self.fence();
        }
    }
}
