//! [`Meter`]: a count over the last seconds.

use crate::time::Micros;

const SECOND: Micros = 1_000_000;

/// The number of seconds that are summed up.
pub(super) const SECONDS: usize = 10;

/// Counts for each second.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    counts: [u32; SECONDS],
    /// The newest second counted.
    second: u64,
}

impl Meter {
    pub(super) fn add(&mut self, now: Micros, count: u32) {
        self.turn(now);
        let place = (self.second % SECONDS as u64) as usize;
        if let Some(slot) = self.counts.get_mut(place) {
            *slot = slot.saturating_add(count);
        }
    }

    pub(super) fn recent(&self, now: Micros) -> u64 {
        let mut meter = self.clone();
        meter.turn(now);
        meter.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn turn(&mut self, now: Micros) {
        let second = now / SECOND;
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for step in 1..=passed {
            let place = ((self.second + step) % SECONDS as u64) as usize;
            if let Some(slot) = self.counts.get_mut(place) {
                *slot = 0;
            }
        }
        // After a long pause, all counts are zero, so their positions do not matter.
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j14_a_rate_looks_back_ten_seconds() {
        let mut meter = Meter::default();
        for second in 100..105 {
            meter.add(second * SECOND, 2);
        }
        assert_eq!(meter.recent(104 * SECOND), 10);
        assert_eq!(meter.recent(110 * SECOND), 8);
        assert_eq!(meter.recent(1_000 * SECOND), 0);
        meter.add(1_000 * SECOND, 1);
        assert_eq!(meter.recent(1_003 * SECOND), 1);
    }
}
