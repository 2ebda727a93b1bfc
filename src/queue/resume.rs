//! Reservations that outlive their connection, held so that the worker can resume them.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::job::{Job, JobPhase};
use super::{JobSlot, Now, QueueError, QueueState, micros};
use crate::model::{Blob, JobReply, Reservation};

/// Returns what the journal stores instead of a user's name: its SipHash-2-4 with a key of zeros; never
/// 0, which stands for no user.
pub(crate) fn user_fingerprint(name: &str) -> u64 {
    let mut print = SipHasher24::new();
    print.write(name.as_bytes());
    print.finish().max(1)
}

impl QueueState {
    /// Marks `owner` as one that resumes, as a user with this fingerprint (0 if there are no users),
    /// and makes it the holder of those `reservations` that it may resume; `may_work` decides on which
    /// topics the user may work. Returns the topic of each reservation, or `None` for a lost one.
    pub(crate) fn resume(
        &mut self,
        now: Now,
        owner: u64,
        user: u64,
        reservations: &[Reservation],
        may_work: impl Fn(&Blob) -> bool,
    ) -> Result<JobReply, QueueError> {
        self.tick(now);
        self.check_count(reservations.len())?;
        self.parked.owners.entry(owner).or_default().resumes = Some(user);
        let resumed = reservations.iter().map(|reservation| {
            let slot = self.resumable(*reservation, owner, user)?;
            let topic = self.name_of(self.job(slot)?.topic);
            if !may_work(&topic) {
                // Nobody else may resume the job, so it need not wait for its deadline.
                self.release(slot);
                return None;
            }
            self.assign(slot, owner);
            self.hold_until(slot, now, None);
            Some(topic)
        });
        Ok(JobReply::Resumed(resumed.collect()))
    }

    /// Returns the slot of the job, if `owner` may resume the reservation or already holds it.
    fn resumable(&self, reservation: Reservation, owner: u64, user: u64) -> Option<JobSlot> {
        let slot = self.held(reservation).ok()?;
        let job = self.job(slot)?;
        let same_user = user == 0 || job.user == user;
        (job.owner == owner || job.resumable && same_user).then_some(slot)
    }

    /// Makes `owner` the holder of a reserved job.
    pub(super) fn assign(&mut self, slot: JobSlot, owner: u64) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        let alone = usize::from(job.awaits_resume());
        self.awaiting_resume = self.awaiting_resume.saturating_sub(alone);
        let before = std::mem::replace(&mut job.owner, owner);
        if before != owner {
            self.parked.disown(before, slot);
        }
        // The owner 0 is not tracked and cannot be gone.
        if owner != 0 {
            self.parked.owners.entry(owner).or_default().reserved.insert(slot);
        }
    }

    /// Holds a job whose worker's connection is lost until the worker resumes it, or until the grace
    /// period or the visibility timeout is over.
    pub(super) fn await_resume(&mut self, slot: JobSlot) {
        let grace = self.steady.saturating_add(micros(self.config.resume_grace));
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.owner = 0;
        self.awaiting_resume += usize::from(job.awaits_resume());
        if let JobPhase::Reserved(deadline) = job.phase {
            self.set_deadline(slot, deadline.min(grace));
        }
    }

    /// Returns whether a job that was handed out before a restart is held for its worker.
    pub(super) fn may_await_resume(&self, slot: JobSlot) -> bool {
        let graced = !self.config.resume_grace.is_zero();
        graced && self.job(slot).is_some_and(Job::awaits_resume)
    }

    /// Starts the time in which a worker may resume a job after a restart.
    pub(super) fn restart_grace(&mut self, slot: JobSlot) {
        let Some(job) = self.job(slot) else { return };
        let grace = job.visibility.min(micros(self.config.resume_grace));
        self.set_deadline(slot, self.steady.saturating_add(grace));
    }
}
