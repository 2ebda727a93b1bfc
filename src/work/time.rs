//! Durations in options, any of which may mean forever.

use std::time::{Duration, Instant};

/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(1 << 31);

/// Returns the time `time` after `now`.
pub(super) fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + FOR_EVER)
}
