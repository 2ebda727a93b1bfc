//! [`InFlight`]: the jobs that a worker holds, and the outcomes it has yet to report.

use std::collections::BTreeMap;

use ahash::HashMap;

use super::StoredResult;
use crate::model::{Blob, Reservation, ReservedJob, Settlement, Verdict};

/// The state of a worker's jobs. Pure.
#[derive(Debug)]
pub(super) struct InFlight {
    concurrency: usize,
    /// Reserved by this worker, and unfinished. A job may be here twice: its connection was lost,
    /// it was handed out again, and the older run has not ended.
    held: BTreeMap<Reservation, InFlightJob>,
    /// The number of jobs requested and not yet received.
    asked: usize,
    /// Results that the storage must record first.
    unrecorded: Vec<Settlement>,
    /// The facts stored with those results.
    facts: HashMap<Reservation, InFlightJob>,
    /// Results being recorded.
    recording: Vec<Settlement>,
    /// Outcomes to settle.
    outbox: Vec<Settlement>,
    /// The number of outcomes being settled.
    settling: usize,
}

#[derive(Debug, Clone)]
pub(super) struct InFlightJob {
    pub(super) index: Option<Blob>,
    pub(super) failures: u32,
    /// The reservation is lost; the handler has not ended.
    pub(super) revoked: bool,
    /// True if the stuck state was already reported.
    stuck: bool,
}

impl InFlight {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            held: BTreeMap::new(),
            asked: 0,
            unrecorded: Vec::new(),
            facts: HashMap::default(),
            recording: Vec::new(),
            outbox: Vec::new(),
            settling: 0,
        }
    }

    /// Returns the number of further jobs for which a handler is free; zero while as many outcomes
    /// as the worker has handlers are still unreported.
    pub(super) fn free(&self) -> usize {
        let unsaid =
            self.unrecorded.len() + self.recording.len() + self.outbox.len() + self.settling;
        if unsaid >= self.concurrency.saturating_mul(2) {
            return 0;
        }
        self.concurrency.saturating_sub(self.held.len() + self.asked)
    }

    pub(super) fn ask(&mut self, credits: usize) {
        self.asked += credits;
    }

    pub(super) fn answered(&mut self, credits: usize) {
        self.asked -= credits.min(self.asked);
    }

    pub(super) fn take(&mut self, job: &ReservedJob) {
        let (index, failures) = (job.index.clone(), job.failures);
        self.held
            .insert(job.reservation, InFlightJob { index, failures, revoked: false, stuck: false });
    }

    /// Returns unfinished older reservations of the same job.
    pub(super) fn older(&self, reservation: Reservation) -> Vec<Reservation> {
        let first = Reservation { epoch: 0, ..reservation };
        self.held.range(first..reservation).map(|(older, _)| *older).collect()
    }

    /// Removes a job whose handler ended; returns `None` if it was given up before.
    pub(super) fn finish(&mut self, reservation: Reservation) -> Option<InFlightJob> {
        self.held.remove(&reservation)
    }

    /// Marks a reservation as lost; returns true if this worker held it until now.
    pub(super) fn revoke(&mut self, reservation: Reservation) -> bool {
        let held = self.held.get_mut(&reservation);
        held.is_some_and(|held| !std::mem::replace(&mut held.revoked, true))
    }

    /// Marks a handler as stuck; returns true if this worker holds its job and did not know.
    pub(super) fn note_stuck(&mut self, reservation: Reservation) -> bool {
        let held = self.held.get_mut(&reservation).filter(|held| !held.revoked);
        held.is_some_and(|held| !std::mem::replace(&mut held.stuck, true))
    }

    pub(super) fn running(&self) -> usize {
        self.held.len()
    }

    pub(super) fn settle_later(&mut self, reservation: Reservation, verdict: Verdict) {
        self.outbox.push(Settlement { reservation, verdict });
    }

    pub(super) fn settle_again(&mut self, settlements: impl IntoIterator<Item = Settlement>) {
        self.outbox.extend(settlements);
    }

    /// Adds a job that is done once its result is recorded.
    pub(super) fn settle_when_recorded(
        &mut self,
        reservation: Reservation,
        output: Blob,
        held: InFlightJob,
    ) {
        self.facts.insert(reservation, held);
        self.unrecorded.push(Settlement { reservation, verdict: Verdict::Done { output } });
    }

    /// Returns the results to record now; none while others are being recorded.
    pub(super) fn record(&mut self, most: usize) -> Vec<StoredResult> {
        if !self.recording.is_empty() || self.unrecorded.is_empty() {
            return Vec::new();
        }
        let count = self.unrecorded.len().min(most);
        self.recording = self.unrecorded.drain(..count).collect();
        let mut results = Vec::with_capacity(count);
        for settlement in &self.recording {
            let Reservation { id, epoch } = settlement.reservation;
            let Verdict::Done { output } = &settlement.verdict else { continue };
            let facts = self.facts.remove(&settlement.reservation);
            let (index, failures) = facts.map_or((None, 0), |held| (held.index, held.failures));
            results.push(StoredResult { id, epoch, index, output: output.clone(), failures });
        }
        results
    }

    pub(super) fn recorded(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.recording)
    }

    /// Takes the next outcomes to settle: up to `most`, and up to `bytes_max` bytes, but at least
    /// one.
    pub(super) fn settle(&mut self, most: usize, bytes_max: usize) -> Vec<Settlement> {
        let mut bytes = 0;
        let fits = self.outbox.iter().take(most).take_while(|settlement| {
            bytes += settlement.verdict.bytes();
            bytes <= bytes_max
        });
        let count = fits.count().max(self.outbox.len().min(1));
        self.settling += count;
        self.outbox.drain(..count).collect()
    }

    pub(super) fn settled(&mut self, count: usize) {
        self.settling -= count.min(self.settling);
    }

    /// Returns the reservations that the worker must keep alive.
    pub(super) fn to_touch(&self) -> Vec<Reservation> {
        let held = self.held.iter().filter(|(_, held)| !held.revoked);
        let held = held.map(|(reservation, _)| *reservation);
        let said = self.unrecorded.iter().chain(&self.recording).chain(&self.outbox);
        held.chain(said.map(|settlement| settlement.reservation)).collect()
    }

    /// Releases held jobs and unrecorded results; returns their number.
    pub(super) fn release_all(&mut self) -> usize {
        let before = self.outbox.len();
        let held = std::mem::take(&mut self.held).into_iter();
        for (reservation, _) in held.filter(|(_, held)| !held.revoked) {
            self.outbox.push(Settlement { reservation, verdict: Verdict::Release });
        }
        self.facts.clear();
        for mut settlement in self.unrecorded.drain(..) {
            settlement.verdict = Verdict::Release;
            self.outbox.push(settlement);
        }
        self.outbox.len() - before
    }

    /// Returns true if no handler runs.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns true if no result is waiting for the storage.
    pub(super) fn is_recorded(&self) -> bool {
        self.unrecorded.is_empty() && self.recording.is_empty()
    }

    /// Returns true if every outcome is reported.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_recorded() && self.outbox.is_empty() && self.settling == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: crate::JobId, epoch: u32) -> ReservedJob {
        ReservedJob::new(Reservation { id, epoch }, "", "")
    }

    #[test]
    fn what_is_asked_for_and_what_is_held_take_a_handler_each() {
        let mut in_flight = InFlight::new(3);
        in_flight.ask(2);
        assert_eq!(in_flight.free(), 1);
        in_flight.answered(2);
        in_flight.take(&job(1, 1));
        assert_eq!(in_flight.free(), 2);
        assert!(in_flight.finish(Reservation { id: 1, epoch: 2 }).is_none(), "another reservation");
        assert!(in_flight.finish(Reservation { id: 1, epoch: 1 }).is_some());
        assert_eq!(in_flight.free(), 3);
    }

    #[test]
    fn an_older_hand_out_of_a_job_takes_a_handler_until_it_has_ended() {
        let mut in_flight = InFlight::new(3);
        let [first, second] = [1, 2].map(|epoch| Reservation { id: 1, epoch });
        in_flight.take(&job(1, 1));
        in_flight.take(&job(2, 1));
        assert_eq!(in_flight.older(second), [first]);
        assert!(in_flight.revoke(first));
        in_flight.take(&job(1, 2));
        assert_eq!((in_flight.free(), in_flight.older(first)), (0, Vec::new()));
        assert!(in_flight.note_stuck(second) && !in_flight.note_stuck(second));
        assert!(!in_flight.note_stuck(first), "now held by another worker");
        assert!(in_flight.finish(first).is_some_and(|held| held.revoked));
        assert!(in_flight.finish(second).is_some_and(|held| !held.revoked));
        assert_eq!(in_flight.free(), 2);
    }

    #[test]
    fn nothing_is_asked_for_while_too_much_is_unsaid() {
        let mut in_flight = InFlight::new(2);
        for id in 0..4 {
            assert_eq!(in_flight.free(), 2);
            in_flight.settle_later(Reservation { id, epoch: 1 }, Verdict::Release);
        }
        assert_eq!(in_flight.free(), 0);
        assert_eq!(in_flight.settle(3, usize::MAX).len(), 3);
        assert_eq!(in_flight.free(), 0, "not settled yet");
        in_flight.settled(3);
        assert_eq!(in_flight.free(), 2);
    }

    #[test]
    fn outcomes_are_settled_together_as_far_as_they_fit_and_at_least_one() {
        for (bytes_max, count) in [(100, 3), (12, 3), (11, 2), (4, 1), (3, 1)] {
            let mut in_flight = InFlight::new(4);
            for id in 0..3 {
                let output = Blob::from("four");
                in_flight.settle_later(Reservation { id, epoch: 1 }, Verdict::Done { output });
            }
            assert_eq!(in_flight.settle(1_000, bytes_max).len(), count, "{bytes_max}");
        }
        assert!(InFlight::new(4).settle(1_000, 0).is_empty());
    }

    #[test]
    fn what_is_said_but_not_taken_is_held_on_to_and_what_is_revoked_is_not() {
        let mut in_flight = InFlight::new(4);
        for id in 1..=3 {
            in_flight.take(&job(id, 1));
        }
        let [first, second, third] = [1, 2, 3].map(|id| Reservation { id, epoch: 1 });
        assert!(in_flight.revoke(first) && !in_flight.revoke(first));
        in_flight.finish(second).unwrap();
        in_flight.settle_later(second, Verdict::Release);
        let mut touched = in_flight.to_touch();
        touched.sort();
        assert_eq!(touched, [second, third]);
        assert_eq!(in_flight.release_all(), 1);
    }
}
