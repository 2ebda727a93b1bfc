//! [`RetryBackoff`]: the delay before a retry after an error of the queue.

use std::time::{Duration, Instant};

use crate::config::work::{PAUSE_MAX, PAUSE_MIN};

/// Exponential, with jitter: between half and all of a doubling bound.
#[derive(Debug, Default)]
pub(super) struct RetryBackoff {
    failures: u32,
    until: Option<Instant>,
}

impl RetryBackoff {
    /// Records an error and returns the delay; `random` is in `0.0 .. 1.0`.
    pub(super) fn failed(&mut self, now: Instant, random: f64) -> Duration {
        let bound = PAUSE_MIN.saturating_mul(1 << self.failures.min(20)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        let pause = bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        self.until = Some(now + pause);
        pause
    }

    /// Records a success.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_until_it_goes_well() {
        let now = Instant::now();
        let mut pause = RetryBackoff::default();
        let pauses: Vec<_> = (0..12).map(|_| pause.failed(now, 1.0)).collect();
        assert_eq!(pauses[..3], [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pauses[11], PAUSE_MAX);
        assert!(!pause.is_over(now));
        pause.succeeded();
        assert!(pause.is_over(now));
        assert_eq!(pause.failed(now, 0.0), PAUSE_MIN / 2);
    }
}
