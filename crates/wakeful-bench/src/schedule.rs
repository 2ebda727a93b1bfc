//! [`Schedule`]: the due times of the batches of a load with a rate, whatever the server does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Batches are due at even intervals, on the lanes in turn. A batch whose lane is busy waits, and
/// its latency counts from its due time: this corrects for the requests that a stalled server keeps
/// a closed loop from sending ("coordinated omission").
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    end: Instant,
    /// The nanoseconds from one batch to the next, over all lanes.
    step_ns: f64,
    /// The number of batches taken so far.
    taken: u64,
    /// Maximum number of batches.
    batches_max: u64,
    /// Due times of batches whose lane was busy, by lane.
    waiting: Vec<VecDeque<Instant>>,
}

impl Schedule {
    /// Returns a schedule of `batches_per_second` from `start` to `end`, at most `batches_max`,
    /// over `lanes`.
    pub(super) fn new(
        start: Instant,
        end: Instant,
        batches_per_second: f64,
        batches_max: u64,
        lanes: usize,
    ) -> Self {
        let waiting = vec![VecDeque::new(); lanes];
        Self { start, end, step_ns: 1e9 / batches_per_second, taken: 0, batches_max, waiting }
    }

    /// Returns the next batch that is due by `now`: its lane and its due time.
    pub(super) fn take(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let lane = (self.taken % self.waiting.len().max(1) as u64) as usize;
        self.taken += 1;
        Some((lane, due))
    }

    /// Returns the due time of the next batch; `None` after the last.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.start + Duration::from_nanos((self.taken as f64 * self.step_ns) as u64);
        (due < self.end && self.taken < self.batches_max).then_some(due)
    }

    /// Postpones a batch whose lane is busy.
    pub(super) fn postpone(&mut self, lane: usize, due: Instant) {
        if let Some(waiting) = self.waiting.get_mut(lane) {
            waiting.push_back(due);
        }
    }

    /// Returns the due time of the longest waiting batch of a lane that is free.
    pub(super) fn resume(&mut self, lane: usize) -> Option<Instant> {
        self.waiting.get_mut(lane)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_due_evenly_and_in_turn() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, start + Duration::from_secs(1), 4.0, u64::MAX, 2);
        let millis = Duration::from_millis;
        assert_eq!(schedule.take(start), Some((0, start)));
        assert_eq!(schedule.take(start), None);
        assert_eq!(schedule.take(start + millis(600)), Some((1, start + millis(250))));
        assert_eq!(schedule.take(start + millis(600)), Some((0, start + millis(500))));
        assert_eq!(schedule.next_due(), Some(start + millis(750)));
        assert_eq!(schedule.take(start + millis(9_000)), Some((1, start + millis(750))));
        assert_eq!(schedule.take(start + millis(9_000)), None);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_postponed_batch_keeps_its_due_time() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, start + Duration::from_secs(1), 1e3, 2, 1);
        schedule.postpone(0, start);
        assert_eq!(schedule.resume(0), Some(start));
        assert_eq!(schedule.resume(0), None);
    }
}
