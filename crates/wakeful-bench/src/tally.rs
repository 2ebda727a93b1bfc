//! [`Tally`]: the measurements of a load.

use std::time::Duration;

use hdrhistogram::Histogram;

use wakeful::Error;

use super::caller::broken;

/// The measurements of one thread, or of all.
#[derive(Debug)]
pub(super) struct Tally {
    /// The number of answered requests, including refused ones.
    pub(super) answered: u64,
    /// The number of refused requests.
    pub(super) refused: u64,
    /// The first refusal.
    pub(super) refusal: Option<Error>,
    /// The time from the first request to the last answer; of several threads, the longest.
    pub(super) took: Duration,
    /// The latencies in nanoseconds, to three digits.
    latencies: Histogram<u64>,
}

impl Tally {
    /// Returns an empty tally.
    pub(super) fn new() -> Result<Self, Error> {
        let latencies = Histogram::new_with_bounds(1, 600_000_000_000, 3)
            .map_err(|error| broken(&error.to_string()))?;
        Ok(Self { answered: 0, refused: 0, refusal: None, took: Duration::ZERO, latencies })
    }

    /// Records `count` requests with this latency.
    pub(super) fn record(&mut self, latency: Duration, count: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record_n(nanos.max(1), count);
        self.answered += count;
    }

    /// Records a refused request; its answer is counted by [`record`](Self::record).
    pub(super) fn refuse(&mut self, error: Error) {
        self.refused += 1;
        self.refusal.get_or_insert(error);
    }

    /// Merges measurements of the same period.
    pub(super) fn merge(mut self, other: Self) -> Result<Self, Error> {
        self.latencies.add(&other.latencies).map_err(|error| broken(&error.to_string()))?;
        self.answered += other.answered;
        self.refused += other.refused;
        self.refusal = self.refusal.or(other.refusal);
        self.took = self.took.max(other.took);
        Ok(self)
    }

    /// Returns the latency within which `quantile` (0.5, 0.99) of all requests were answered.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_quantile(quantile))
    }

    /// Returns the longest latency.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.latencies.max())
    }

    /// Returns the requests per second.
    pub(super) fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
