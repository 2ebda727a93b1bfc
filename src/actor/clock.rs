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
        self.at(self.started.elapsed(), time_of_day())
    }

    /// What it shows so long after it was started, when the machine shows `machine`.
    fn at(&mut self, elapsed: Duration, machine: UnixMillis) -> Now {
        let passed = UnixMillis::try_from(elapsed.as_millis()).unwrap_or(UnixMillis::MAX);
        if machine > self.utc.saturating_add(passed).saturating_add(AHEAD_MS) {
            self.utc = machine.saturating_sub(passed);
        }
        let steady = Micros::try_from(elapsed.as_micros()).unwrap_or(Micros::MAX);
        Now { steady, utc: self.utc.saturating_add(passed) }
    }
}

fn time_of_day() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: UnixMillis = 24 * 3600 * 1000;

    fn clock(utc: UnixMillis) -> Clock {
        Clock { started: Instant::now(), utc }
    }

    #[test]
    fn z29_a_clock_set_back_goes_on_at_its_own_pace() {
        let mut clock = clock(10 * DAY);
        let mut last = 0;
        for (second, machine) in [(1, 10 * DAY + 1_000), (2, 9 * DAY), (3, 0), (4, 10 * DAY + 9)] {
            let now = clock.at(Duration::from_secs(second), machine);
            assert_eq!(now.steady, second * 1_000_000);
            assert_eq!(now.utc, 10 * DAY + second * 1_000, "after {second} s");
            assert!(now.utc > last);
            last = now.utc;
        }
    }

    #[test]
    fn z29_a_clock_set_ahead_moves_what_goes_by_the_time_of_day_and_no_deadline() {
        let mut clock = clock(10 * DAY);
        let now = clock.at(Duration::from_secs(1), 11 * DAY);
        assert_eq!((now.steady, now.utc), (1_000_000, 11 * DAY));
        // And back: the time of day stays where it was.
        let now = clock.at(Duration::from_secs(2), 10 * DAY);
        assert_eq!((now.steady, now.utc), (2_000_000, 11 * DAY + 1_000));
    }

    #[test]
    fn z29_a_clock_that_is_disciplined_is_not_followed_step_by_step() {
        let mut clock = clock(10 * DAY);
        let now = clock.at(Duration::from_secs(1), 10 * DAY + 1_000 + AHEAD_MS);
        assert_eq!(now.utc, 10 * DAY + 1_000);
    }
}
