//! [`RunningJobs`]: the jobs that a worker holds.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{Reservation, Verdict};

/// The jobs that a worker holds, from their reservation until their outcome is recorded, with the
/// means to end the command of each.
#[derive(Debug)]
pub(super) struct RunningJobs {
    ends: HashMap<Reservation, Option<oneshot::Sender<Option<Verdict>>>>,
    places: u32,
    /// The number of commands the machine is known to have room for.
    bearable: u32,
    /// The number of jobs that may still be taken.
    left: u64,
}

impl RunningJobs {
    /// Allows `places` jobs at a time, and `left` in all.
    pub(super) fn new(places: u32, left: u64) -> Self {
        Self { ends: HashMap::new(), places, bearable: places, left }
    }

    /// Returns how many jobs may be taken now.
    pub(super) fn room(&self) -> u32 {
        let taken = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let free = self.bearable.saturating_sub(taken);
        u32::try_from(self.left).map_or(free, |left| free.min(left))
    }

    /// Returns true if no job will be taken any more. A running job may still go back without
    /// having run.
    pub(super) fn is_finished(&self) -> bool {
        self.left == 0 && self.ends.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a job; returns a receiver that resolves, with the verdict, when its command must end.
    pub(super) fn add(&mut self, reservation: Reservation) -> oneshot::Receiver<Option<Verdict>> {
        let (end, ended) = oneshot::channel();
        self.ends.insert(reservation, Some(end));
        self.left = self.left.saturating_sub(1);
        ended
    }

    /// Ends the command of a job that this worker no longer holds.
    pub(super) fn revoke(&mut self, reservation: Reservation) {
        if let Some(end) = self.ends.get_mut(&reservation).and_then(Option::take) {
            // It may have ended by itself.
            let _ = end.send(None);
        }
    }

    /// Does the same as [`revoke`](Self::revoke) for every job.
    pub(super) fn revoke_all(&mut self) {
        self.reservations().into_iter().for_each(|reservation| self.revoke(reservation));
    }

    /// Ends every command; the jobs go back at no cost.
    pub(super) fn release_all(&mut self) {
        for end in self.ends.values_mut().filter_map(Option::take) {
            let _ = end.send(Some(Verdict::Release));
        }
    }

    /// Removes a settled job whose command ran: there may be room for one more command.
    pub(super) fn remove(&mut self, reservation: Reservation) {
        self.ends.remove(&reservation);
        self.bearable = self.places.min(self.bearable.saturating_add(1));
    }

    /// Removes a job that went back because its command could not be run. It does not count, and
    /// until a running command ends, no more jobs are taken than now run.
    pub(super) fn put_back(&mut self, reservation: Reservation) {
        self.ends.remove(&reservation);
        self.left = self.left.saturating_add(1);
        self.bearable = u32::try_from(self.ends.len()).unwrap_or(u32::MAX).clamp(1, self.places);
    }

    pub(super) fn reservations(&self) -> Vec<Reservation> {
        self.ends.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nth(id: u64) -> Reservation {
        Reservation { id, epoch: 1 }
    }

    #[test]
    fn a_place_is_free_again_when_its_job_is_settled() {
        let mut running = RunningJobs::new(2, 3);
        let _ends = [running.add(nth(1)), running.add(nth(2))];
        assert_eq!((running.room(), running.is_finished()), (0, false));
        running.remove(nth(1));
        assert_eq!(running.room(), 1);
        let _end = running.add(nth(3));
        running.remove(nth(2));
        assert_eq!((running.room(), running.is_finished()), (0, false), "the last job is running");
        running.remove(nth(3));
        assert_eq!((running.room(), running.is_finished()), (0, true));
    }

    #[test]
    fn a_machine_that_bears_less_is_given_less_and_then_slowly_more() {
        let mut running = RunningJobs::new(8, 20);
        let _ends: Vec<_> = (1..=8).map(|id| running.add(nth(id))).collect();
        // Two commands run; there was no room for the others.
        (3..=8).for_each(|id| running.put_back(nth(id)));
        assert_eq!((running.room(), running.left), (0, 18));
        running.remove(nth(1));
        assert_eq!(running.room(), 2, "the one that ended, and one more");
        running.remove(nth(2));
        assert_eq!(running.room(), 4);
        let _end = running.add(nth(9));
        running.put_back(nth(9));
        assert_eq!(running.room(), 1, "one command is always tried");
        for id in 10..30 {
            let _end = running.add(nth(id));
            running.remove(nth(id));
        }
        assert_eq!(running.bearable, 8, "never more than was asked for");
    }

    #[test]
    fn a_revoked_job_is_not_settled_and_others_are_released() {
        let mut running = RunningJobs::new(2, 9);
        let [mut first, mut second] = [running.add(nth(1)), running.add(nth(2))];
        running.revoke(nth(1));
        running.revoke(nth(7));
        running.release_all();
        assert_eq!(first.try_recv(), Ok(None));
        assert_eq!(second.try_recv(), Ok(Some(Verdict::Release)));
        assert_eq!(running.reservations().len(), 2);
    }
}
