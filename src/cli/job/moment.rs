//! A point in time as text: `2026-11-25T14:03:07Z`.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::{UnixMillis, duration};

/// Returns the time of this machine's clock.
pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    duration::millis(since.unwrap_or(Duration::ZERO))
}

/// Formats a time in UTC, to the second.
pub(super) fn show(time: UnixMillis) -> String {
    let time = i64::try_from(time).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
    time.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(show(seconds * 1_000 + 999), text);
        }
        assert_eq!(show(UnixMillis::MAX), "9999-12-30T22:00:00Z");
    }
}
