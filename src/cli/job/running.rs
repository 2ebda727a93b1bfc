//! [`Running`]: the jobs that a worker holds.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{Reservation, Verdict};

/// The jobs that a worker holds, from their hand-out until what became of them is recorded, and
/// how to end what runs for each.
#[derive(Debug)]
pub(super) struct Running {
    ends: HashMap<Reservation, Option<oneshot::Sender<Option<Verdict>>>>,
    places: u32,
    /// Jobs that may still be taken.
    left: u64,
}

impl Running {
    /// At most `places` at once, and `left` in all.
    pub(super) fn new(places: u32, left: u64) -> Self {
        Self { ends: HashMap::new(), places, left }
    }

    /// How many jobs may be taken now.
    pub(super) fn room(&self) -> u32 {
        let taken = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let free = self.places.saturating_sub(taken);
        u32::try_from(self.left).map_or(free, |left| free.min(left))
    }

    /// Whether no more are to be taken, ever.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes a job; gives what tells that it is to be ended, and what becomes of it then.
    pub(super) fn add(&mut self, reservation: Reservation) -> oneshot::Receiver<Option<Verdict>> {
        let (end, ended) = oneshot::channel();
        self.ends.insert(reservation, Some(end));
        self.left = self.left.saturating_sub(1);
        ended
    }

    /// Ends what runs for a job that is not this worker's any more.
    pub(super) fn revoke(&mut self, reservation: Reservation) {
        if let Some(end) = self.ends.get_mut(&reservation).and_then(Option::take) {
            // It may be over by itself.
            let _ = end.send(None);
        }
    }

    /// As [`revoke`](Self::revoke), all of them.
    pub(super) fn revoke_all(&mut self) {
        self.reservations().into_iter().for_each(|reservation| self.revoke(reservation));
    }

    /// Ends everything that runs: its jobs go back, without cost.
    pub(super) fn release_all(&mut self) {
        for end in self.ends.values_mut().filter_map(Option::take) {
            let _ = end.send(Some(Verdict::Release));
        }
    }

    /// The job is settled.
    pub(super) fn remove(&mut self, reservation: Reservation) {
        self.ends.remove(&reservation);
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
        let mut running = Running::new(2, 3);
        let _ends = [running.add(nth(1)), running.add(nth(2))];
        assert_eq!((running.room(), running.is_full()), (0, false));
        running.remove(nth(1));
        assert_eq!(running.room(), 1);
        let _end = running.add(nth(3));
        running.remove(nth(2));
        running.remove(nth(3));
        assert_eq!((running.room(), running.is_full(), running.is_empty()), (0, true, true));
    }

    #[test]
    fn a_revoked_job_is_not_settled_and_others_are_released() {
        let mut running = Running::new(2, 9);
        let [mut first, mut second] = [running.add(nth(1)), running.add(nth(2))];
        running.revoke(nth(1));
        running.revoke(nth(7));
        running.release_all();
        assert_eq!(first.try_recv(), Ok(None));
        assert_eq!(second.try_recv(), Ok(Some(Verdict::Release)));
        assert_eq!(running.reservations().len(), 2);
    }
}
