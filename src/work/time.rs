//! Times that options name, of which any may mean for ever.

use std::time::{Duration, Instant};

/// What no process outlives.
const FOR_EVER: Duration = Duration::from_secs(1 << 31);

/// So long after `now`.
pub(super) fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + FOR_EVER)
}
