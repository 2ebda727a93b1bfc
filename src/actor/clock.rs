//! [`Clock`]: the two clocks that the queue goes by.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::UnixMillis;
use crate::queue::Now;
use crate::store::Micros;

/// How far the time of day must have run ahead to be followed: less is a clock being disciplined.
const AHEAD_MS: u64 = 500;

/// A steady clock, and a time of day that never goes back: when that of the machine is set back,
/// it goes on at its own pace; when that is set ahead, it follows.
pub(crate) struct Clock {
    started: Instant,
    /// The time of day when it was started, as far as it was not set ahead since.
    utc: UnixMillis,
}

impl Clock {
    /// A clock whose time of day is `last` at least.
    pub(crate) fn new(last: UnixMillis) -> Self {
        Self { started: Instant::now(), utc: time_of_day().max(last) }
    }

    pub(crate) fn now(&mut self) -> Now {
        let elapsed = self.started.elapsed();
        let passed = UnixMillis::try_from(elapsed.as_millis()).unwrap_or(UnixMillis::MAX);
        let machine = time_of_day();
        if machine > self.utc.saturating_add(passed).saturating_add(AHEAD_MS) {
            self.utc = machine - passed;
        }
        let steady = Micros::try_from(elapsed.as_micros()).unwrap_or(Micros::MAX);
        Now { steady, utc: self.utc.saturating_add(passed) }
    }
}

fn time_of_day() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}
