//! Reservations that outlive their connection: held for the worker to resume them.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::job::{Job, Phase};
use super::{Now, QueueError, Slot, State, micros};
use crate::model::{Blob, JobReply, Reservation};

/// What the journal has of a user's name: SipHash-2-4 with a key of zeros over its bytes; never 0,
/// which stands for no user.
pub(crate) fn user_fingerprint(name: &str) -> u64 {
    let mut print = SipHasher24::new();
    print.write(name.as_bytes());
    print.finish().max(1)
}

impl State {
    /// Makes `owner` one that resumes, as a user with this fingerprint (0 where there are no users),
    /// and makes it the holder of those `reservations` that are still its own; `may_work` says on
    /// which topics the user may. Answers with the topic of each, or `None` for one that is lost.
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
        self.parties.owners.entry(owner).or_default().resumes = Some(user);
        let resumed = reservations.iter().map(|reservation| {
            let slot = self.resumable(*reservation, owner, user)?;
            let topic = self.name_of(self.job(slot)?.topic);
            if !may_work(&topic) {
                // Nobody else has a right to it: it need not wait for its deadline.
                self.release(slot);
                return None;
            }
            self.assign(slot, owner);
            self.hold_until(slot, now, None);
            Some(topic)
        });
        Ok(JobReply::Resumed(resumed.collect()))
    }

    /// Where the job is, if `owner` may resume the reservation, or has it already.
    fn resumable(&self, reservation: Reservation, owner: u64, user: u64) -> Option<Slot> {
        let slot = self.held(reservation).ok()?;
        let job = self.job(slot)?;
        let same_user = user == 0 || job.user == user;
        (job.owner == owner || job.resumable && same_user).then_some(slot)
    }

    /// Makes `owner` the holder of a job that is handed out.
    pub(super) fn assign(&mut self, slot: Slot, owner: u64) {
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        let alone = usize::from(job.awaits_resume());
        self.awaiting_resume = self.awaiting_resume.saturating_sub(alone);
        let before = std::mem::replace(&mut job.owner, owner);
        if before != owner {
            self.parties.disown(before, slot);
        }
        // Whoever is no owner of its own cannot be gone.
        if owner != 0 {
            self.parties.owners.entry(owner).or_default().reserved.insert(slot);
        }
    }

    /// The connection of its worker is lost: the job is held until the worker resumes it, or until
    /// the grace or its visibility timeout is over.
    pub(super) fn await_resume(&mut self, slot: Slot) {
        let grace = self.steady.saturating_add(micros(self.config.resume_grace));
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        job.owner = 0;
        self.awaiting_resume += usize::from(job.awaits_resume());
        if let Phase::Reserved(deadline) = job.phase {
            self.set_deadline(slot, deadline.min(grace));
        }
    }

    /// Whether a job that was handed out before a restart is held for its worker.
    pub(super) fn may_await_resume(&self, slot: Slot) -> bool {
        let graced = !self.config.resume_grace.is_zero();
        graced && self.job(slot).is_some_and(Job::awaits_resume)
    }

    /// After a restart: the time in which its worker may resume the job begins.
    pub(super) fn restart_grace(&mut self, slot: Slot) {
        let Some(job) = self.job(slot) else { return };
        let grace = job.visibility.min(micros(self.config.resume_grace));
        self.set_deadline(slot, self.steady.saturating_add(grace));
    }
}
