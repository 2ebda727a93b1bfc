//! [`ReconnectBackoff`]: the delay before the next attempt to connect.

use std::time::Duration;

/// Exponential, with full jitter: clients that lost the same server reconnect spread out.
#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl ReconnectBackoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// Notes the loss of a connection after this time. A long-lived connection shows that the server is
    /// healthy; after a short one, the next may be refused again.
    pub(super) fn lost_after(&mut self, lasted: Duration) {
        if lasted >= self.max {
            self.failures = 0;
        }
    }

    /// Returns the delay before the next attempt; `random` is in `0.0 .. 1.0`.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let bound = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_lasting_connection() {
        let ms = Duration::from_millis;
        let mut backoff = ReconnectBackoff::new(ms(50), ms(300));
        let bounds: Vec<_> = (0..5).map(|_| backoff.next(1.0)).collect();
        assert_eq!(bounds, [ms(50), ms(100), ms(200), ms(300), ms(300)]);
        backoff.lost_after(ms(10));
        assert_eq!(backoff.next(0.5), ms(150));
        backoff.lost_after(ms(300));
        assert_eq!(backoff.next(0.5), ms(25));
    }
}
